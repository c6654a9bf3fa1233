//! The command lines of `handoff upgrade`, `restart`, `rollback`, `history` and `watch`.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{DONE, ERROR, Exits, USAGE};

/// Nothing was begun.
pub(crate) const REFUSED: u8 = 3;
/// The daemon serves that served before.
pub(crate) const ROLLED_BACK: u8 = 4;
/// Something else has happened than what was asked for.
pub(crate) const FAILED: u8 = 5;

const NO_ANSWER: (u8, &str) = (
    ERROR,
    "the supervisor does not answer, or the configuration cannot be read",
);
const WRONG: (u8, &str) = (USAGE, "the command line is wrong");
const NEITHER: (u8, &str) = (
    FAILED,
    "neither: the reason says more, and `handoff status` who serves",
);

/// Of `handoff upgrade` and `restart`.
pub(crate) const EXITS: Exits = Exits(&[
    (
        DONE,
        "committed: the new daemon serves; or the service was down, and has been started",
    ),
    NO_ANSWER,
    WRONG,
    (
        REFUSED,
        "refused, or the daemon does not answer: nothing was begun",
    ),
    (
        ROLLED_BACK,
        "rolled back: the daemon serves that served before",
    ),
    NEITHER,
]);

/// Of `handoff rollback`.
pub(crate) const ROLLBACK_EXITS: Exits = Exits(&[
    (DONE, "rolled back: the daemon serves that served before"),
    NO_ANSWER,
    WRONG,
    (
        REFUSED,
        "refused: there is no probation, or it was too late",
    ),
    NEITHER,
]);

/// What `--help` says before the exit statuses.
const NOTES: &str = "\
It is done when the new daemon serves for good: after its probation, if the service has one.

What happens meanwhile is shown on stderr: on a terminal drawn, elsewhere a line for each step.
Not with --json; there it is `handoff watch --json` that tells it. What was asked for goes on if the
command is interrupted.";

/// What it says behind them.
const JSON: &str = "\
JSON, one object on one line:
  answer      `ended`, or `refused` with one more key, why
  service     text
  outcome     `committed`, `rolled_back`, `started` (the service was down) or `failed`
  handoff_id  text or null
  pid         number or null: the daemon that this has started
  reason      text or null: why it did not succeed
  without     array of text: what a peer that speaks version 1 made it do without
  took_ms     number";

/// Of `handoff history`.
pub(crate) const HISTORY_EXITS: Exits = Exits(&[
    (DONE, "told"),
    NO_ANSWER,
    WRONG,
    (
        REFUSED,
        "refused: no such service, or not for this user, or too much is asked at once",
    ),
]);

/// Of `handoff watch`.
pub(crate) const WATCH_EXITS: Exits = Exits(&[
    (DONE, "the supervisor has ended, as it was told to"),
    (
        ERROR,
        "the supervisor does not answer, or not any more, or the configuration cannot be read",
    ),
    WRONG,
    (
        REFUSED,
        "refused: no such service, or not for this user, or too many follow already",
    ),
]);

/// What an event is in JSON.
const EVENT: &str = "  at          text: RFC 3339, in UTC, with milliseconds
  service     text
  handoff_id  text, or null outside of handoffs
  event       one of these, with more keys:
    daemon_started   pid, binary
    daemon_found     pid, build (text or null): one that the supervisor has not started
    daemon_ended     pid, how, why: `by_itself`, `stopped` (by the supervisor), `replaced`,
                     `in_handoff`
    handoff_started  pid (number or null), binary: from which daemon, to which binary
    phase            phase, after_us: what is done now, and how long after the handoff's start
    drained          open_connections, accept_closed
    seal_progress    sealed, total
    sealed
    ready            healthy
    trouble          reason: something went wrong, which need not be the end of the handoff
    lost             reason: a session has ended
    handoff_ended    ended (as `handoff upgrade` answers), binary, from and to (null, or pid,
                     build, and version: of the protocol), seal_failed, whole_us, drain_us,
                     seal_us, begin_to_ready_us and pause_us (null if it did not come to the
                     end of that, or if the supervisor has ended meanwhile), phases (array:
                     phase, after_us, took_us)
Times that end in _us are microseconds.";

/// What `handoff history --help` says before the exit statuses.
const HISTORY_NOTES: &str = "\
Kept are handoffs that have ended, and starts and ends of daemons that belong to none: the last
thousand or so of each service, in NAME.history in the state directory of the supervisor. Lines of
it that are damaged are left out, and counted on stderr.";

/// And behind them, before the keys of an event.
const HISTORY_JSON: &str = "JSON, one object on each line, the oldest first:";

/// What `handoff watch --help` says before the exit statuses.
const WATCH_NOTES: &str = "\
It says `Following.` on stderr as soon as it misses nothing, and goes on until it is interrupted or
the supervisor ends. If what it writes is not read, it misses events, and says how many; nobody
waits for it.";

/// And behind them, before the keys of an event.
const WATCH_JSON: &str = "JSON, one object on each line; or event `missed` with the key count for those that are missing:";

/// How the supervisor is reached.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Reach {
    /// The supervisor's configuration, which says where its socket is.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The supervisor's socket.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// Replace a service's daemon by another binary, or by the configured one.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{NOTES}\n\n{EXITS}\n\n{JSON}"))]
pub(crate) struct UpgradeArgs {
    /// The service; not needed if there is but one.
    pub(crate) service: Option<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// The new binary; one that the service allows. [default: the service's `binary`]
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,

    /// If something is in progress, wait for its end instead of being refused.
    #[arg(long)]
    pub(crate) wait: bool,

    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Start a service's daemon anew, by a handoff to the binary that runs.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{NOTES}\n\n{EXITS}\n\n{JSON}"))]
pub(crate) struct RestartArgs {
    /// The service; not needed if there is but one.
    pub(crate) service: Option<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// If something is in progress, wait for its end instead of being refused.
    #[arg(long)]
    pub(crate) wait: bool,

    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send a daemon on probation back: the one before it serves again.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{ROLLBACK_EXITS}\n\n{JSON}"))]
pub(crate) struct RollbackArgs {
    /// The service; not needed if there is but one.
    pub(crate) service: Option<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tell what has happened to the services: handoffs, starts and ends, the oldest first.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{HISTORY_NOTES}\n\n{HISTORY_EXITS}\n\n{HISTORY_JSON}\n{EVENT}"))]
pub(crate) struct HistoryArgs {
    /// The service; all of the supervisor's if none is given.
    pub(crate) service: Option<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// At most so many, the last ones.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,

    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tell what happens to the services, as it happens.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = format!("{WATCH_NOTES}\n\n{WATCH_EXITS}\n\n{WATCH_JSON}\n{EVENT}"))]
pub(crate) struct WatchArgs {
    /// The service; all of the supervisor's if none is given.
    pub(crate) service: Option<String>,

    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Tell in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
