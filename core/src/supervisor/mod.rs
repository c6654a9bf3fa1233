//! The supervisor: drives one handoff, or finds out after a restart who serves.
//!
//! All that can happen is in [`SUPERVISOR`], the table. A machine is made for one task and ends with
//! it. Its two links are opened by operations: the incumbent's by [`Connect`](crate::op::Connect), the
//! successor's by [`Spawn`](crate::op::Spawn). Heartbeats keep a peer from counting as silent, and do
//! nothing else.

mod call;
mod decide;
mod step;
mod table;

use core::fmt;
use core::time::Duration;

pub use self::call::{SupervisorCall, SupervisorOp};
#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{SUPERVISOR, SupervisorRow};
use crate::cause::{Cause, Reason};
use crate::journal::{Entry, Stage};
use crate::machine::Machine;
use crate::op::{OpId, Process};
use crate::table::labels;
use crate::time::Instant;
use crate::wire::{HandoffId, VersionRange};

/// The supervisor's machine.
pub type SupervisorMachine<S> = Machine<Supervisor, S, 2>;

/// The supervisor's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {}

/// What a supervisor's machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Perform a handoff with this id, which must be random.
    Handoff(HandoffId),
    /// Find out who serves, after a restart or at first start (`C9`). The entry is what the journal
    /// says was in flight.
    Recover(Option<Entry>),
}

/// How a supervisor is set up. The times are protocol defaults; see `PROTOCOL.md`.
#[derive(Clone, Debug)]
pub struct SupervisorConfig {
    /// What it is to do.
    pub task: Task,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// From PrepareHandoff to Ready, all in all.
    pub deadline: Duration,
    /// From PrepareHandoff to Drained.
    pub drain_grace: Duration,
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
    pub table: &'static [SupervisorRow],
}

