//! The supervisor: drives one handoff, finds out after a restart who serves, or asks the incumbent.
//!
//! All that can happen is in [`SUPERVISOR`], the table. A machine is made for one task and ends with
//! it. Its two links are opened by operations: the incumbent's by [`Connect`](crate::op::Connect), the
//! successor's by [`Spawn`](crate::op::Spawn). Heartbeats keep a peer from counting as silent, and do
//! nothing else; an incumbent that speaks version 2 is sent some all the time (`C11`).

mod call;
mod decide;
mod events;
mod labels;
mod role;
mod step;
mod table;

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::call::{SupervisorCall, SupervisorOp};
pub use self::labels::{Act, Cue, Phase, Why};
#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{SUPERVISOR, SupervisorRow};
use crate::cause::{Cause, Reason};
use crate::handles::Handles;
use crate::journal::{Entry, Stage};
use crate::machine::Machine;
use crate::op::{OpId, Process};
use crate::time::Instant;
use crate::wire::{HandoffId, VersionRange};

/// The supervisor's machine.
pub type SupervisorMachine<S> = Machine<Supervisor, S, 2>;

/// The supervisor's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {}

/// What a supervisor's machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// Perform a handoff with this id, which must be random.
    Handoff(HandoffId),
    /// Find out who serves, after a restart or at first start (`C9`). The entry is what the journal
    /// says was in flight.
    Recover(Option<Entry>),
    /// Ask the incumbent something, which it answers whatever it is at. Takes a session of its own with
    /// a random id, and has nothing to do with any handoff.
    Ask(HandoffId, Question),
}

/// What an incumbent can be asked. It takes version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Question {
    /// The listeners that it keeps, for a supervisor that has lost them.
    Listeners,
    /// How it is.
    Status,
}

/// What a handoff had to do without, since version 1 is spoken with a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shortfall {
    /// The successor could not say when it was warm, so its warm-up may have been part of the pause.
    pub standby: bool,
    /// A probation was asked for, but the incumbent could not have come back.
    pub probation: bool,
}

impl fmt::Display for Shortfall {
    /// Empty, or in brackets after a space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.standby, self.probation) {
            (false, false) => Ok(()),
            (true, false) => f.write_str(" (without warm standby: version 1 with the successor)"),
            (false, true) => f.write_str(" (without probation: version 1 with the incumbent)"),
            (true, true) => {
                f.write_str(" (without warm standby and probation: version 1 with both)")
            }
        }
    }
}

/// How a supervisor is set up. The times are protocol defaults; see `PROTOCOL.md`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SupervisorConfig {
    /// What it is to do.
    pub task: Task,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// From PrepareHandoff to Ready, all in all.
    pub deadline: Duration,
    /// From PrepareHandoff to Drained.
    pub drain_grace: Duration,
    /// How long the successor serves before the incumbent is told to leave, if that speaks version 2.
    /// Zero: no probation.
    pub probation: Duration,
    /// How long the successor serves before Commit if there is no probation and all three speak version 2: an
    /// incumbent that leaves would take processor time from its first answers. Zero: Commit follows Ready at
    /// once, as it does with a peer of version 1.
    pub commit_delay: Duration,
    /// How long the successor may take to warm up.
    pub warmup: Duration,
    /// Kill an incumbent that misses its deadline and go on with the successor, instead of giving
    /// the handoff up (`C10`).
    pub kill_stuck_incumbent: bool,
    /// The pid of a process that has been retired and may still answer for a moment.
    pub retired: Option<u32>,
    /// How long a peer may take to say Hello.
    pub hello: Duration,
    /// How long to try to reach an incumbent.
    pub connect: Duration,
    /// The pause between two tries.
    pub connect_retry: Duration,
    /// How often an incumbent of version 2 is sent a Heartbeat.
    pub heartbeat: Duration,
    /// After how long without a byte a peer whose hook runs counts as dead.
    pub dead_peer: Duration,
    /// What a deadline is stretched by, so that an answer sent at the last moment counts.
    pub wire_slack: Duration,
    /// How long processes may stay unsettled after a restart (`C9`).
    pub settle: Duration,
    /// How long any operation may take.
    pub host_limit: Duration,
    /// The table to run on; for tests that switch a rule off.
    #[cfg(feature = "trace")]
    #[serde(skip, default = "own_table")]
    pub table: &'static [SupervisorRow],
}

