//! What the demo and its supervisor process say to each other, one JSON value a line: orders go to
//! the supervisor's standard input, news come from its standard output.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The name of the daemon's listener.
pub(super) const RESP: &str = "resp";
/// The version that is started when nobody serves.
pub(super) const FIRST: &str = "A";

/// What the supervisor is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Order {
    /// Find out who serves, or start the daemon. The first order.
    LookAround,
    /// Hand the daemon over.
    HandOver {
        /// The version of the successor.
        tag: String,
        /// More arguments for it: what takes its time, and what goes wrong.
        faults: Vec<String>,
        /// How long it serves on probation, in milliseconds; 0 for no probation.
        probation_ms: u64,
    },
}

/// What the supervisor tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// It found nobody who could serve, and has bound the daemon's listener.
    Bound {
        /// Where.
        address: SocketAddr,
    },
    /// It has entered a phase.
    Phase {
        /// The phase's name.
        phase: String,
        /// When.
        at: Moment,
    },
    /// It has done what it was told.
    Ended {
        /// How that ended.
        ending: Ending,
        /// When.
        at: Moment,
    },
    /// It cannot go on, and ends.
    Broken {
        /// Why.
        why: String,
    },
}

/// How a handoff or a look around ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// This process has taken over.
    Committed {
        /// Its pid.
        pid: u32,
    },
    /// The incumbent goes on.
    RolledBack {
        /// Why.
        cause: String,
    },
    /// The daemon was started afresh.
    ColdStarted {
        /// Its pid.
        pid: u32,
    },
    /// This process was found serving.
    Found {
        /// Its pid.
        pid: u32,
        /// Where the daemon's listener listens, which it gave back.
        listener: SocketAddr,
    },
    /// Nothing came of it.
    Failed {
        /// Why.
        cause: String,
    },
}

/// A moment, as nanoseconds of the system's monotonic clock, which all processes share.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Moment(u64);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let nanos = Duration::try_from(now).map_or(0, |now| now.as_nanos());
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The same for use in this process. It may come out too early, by the time for which the
    /// process happens to be kept waiting here, and never too late.
    pub(super) fn instant(self) -> Instant {
        let now = Instant::now();
        let age = Duration::from_nanos(Self::now().0.saturating_sub(self.0));
        now.checked_sub(age).unwrap_or(now)
    }
}
