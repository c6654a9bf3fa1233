//! What the demo and its supervisor process say to each other, one JSON value a line: orders go to
//! the supervisor's standard input, news come from its standard output.

use serde::{Deserialize, Serialize};

/// The name of the daemon's listener.
pub(super) const RESP: &str = "resp";

/// What the supervisor is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Hand the daemon over.
    HandOver {
        /// The version of the successor.
        tag: String,
        /// More arguments for it: the faults it is to commit.
        faults: Vec<String>,
    },
}

/// What the supervisor tells.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// It has entered a phase.
    Phase {
        /// The phase's name.
        phase: String,
        /// When, in microseconds since the supervisor was started.
        at_us: u64,
    },
    /// What it was told to do, or the look around at its start, has ended.
    Ended {
        /// How.
        ending: Ending,
        /// When, in microseconds since the supervisor was started.
        at_us: u64,
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
    },
    /// Nothing came of it.
    Failed {
        /// Why.
        cause: String,
    },
}
