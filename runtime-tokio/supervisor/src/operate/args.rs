//! The command lines of `handoff upgrade`, `restart` and `rollback`.

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
    (REFUSED, "refused: nothing was begun"),
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
It is done when the new daemon serves for good: after its probation, if the service has one.";

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
