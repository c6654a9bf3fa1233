//! The command line of `handoff supervise`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, RangedU64ValueParser};
use handoff_std::host::ListenSpec;

use crate::exit::{DONE, ERROR, Exits, USAGE};

const EXITS: Exits = Exits(&[
    (DONE, "it was told to end, by a signal"),
    (
        ERROR,
        "it could not begin or go on, or was told to end a second time: why is on stderr;\n\
         daemons that served go on serving",
    ),
    (USAGE, "the command line is wrong"),
]);

/// What `--help` says before the exit statuses.
const NOTES: &str = "\
The daemon:
  BINARY is started with ARGS and finds the listeners at descriptor 3 and up (LISTEN_FDS and
  LISTEN_FDNAMES, as from systemd). Whenever it ends without having been replaced, whatever its
  exit status, it is started again: after 100 ms, then after twice as long each time up to 10 s,
  and after 100 ms again once it has lived for 10 s. It gets a process group of its own, so
  that a Ctrl-C reaches the supervisor alone.

Handoffs:
  Connect to the trigger socket and write one line: `handoff` to start the current binary anew, or
  `handoff /path/to/binary` for another one, with the same ARGS. The answer is one line:
    ok: handoff_id=ID committed=true|false abort_reason=TEXT|None
    err: what was wrong and what to do        (nothing was begun)
  It comes when the handoff has ended, so give the client time:
    echo handoff | socat -t 600 - UNIX-CONNECT:PATH
  If a peer that speaks version 1 made do without a part of it, a committed handoff's answer goes
  on with ` without=TEXT`.
  When another binary has been committed, DIR/.handoff.state/main.binary remembers it, together with
  the BINARY of the command line. A later start with the same BINARY starts the remembered one; a
  start with a different BINARY forgets it: the command line wins. One that is gone is forgotten,
  too.
  The same can be done by commands if there is a --socket:
    handoff restart --socket PATH, handoff upgrade --binary /path/to/binary --socket PATH
  `handoff status --socket PATH` says how it is. The service is called `main` there.

Probation:
  With --probation-secs the new daemon serves that long before the old one leaves. The old one stays
  closed and ready, and comes back with every write that the new one has acknowledged, if the new
  one dies, fails its health check, or you write `rollback` to the trigger socket. The answer to
  that is one line, when the new daemon is gone and the old one has been told to serve again:
    ok: handoff_id=ID committed=false abort_reason=TEXT
    err: what was wrong and what to do        (nothing is rolled back)
  and whoever asked for the handoff is told the same. After a commit there is no way back but
  another handoff, to the earlier binary.
  The health check is run by /bin/sh -c, at once and then again and again, with the supervisor's
  environment and the new daemon's pid in HANDOFF_PID. Status 0 means well.

Restarts of the supervisor:
  A daemon that is found alive is adopted and watched, not started again, and gives its listeners
  back: those that --listener names and that are bound where it says are taken, and nothing is
  bound a second time. So a killed supervisor is started again with the same command line, and a new
  version of it likewise; no connection is refused meanwhile. If the daemon does not answer yet,
  it is asked again every second. The log says what differs between the daemon's listeners and the
  command line; what the daemon lacks is bound, and reaches it with the next handoff.
  A daemon that speaks version 1 cannot give them back. Unless they are handed over by name
  (LISTEN_FDS, such as from a systemd socket unit), it is watched all the same, and handoffs are
  refused until they can be bound, which is tried every second.
  If no daemon is there, an address that is taken, or a BINARY that cannot be run, ends the
  supervisor at its start, with status 1.

Signals:
  SIGTERM or SIGINT lets a handoff in flight end, stops the daemon (SIGTERM, after 10 s SIGKILL),
  and ends with status 0. No probation is waited for: one that goes on, or begins, is ended by a
  rollback at once, since nobody would be left to judge it. A second signal ends the supervisor at
  once and leaves the daemon as it is.
  To replace the supervisor itself, use --keep-daemon, or SIGKILL.
  SIGHUP has the file of --config read again: what has changed is in force as CONFIG.md says, and a
  wrong file changes nothing. Without --config it does nothing.

Log:
  Lines on stderr; RUST_LOG says which. Whoever reads them may be slow, or stop: nothing waits for
  that. Of what is not read, 1 MiB is kept; what does not fit is lost, and as soon as lines can be
  written again one says how many (`N log lines were lost: nobody read them`). The end waits until
  all lines are written, but no longer than 1 s for a reader that takes none. SIGKILL loses those
  that wait.
  Daemons and health checks inherit stderr and write there themselves: a pipe that is full stops
  those of them that have something to say.

systemd:
  It is told (sd_notify) when all services have been looked after, of handoffs and reloads, how the
  services are, and that the supervisor lives, if it asks for that. Listeners are taken from it by
  name and address. SYSTEMD.md has a unit.