impl SupervisorConfig {
    /// The defaults, for `task`.
    pub const fn new(task: Task) -> Self {
        Self {
            task,
            versions: VersionRange::V1,
            deadline: Duration::from_mins(5),
            drain_grace: Duration::from_mins(1),
            kill_stuck_incumbent: false,
            retired: None,
            hello: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            connect_retry: Duration::from_millis(10),
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
    pub(crate) const fn table(&self) -> &'static [SupervisorRow] {
        SUPERVISOR
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(&self) -> &'static [SupervisorRow] {
        self.table
    }
}

labels! {
    /// What the supervisor is at.
    pub enum Phase {
        /// Not started.
        Fresh,
        /// Connecting to the control path.
        Connecting,
        /// A pause before the next try.
        ConnectPause,
        /// Waiting for the incumbent's Hello.
        Meeting,
        /// The successor is being started.
        Spawning,
        /// Waiting for the successor's Hello.
        Welcoming,
        /// The journal is being written.
        Journaling,
        /// The incumbent drains.
        Draining,
        /// The incumbent seals.
        Sealing,
        /// The successor takes the lock and opens the data.
        Opening,
        /// Commit is being written.
        Committing,
        /// The stuck incumbent is being killed.
        KillingIncumbent,
        /// The successor is being killed.
        Killing,
        /// Abort or ResumeAfterAbort is being written.
        Undoing,
        /// Is the incumbent still there?
        Confirming,
        /// A pause before that is asked again.
        ConfirmPause,
        /// The daemon is being started afresh.
        ColdStarting,
        /// After a restart: connecting to the control path.
        Calling,
        /// After a restart: waiting for a Hello.
        Asking,
        /// After a restart: looking who lives.
        Probing,
        /// After a restart: a pause before the next look.
        Settling,
        /// After a restart: the unsettled successor is being killed.
        Evicting,
        /// The task has ended.
        Done,
    }
}

labels! {
    /// What can happen to the supervisor.
    pub enum Cue {
        /// The machine starts, to perform a handoff.
        StartHandoff,
        /// The machine starts, to look around.
        StartRecovery,
        /// Connected.
        ConnectDone,
        /// Not connected.
        ConnectFailed,
        /// Not connected, and the time for it is over.
        ConnectSpent,
        /// The incumbent's Hello.
        IncumbentHello,
        /// A Hello of the process that was retired.
        HelloRetired,
        /// Whoever answers cannot take part: wrong role, or no version in common.
        IncumbentUnfit,
        /// The incumbent's session is gone, or it is silent.
        IncumbentLost,
        /// The same before its Hello, and the time for connecting is over.
        IncumbentLostSpent,
        /// The incumbent missed a deadline.
        IncumbentLate,
        /// The incumbent missed its drain or seal deadline, and is to be killed for it.
        IncumbentStuck,
        /// Abort from the incumbent.
        IncumbentAbort,
        /// Drained.
        Drained,
        /// SealComplete.
        SealComplete,
        /// SealFailed.
        SealFailed,
        /// The successor is started.
        SpawnDone,
        /// The successor could not be started.
        SpawnFailed,
        /// The same, and the incumbent is lost.
        SpawnAlone,
        /// The successor's Hello.
        SuccessorHello,
        /// The successor's session is gone, or it is silent.
        SuccessorLost,
        /// The successor missed a deadline.
        SuccessorLate,
        /// Abort from the successor.
        SuccessorAbort,
        /// Ready.
        Ready,
        /// Ready, and the incumbent is lost.
        ReadyAlone,
        /// Ready, but not healthy.
        ReadyUnhealthy,
        /// The journal is written, or cannot be.
        JournalDone,
        /// The same, and the incumbent is lost.
        JournalAlone,
        /// The process is dead.
        KillDone,
        /// The same, and the incumbent is lost.
        KillAlone,
        /// The process could not be killed.
        KillFailed,
        /// All that was owed to the incumbent is written.
        Written,
        /// The incumbent does not read.
        WriteLate,
        /// The pause is over.
        RetryDue,
        /// The daemon is started afresh.
        ColdDone,
        /// The daemon could not be started.
        ColdFailed,
        /// Who answers is the incumbent.
        Settled,
        /// Not decided yet.
        Unsettled,
        /// Not decided in time, and the journal's successor lives.
        UnsettledLate,
        /// Nobody answers in time, though somebody lives or holds the lock.
        Occupied,
        /// Nobody answers, nobody lives, and the lock is free.
        Vacant,
    }
}

labels! {
    /// What the supervisor does.
    pub enum Act {
        /// Connect to the control path.
        StartConnect,
        /// Wait for the incumbent's Hello, for so long.
        ArmMeet,
        /// Send HelloAck to the incumbent.
        AckIncumbent,
        /// Start the successor.
        StartSpawn,
        /// Wait for the successor's Hello, for so long.
        ArmWelcome,
        /// Send HelloAck to the successor.
        AckSuccessor,
        /// Write the journal: about to drain.
        JournalPrepared,
        /// Write the journal: Begin is sent. Nothing waits for it.
        JournalBegun,
        /// Remove the journal.
        ClearJournal,
        /// Send PrepareHandoff.
        SendPrepare,
        /// Wait for Drained, for so long.
        ArmDrain,
        /// Send SealRequest.
        SendSealRequest,
        /// Wait for SealComplete, for so long.
        ArmSeal,
        /// Send Begin.
        SendBegin,
        /// Wait for Ready, for so long.
        ArmReady,
        /// Send Commit.
        SendCommit,
        /// Wait for it to be written, for so long.
        ArmWrite,
        /// Pause before the next try.
        ArmRetry,
        /// Close the incumbent's link.
        CloseIncumbent,
        /// Send Abort to the incumbent.
        SendAbort,
        /// Send Abort to the incumbent, or ResumeAfterAbort if Begin was sent.
        SendUndo,
        /// Kill the successor, and reap it.
        KillSuccessor,
        /// Kill the incumbent.
        KillIncumbent,
        /// Kill the journal's successor.
        AskKill,
        /// Give connecting, or the scene, time from now on.
        Extend,
        /// Look who lives.
        StartProbe,
        /// Start the daemon afresh.
        StartColdStart,
        /// End: committed.
        Succeed,
        /// End: the incumbent goes on.
        RolledBack,
        /// End: the daemon was started afresh.
        Started,
        /// End: somebody serves.
        Found,
        /// End: failed.
        Fail,
    }
}

labels! {
    /// What the supervisor waits for.
    pub enum Why {
        /// A Hello.
        Hello,
        /// Drained.
        Drained,
        /// SealComplete.
        SealComplete,
        /// Ready.
        Ready,
        /// A sign of life.
        Life,
        /// A peer to read.
        Write,
        /// The pause between two tries.
        Retry,
        /// An operation's own limit.
        Operation,
    }
}

/// How a supervisor's task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SupervisorOutcome {
    /// The successor serves.
    Committed {
        /// The handoff.
        id: HandoffId,
        /// The new incumbent.
        successor: Process,
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
    /// The task could not be carried out. Nothing was changed, unless the cause says so.
    Failed(Cause),
}

impl fmt::Display for SupervisorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed { id, successor } => {
                write!(f, "committed: pid {} serves (handoff {id})", successor.pid)
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