impl SupervisorConfig {
    /// The defaults, for `task`.
    pub const fn new(task: Task) -> Self {
        Self {
            task,
            versions: VersionRange::SUPPORTED,
            deadline: Duration::from_mins(5),
            drain_grace: Duration::from_mins(1),
            probation: Duration::ZERO,
            commit_delay: Duration::from_millis(2),
            warmup: Duration::from_mins(1),
            kill_stuck_incumbent: false,
            retired: None,
            hello: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            connect_retry: Duration::from_millis(10),
            heartbeat: Duration::from_secs(2),
            dead_peer: Duration::from_secs(10),
            wire_slack: Duration::from_secs(1),
            settle: Duration::from_secs(30),
            host_limit: Duration::from_secs(30),
            #[cfg(feature = "trace")]
            table: SUPERVISOR,
        }
    }
}

impl SupervisorConfig {
    /// The table that the machine runs on.
    #[cfg(not(feature = "trace"))]
    pub(crate) const fn table(_: &Self) -> &'static [SupervisorRow] {
        SUPERVISOR
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(config: &Self) -> &'static [SupervisorRow] {
        config.table
    }
}

/// The table of a configuration that was read from a record, which does not hold it.
#[cfg(feature = "trace")]
const fn own_table() -> &'static [SupervisorRow] {
    SUPERVISOR
}

/// How a supervisor's task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SupervisorOutcome {
    /// The successor serves.
    Committed {
        /// The handoff.
        id: HandoffId,
        /// The new incumbent.
        successor: Process,
        /// What had to be done without.
        shortfall: Shortfall,
    },
    /// The old incumbent goes on as before (`C7`, `C8`). The successor is dead.
    RolledBack {
        /// The handoff.
        id: HandoffId,
        /// Why.
        cause: Cause,
    },
    /// Nobody was left, and the daemon was started afresh.
    ColdStarted {
        /// The new incumbent.
        process: Process,
        /// What took the others away; `None` when there were none to begin with.
        cause: Option<Cause>,
    },
    /// After a restart: this process is the incumbent.
    Found {
        /// As it says in its Hello. The start time is not known to the core.
        pid: u32,
    },
    /// The incumbent has answered.
    Answered {
        /// As it says in its Hello.
        pid: u32,
    },
    /// The task could not be carried out. Nothing was changed, unless the cause says so.
    Failed(Cause),
}

impl fmt::Display for SupervisorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed {
                id,
                successor,
                shortfall,
            } => {
                let pid = successor.pid;
                write!(f, "committed: pid {pid} serves (handoff {id}){shortfall}")
            }
            Self::RolledBack { id, cause } => write!(f, "rolled back: {cause} (handoff {id})"),
            Self::ColdStarted {
                process,
                cause: Some(cause),
            } => {
                write!(f, "started afresh as pid {}, since {cause}", process.pid)
            }
            Self::ColdStarted {
                process,
                cause: None,
            } => {
                write!(f, "started as pid {}", process.pid)
            }
            Self::Found { pid } => write!(f, "pid {pid} serves"),
            Self::Answered { pid } => write!(f, "pid {pid} has answered"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
        }
    }
}

/// All that a supervisor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SupervisorState {
    phase: Phase,
    /// The incumbent, once it has been reached; and whether its session is lost since.
    incumbent: Process,
    incumbent_lost: bool,
    successor: Process,
    /// The operation that the phase waits for.
    op: Option<OpId>,
    timer: Option<(Instant, Why)>,
    /// The moment by which the peer that the phase depends on must have been heard from again.
    alive_until: Option<Instant>,
    /// When trying to connect, or letting the scene settle, ends.
    patience: Instant,
    /// When Ready must be here.
    deadline: Instant,
    /// How far the incumbent was taken, for the way back; `None` before PrepareHandoff.
    stage: Option<Stage>,
    /// The journal write that nothing waits for.
    journal: Option<OpId>,
    /// When the incumbent is sent the next Heartbeat.
    beat: Option<Instant>,
    shortfall: Shortfall,
    /// The descriptors of the listeners that came.
    handles: Handles,
    /// Who answered, after a restart.
    answered: Option<u32>,
    cause: Option<Reason>,
}

impl SupervisorState {
    /// What the supervisor is at.
    pub const fn phase(&self) -> Phase {
        self.phase
    }
}
