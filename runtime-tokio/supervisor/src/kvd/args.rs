//! The command line of `handoff kvd`, with the faults that tests ask it to commit.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use std::{process, thread};

use clap::{Args, Subcommand, ValueEnum};
use handoff_std::core::wire::VersionRange;
use handoff_std::core::{IncumbentConfig, SuccessorConfig};
use handoff_std::hooks::HookError;
use serde::Serialize;

use crate::exit::{DONE, ERROR, Exits, USAGE};

const EXITS: Exits = Exits(&[
    (
        DONE,
        "it has been handed over, or was told to end by a signal",
    ),
    (ERROR, "it could not serve: why is on stderr"),
    (USAGE, "the command line is wrong"),
]);

/// Of `handoff kvd check`.
const CHECK_EXITS: Exits = Exits(&[
    (DONE, "it says that it is well"),
    (
        ERROR,
        "it says that it is not, does not answer within 5 seconds, or is no kvd",
    ),
    (USAGE, "the command line is wrong"),
]);

/// A small durable key-value daemon that speaks RESP2 and can be handed over.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_long_help = EXITS.to_string())]
pub(crate) struct KvdArgs {
    /// Something else than to be the daemon.
    #[command(subcommand)]
    pub(crate) command: Option<KvdCommand>,

    /// Where the data and the writer lock live.
    #[arg(long, value_name = "DIR", default_value = "kvd-data")]
    pub(crate) data_dir: PathBuf,

    /// The control socket that handoffs come in on.
    #[arg(long, value_name = "PATH")]
    pub(crate) control_socket: Option<PathBuf>,

    /// Where to listen when no listener named `resp` is inherited.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7379")]
    pub(crate) listen: SocketAddr,

    /// What INFO shows as the version.
    #[arg(long, value_name = "TEXT", default_value = env!("CARGO_PKG_VERSION"))]
    pub(crate) tag: String,

    /// The adapter that it is handed over by.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runtime: Runtime,

    /// Record every handoff in this directory, for `handoff replay`.
    #[arg(long, value_name = "DIR")]
    pub(crate) recordings: Option<PathBuf>,

    /// How long a request that is half there may hold up a drain.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub(crate) drain_grace_ms: u64,

    /// Faults to commit.
    #[command(flatten)]
    pub(crate) faults: Faults,
}

/// What a daemon is built on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runtime {
    /// handoff-std, on threads.
    #[default]
    Std,
    /// handoff-tokio, on a tokio runtime.
    Tokio,
    /// handoff-mio, with its clients as well, on one thread.
    Mio,
}

impl Runtime {
    /// As the command line and INFO say it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Std => "std",
            Self::Tokio => "tokio",
            Self::Mio => "mio",
        }
    }
}

/// What `handoff kvd` can do besides.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KvdCommand {
    /// Ask the daemon at this address whether it is well.
    #[command(after_long_help = CHECK_EXITS.to_string())]
    Check {
        /// Where it listens.
        #[arg(value_name = "ADDR")]
        address: SocketAddr,
    },
}

/// Delays and failures that a test asks for. None by default.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Faults, for tests")]
pub(crate) struct Faults {
    /// Take this long to open the data.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) open_delay_ms: u64,

    /// Take this long to warm up, before the data is needed. A successor does it while the daemon
    /// before it still serves.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) warmup_ms: u64,

    /// Take this long to drain, after connections are no longer accepted; ends early when the
    /// drain is asked to stop.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) drain_delay_ms: u64,

    /// Take this long to seal.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) seal_delay_ms: u64,

    /// Say in INFO, and so to `kvd check`, that it is not well, once it has served for this long.
    #[arg(long, value_name = "MS")]
    pub(crate) sick_after_ms: Option<u64>,

    /// Fail in this hook. A drain fails after it has stopped accepting, a seal after it has closed
    /// the data. May be given more than once.
    #[arg(long, value_name = "HOOK")]
    pub(crate) fail: Vec<FailIn>,

    /// Panic in this hook, before it has done anything. May be given more than once.
    #[arg(long, value_name = "HOOK")]
    pub(crate) panic: Vec<PanicIn>,

    /// Die at the end of the warm-up, without a word.
    #[arg(long)]
    pub(crate) die_in_warm_up: bool,

    /// Never come back from a drain, whatever its deadline and whoever asks it to stop.
    #[arg(long)]
    pub(crate) ignore_drain_deadline: bool,

    /// Take this long to take in that the process before it can no longer come back.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) committed_delay_ms: u64,

