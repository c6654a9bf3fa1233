//! The command line of `handoff supervise`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use handoff_std::host::ListenSpec;

/// What `--help` says at its end.
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
  When another binary has been committed, DIR/.handoff.binary remembers it, together with the
  BINARY of the command line. A later start with the same BINARY starts the remembered one; a
  start with a different BINARY forgets it: the command line wins.

Restarts of the supervisor:
  A daemon that is found alive is adopted and watched, not started again. Its listeners cannot be
  bound a second time while it lives, unless they are handed over by name (LISTEN_FDS, such as
  from a systemd socket unit). Without them it is watched all the same, and handoffs are refused
  until they can be bound.

Signals:
  SIGTERM or SIGINT lets a handoff in flight end, stops the daemon (SIGTERM, after 10 s SIGKILL),
  and ends with status 0. A second one ends the supervisor at once and leaves everything as it is.
  To replace the supervisor itself, use --keep-daemon.";

/// Start a daemon, keep it running, and replace its binary without losing a connection or a write.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = NOTES)]
pub(crate) struct SuperviseArgs {
    /// The socket on which the daemon takes handoffs.
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: PathBuf,

    /// The daemon's data directory, where its writer lock is.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// A listener to hold for the daemon: IP:PORT or unix:PATH. One that was inherited under this
    /// name is used instead. May be given more than once.
    #[arg(long = "listener", value_name = "NAME=ADDR")]
    pub(crate) listeners: Vec<ListenSpec>,

    /// Where to note a handoff in flight, for a supervisor that is restarted meanwhile. Best on a
    /// tmpfs, such as below /run: it is written in every handoff and void after a reboot.
    /// [default: DIR/.handoff.journal]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// A socket that handoffs can be asked for on.
    #[arg(long, value_name = "PATH")]
    pub(crate) trigger_socket: Option<PathBuf>,

    /// How long the daemon may drain in a handoff.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    pub(crate) drain_grace_secs: u64,

    /// How long a handoff may take until the successor is ready, all in all.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = seconds())]
    pub(crate) deadline_secs: u64,

    /// Kill a daemon that does not drain or seal in time and go on with the successor, instead of
    /// giving the handoff up.
    #[arg(long)]
    pub(crate) kill_stuck_incumbent: bool,

    /// Let this user ask for handoffs, besides our own and root. The trigger socket has mode 0600;
    /// give it another one once it is there. May be given more than once.
    #[arg(long = "allow-uid", value_name = "UID")]
    pub(crate) allowed_uids: Vec<u32>,

    /// Leave the daemon running when the supervisor is told to end.
    #[arg(long)]
    pub(crate) keep_daemon: bool,

    /// The daemon and its arguments.
    #[arg(last = true, required = true, value_names = ["BINARY", "ARGS"])]
    pub(crate) command: Vec<OsString>,
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=365 * 24 * 3600)
}

impl SuperviseArgs {
    /// Where the journal is.
    pub(crate) fn journal(&self) -> PathBuf {
        let default = || self.data_dir.join(".handoff.journal");
        self.journal.clone().unwrap_or_else(default)
    }

    /// How long the daemon may drain.
    pub(crate) const fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_grace_secs)
    }

    /// How long a handoff may take.
    pub(crate) const fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_secs)
    }
}