One or many services from a file:
  With --config there is no other option but --keep-daemon; CONFIG.md describes the file, and
  `handoff check` says whether it is right. A wrong one is refused before anything is touched.
  `handoff upgrade`, `restart`, `rollback` and `status` reach the supervisor on the socket of the
  file. What is said above holds for each service, with these differences:
  - Its restarts, and whether a crash loop ends them, are as the file says. A service that is down
    for good is started again by `handoff restart`.
  - A handoff may only name a binary that allowed_binaries lists.
  - Which binary is the current one is remembered in STATE_DIR/NAME.binary; one that is no longer
    listed is forgotten as well.
  - If there are several, a listener that cannot be had keeps its service waiting, not the others.
  - A signal ends the services one after the other, the last one of the file first.";

/// Start daemons, keep them running, and replace their binaries without losing a connection or a write.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{NOTES}\n\n{EXITS}"))]
pub(crate) struct SuperviseCommand {
    /// The services, in a file; without it, one service is described by the other options.
    #[arg(long, value_name = "FILE", conflicts_with = "SuperviseArgs")]
    pub(crate) config: Option<PathBuf>,

    /// Leave the daemons running when the supervisor is told to end.
    #[arg(long)]
    pub(crate) keep_daemon: bool,

    #[command(flatten)]
    pub(crate) one: Option<SuperviseArgs>,
}

/// One service.
#[derive(Debug, Clone, Args)]
pub(crate) struct SuperviseArgs {
    /// The socket on which the daemon takes handoffs.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "config"
    )]
    pub(crate) control_socket: PathBuf,

    /// The daemon's data directory, where its writer lock is.
    #[arg(
        long,
        value_name = "DIR",
        required = false,
        required_unless_present = "config"
    )]
    pub(crate) data_dir: PathBuf,

    /// A listener to hold for the daemon: IP:PORT or unix:PATH. One that was inherited under this
    /// name is used instead, and one that a living daemon has from an earlier supervisor. May be
    /// given more than once.
    #[arg(long = "listener", value_name = "NAME=ADDR")]
    pub(crate) listeners: Vec<ListenSpec>,

    /// Where to note a handoff in flight, for a supervisor that is restarted meanwhile. Best on a
    /// tmpfs, such as below /run: it is written in every handoff and void after a reboot.
    /// [default: DIR/.handoff.state/main.journal]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// A directory that every handoff and recovery is recorded in, below `main`, for `handoff replay`.
    /// Nothing removes the files.
    #[arg(long, value_name = "DIR")]
    pub(crate) recordings: Option<PathBuf>,

    /// A socket that handoffs can be asked for on.
    #[arg(long, value_name = "PATH")]
    pub(crate) trigger_socket: Option<PathBuf>,

    /// A socket for `handoff upgrade`, `restart`, `rollback`, `status`, `history` and `watch`.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// How long a successor may warm up before it stands by. The daemon serves meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub(crate) warmup_secs: u64,

    /// How long the daemon may drain in a handoff.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub(crate) drain_grace_secs: u64,

    /// How long a handoff may take until the successor is ready, all in all.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub(crate) deadline_secs: u64,

    /// How long a new daemon serves on probation, while the old one can still come back. 0: not at
    /// all. A daemon that speaks version 1 cannot come back, so its successor has none.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = or_none())]
    pub(crate) probation_secs: u64,

    /// The command that says whether a daemon on probation is well.
    #[arg(long, value_name = "CMD", requires = "probation_secs")]
    // An empty one, such as from a variable that is not set, would find every daemon well.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) health_check: Option<String>,

    /// From the start of one health check to the start of the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = seconds())]
    #[arg(requires = "health_check")]
    pub(crate) health_interval_secs: u64,

    /// How long a health check may take; then it is killed, and has failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    #[arg(requires = "health_check")]
    pub(crate) health_timeout_secs: u64,

    /// How many health checks must fail in a row until the handoff is rolled back.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 3,
        requires = "health_check"
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) health_failures: u32,

    /// Kill a daemon that does not drain or seal in time and go on with the successor, instead of
    /// giving the handoff up.
    #[arg(long)]
    pub(crate) kill_stuck_incumbent: bool,

    /// Let this user ask for handoffs, besides our own and root. May be given more than once. The
    /// sockets have mode 0666 then: who comes in is decided by the user id of whoever connects.
    #[arg(long = "allow-uid", value_name = "UID")]
    pub(crate) allowed_uids: Vec<u32>,

    /// The daemon and its arguments.
    #[arg(last = true, required = false, required_unless_present = "config")]
    #[arg(value_names = ["BINARY", "ARGS"])]
    pub(crate) command: Vec<OsString>,
}

/// The longest time that can be given, in seconds.
const LONGEST: u64 = 365 * 24 * 3600;

fn seconds() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=LONGEST)
}

fn or_none() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(..=LONGEST)
}