    /// Append to this file what no death may hide: a line with the pid and `born`, `resume` or
    /// `committed`, as each begins. A process that was started afresh is committed from the start.
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) hook_log: Option<PathBuf>,

    /// Speak version 1 of the protocol, and no later one.
    #[arg(long, hide = true)]
    pub(crate) version_1: bool,

    /// Scale the protocol's own times to this many percent, so that a test need not wait for them.
    #[arg(long, value_name = "PERCENT", hide = true)]
    pub(crate) times_percent: Option<u32>,
}

/// A hook that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailIn {
    /// Warming up.
    WarmUp,
    /// Opening the data.
    Open,
    /// Draining.
    Drain,
    /// Sealing.
    Seal,
    /// Resuming.
    Resume,
}

/// A hook that can panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PanicIn {
    /// Draining.
    Drain,
    /// Sealing.
    Seal,
}

impl KvdArgs {
    /// How long a request that is half there may hold up a drain.
    pub(crate) fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }
}

impl Faults {
    /// How long to sleep before the data is opened.
    pub(crate) fn open_delay(&self) -> Duration {
        Duration::from_millis(self.open_delay_ms)
    }

    /// Warms up: takes its time, and then fails or dies if it was asked to.
    ///
    /// # Errors
    /// Says that it was asked for.
    pub(crate) fn warm_up(&self) -> Result<(), HookError> {
        thread::sleep(self.warm_up_delay());
        self.end_warm_up()
    }

    /// How long to warm up.
    pub(crate) fn warm_up_delay(&self) -> Duration {
        Duration::from_millis(self.warmup_ms)
    }

    /// What comes after that time.
    ///
    /// # Errors
    /// Says that it was asked for.
    pub(crate) fn end_warm_up(&self) -> Result<(), HookError> {
        if self.die_in_warm_up {
            process::abort();
        }
        self.check(FailIn::WarmUp)
    }

    /// After how long to be sick; `None` for never.
    pub(crate) fn sick_after(&self) -> Option<Duration> {
        self.sick_after_ms.map(Duration::from_millis)
    }

    /// How long to draw a drain out.
    pub(crate) fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    /// How long to draw a seal out.
    pub(crate) fn seal_delay(&self) -> Duration {
        Duration::from_millis(self.seal_delay_ms)
    }

    /// How long to draw the committed hook out.
    pub(crate) fn committed_delay(&self) -> Duration {
        Duration::from_millis(self.committed_delay_ms)
    }

    /// Writes down that this begins, if that was asked for.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn log(&self, what: &str) -> io::Result<()> {
        let Some(path) = &self.hook_log else {
            return Ok(());
        };
        let line = format!("{} {what}\n", process::id());
        // One write, so that lines of several processes stay whole and in order.
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(line.as_bytes())
    }

    fn versions(&self) -> VersionRange {
        if self.version_1 {
            VersionRange::V1
        } else {
            VersionRange::SUPPORTED
        }
    }

    /// The versions and times of an incumbent.
    pub(crate) fn incumbent_times(&self) -> IncumbentConfig {
        let times = IncumbentConfig::default();
        IncumbentConfig {
            versions: self.versions(),
            hello: self.scale(times.hello),
            heartbeat: self.scale(times.heartbeat),
            wire_slack: self.scale(times.wire_slack),
            dead_peer: self.scale(times.dead_peer),
            cancel_grace: self.scale(times.cancel_grace),
            host_retry: self.scale(times.host_retry),
            ..times
        }
    }

    /// The versions and times of a successor.
    pub(crate) fn successor_times(&self) -> SuccessorConfig {
        let times = SuccessorConfig::default();
        SuccessorConfig {
            versions: self.versions(),
            hello: self.scale(times.hello),
            heartbeat: self.scale(times.heartbeat),
            lock_grace: self.scale(times.lock_grace),
            wire_slack: self.scale(times.wire_slack),
            ..times
        }
    }

    fn scale(&self, time: Duration) -> Duration {
        time * self.times_percent.unwrap_or(100) / 100
    }

    /// Fails if `hook` was asked to.
    ///
    /// # Errors
    /// Says that it was asked for.
    pub(crate) fn check(&self, hook: FailIn) -> Result<(), HookError> {
        if self.fail.contains(&hook) {
            return Err(format!("{hook:?} fails, as --fail asked for").into());
        }
        Ok(())
    }

    /// Panics if `hook` was asked to.
    pub(crate) fn maybe_panic(&self, hook: PanicIn) {
        assert!(
            !self.panic.contains(&hook),
            "{hook:?} panics, as --panic asked for"
        );
    }
}
