//! What the supervisor of a row is told, a line at a time. The words of a line are separated by tabs.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use handoff_std::HealthCheck;

use super::case::{Runtime, Victim};

/// Answers a phase, which goes on.
pub(super) const GO: &str = "go";
/// Asks, at any time, for the successor on probation to be sent back.
pub(super) const ROLL_BACK: &str = "roll back";

/// From the start of one run of a health check to the next.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How long a run may take.
const CHECK_LIMIT: Duration = Duration::from_millis(400);

/// How the supervisor of a row is started.
#[derive(Debug, Parser)]
pub(super) struct Setup {
    /// The directory of the row.
    pub(super) dir: PathBuf,
    /// Where the daemon is to listen.
    pub(super) address: SocketAddr,
    /// What the daemon is built on.
    #[arg(long)]
    pub(super) runtime: Runtime,
    /// Who speaks version 1 alone.
    #[arg(long)]
    pub(super) old: Option<Victim>,
}

/// An order.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
pub(super) enum Order {
    /// Look who serves (`C9`), and get hold of the listener.
    Recover,
    /// Hand over.
    Handoff(Handoff),
}

/// What to hand over to, and how.
#[derive(Debug, Parser)]
pub(super) struct Handoff {
    /// The successor's version.
    pub(super) version: String,
    /// How long its probation is.
    #[arg(long, default_value_t = 0)]
    probation_ms: u64,
    /// How long it may warm up.
    #[arg(long, default_value_t = 4000)]
    warm_up_ms: u64,
    /// From `PrepareHandoff` to Ready.
    #[arg(long, default_value_t = 4000)]
    deadline_ms: u64,
    /// How long the incumbent may drain.
    #[arg(long, default_value_t = 2000)]
    drain_grace_ms: u64,
    /// Kill an incumbent that misses its deadline (`C10`).
    #[arg(long)]
    pub(super) kill_stuck: bool,
    /// The program of the health check.
    #[arg(long)]
    check: Option<PathBuf>,
    /// Its arguments.
    #[arg(long, requires = "check", allow_hyphen_values = true)]
    check_arg: Vec<OsString>,
    /// The successor's own arguments.
    #[arg(last = true)]
    pub(super) args: Vec<OsString>,
}

impl Order {
    /// Understands a line.
    ///
    /// # Errors
    /// It is none of these.
    pub(super) fn parse(line: &str) -> Result<Self, clap::Error> {
        Self::try_parse_from(line.split('\t'))
    }
}

impl Handoff {
    pub(super) const fn probation(&self) -> Duration {
        Duration::from_millis(self.probation_ms)
    }

    pub(super) const fn warm_up(&self) -> Duration {
        Duration::from_millis(self.warm_up_ms)
    }

    pub(super) const fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub(super) const fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }

    pub(super) fn health(&self) -> Option<HealthCheck> {
        let program = self.check.as_ref()?;
        Some(HealthCheck {
            interval: CHECK_INTERVAL,
            timeout: CHECK_LIMIT,
            ..HealthCheck::command(program, self.check_arg.iter().cloned())
        })
    }
}
