//! The successor: gets ready, waits for Begin, takes the lock, opens the data, serves.
//!
//! All that can happen is in [`SUCCESSOR`], the table. Its one link is
//! [`CHANNEL`](Successor::CHANNEL), open from the start. Heartbeats are taken in silence.

mod step;
mod table;

use core::fmt;
use core::time::Duration;

#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{SUCCESSOR, SuccessorRow};
use crate::cause::{Cause, Reason};
use crate::identity::Identity;
use crate::link::LinkId;
use crate::machine::Machine;
use crate::op::{OpId, Open, PublishPath, StagePath, Ticket, TryLock};
use crate::table::labels;
use crate::time::Instant;
use crate::wire::{HandoffId, VersionRange};

/// The successor's machine.
pub type SuccessorMachine<S> = Machine<Successor, S, 1>;

/// The successor's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {}

impl Successor {
    /// The name of the inherited channel to the supervisor.
    pub const CHANNEL: LinkId = LinkId(0);
}

/// How a successor is set up. The times are protocol defaults; see `PROTOCOL.md`.
#[derive(Clone, Debug)]
pub struct SuccessorConfig {
    /// Who we are.
    pub identity: Identity,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// How long the supervisor may take to send HelloAck.
    pub hello: Duration,
    /// How long the supervisor may take from HelloAck to Begin.
    pub begin: Duration,
    /// How often Heartbeat is sent while the data is opened.
    pub heartbeat: Duration,
    /// How long the lock is tried for (`C3`, `C4`).
    pub lock_grace: Duration,
    /// The pause between tries for the lock.
    pub lock_retry: Duration,
    /// How long a peer that does not read may delay what comes after a message.
    pub wire_slack: Duration,
    /// How long opening the data may take. The supervisor has a deadline of its own; this one is
    /// for an adapter that loses the ticket.
    pub patience: Duration,
    /// How long any other operation may take.
    pub host_limit: Duration,
    /// The table to run on; for tests that switch a rule off.
    #[cfg(feature = "trace")]
    pub table: &'static [SuccessorRow],
}

impl Default for SuccessorConfig {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            versions: VersionRange::V1,
            hello: Duration::from_secs(5),
            begin: Duration::from_hours(1),
            heartbeat: Duration::from_secs(2),
            lock_grace: Duration::from_secs(2),
            lock_retry: Duration::from_millis(5),
            wire_slack: Duration::from_secs(1),
            patience: Duration::from_hours(1),
            host_limit: Duration::from_secs(30),
            #[cfg(feature = "trace")]
            table: SUCCESSOR,
        }
    }
}

impl SuccessorConfig {
    /// The table that the machine runs on.
    #[cfg(not(feature = "trace"))]
    pub(crate) const fn table(&self) -> &'static [SuccessorRow] {
        SUCCESSOR
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(&self) -> &'static [SuccessorRow] {
        self.table
    }
}

labels! {
    /// What the successor is at.
    pub enum Phase {
        /// Not started.
        Fresh,
        /// The control socket is being bound under a temporary name.
        Staging,
        /// The same, and the session is lost.
        StagingAlone,
        /// Hello is sent.
        Greeting,
        /// HelloAck is here; waiting for Begin.
        Standing,
        /// A try for the lock is under way.
        Locking,
        /// A short pause before the next try.
        LockPause,
        /// The lock is ours; the data is being opened.
        Opening,
        /// Ready is being written.
        Announcing,
        /// The control socket is being renamed into place.
        Publishing,
        /// The last word to the supervisor is being written.
        Parting,
        /// The daemon is the incumbent.
        Serving,
        /// The process is to leave.
        Failed,
    }
}

labels! {
    /// What can happen to the successor.
    pub enum Cue {
        /// The machine starts.
        Start,
        /// The control socket is bound under its temporary name.
        StageDone,
        /// The control socket cannot be bound.
        StageFailed,
        /// HelloAck.
        Acknowledged,
        /// HelloAck did not come in time.
        HelloLate,
        /// Begin.
        Begin,
        /// Begin did not come in time.
        BeginLate,
        /// Abort.
        Abort,
        /// The session is gone.
        Lost,
        /// The lock was free and is ours.
        LockFree,
        /// The lock is another's.
        LockHeld,
        /// The lock is another's, and the grace is over.
        LockSpent,
        /// The data is open.
        OpenDone,
        /// The data is open, but the daemon is not fit to serve.
        OpenUnhealthy,
        /// The data cannot be opened.
        OpenFailed,
        /// What open reported does not fit into a message.
        OpenTooLarge,
        /// Opening took too long, or its ticket was lost.
        OpenLate,
        /// All that was owed to the supervisor is written.
        Written,
        /// The supervisor does not read.
        WriteLate,
        /// The control socket is in place.
        PublishDone,
        /// The control socket could not be put into place.
        PublishFailed,
        /// The pause is over.
        RetryDue,
    }
}

labels! {
    /// What the successor does.
    pub enum Act {
        /// Bind the control socket under a temporary name.
        StartStage,
        /// Send Hello.
        SendHello,
        /// Wait for HelloAck, for so long.
        ArmHello,
        /// Wait for Begin, for so long.
        ArmBegin,
        /// Try for the lock.
        StartLock,
        /// From now on the lock is tried for so long.
        ArmGrace,
        /// Pause before the next try.
        ArmRetry,
        /// Open the data.
        StartOpen,
        /// Ask open to stop early.
        CancelOpen,
        /// Send Ready.
        SendReady,
        /// Send Abort, with the reason.
        AbortPeer,
        /// Wait for it to be written, for so long.
        ArmWrite,
        /// Rename the control socket into place.
        StartPublish,
        /// End: serve.
        Serve,
        /// End: serve; the control path is still to be bound.
        ServeUnpublished,
        /// End: leave the process.
        Fail,
    }
}

labels! {
    /// What the successor waits for.
    pub enum Why {
        /// HelloAck.
        HelloAck,
        /// Begin.
        Begin,
        /// The next heartbeat is due.
        Heartbeat,
        /// An operation's own limit.
        Operation,
        /// The pause between two tries for the lock.
        Retry,
        /// The supervisor to read.
        Write,
    }
}

/// How a successor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuccessorOutcome {
    /// The lock is ours and the data is open: serve, as the incumbent.
    Serving {
        /// The generation that came with the lock.
        generation: u64,
        /// Whether the control path leads to us. If not, the incumbent's machine binds it.
        published: bool,
    },
    /// Leave the process without serving; that frees the lock, if it was taken.
    Failed(Cause),
}

impl fmt::Display for SuccessorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving { generation, .. } => write!(f, "serving as generation {generation}"),
            Self::Failed(cause) => write!(f, "not taking over: {cause}"),
        }
    }
}

/// What a successor asks of its adapter.
#[derive(Debug, PartialEq, Eq)]
pub enum SuccessorOp {
    /// Bind the control socket under a temporary name, and listen.
    StagePath(Ticket<StagePath>),
    /// Try to take the writer lock, without waiting.
    TryLock(Ticket<TryLock>),
    /// Open the sealed data and get ready to serve.
    Open(Ticket<Open>),
    /// Rename the control socket into place.
    PublishPath(Ticket<PublishPath>),
}

/// A [`SuccessorOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuccessorCall {
    /// See [`SuccessorOp::StagePath`].
    StagePath,
    /// See [`SuccessorOp::TryLock`].
    TryLock,
    /// See [`SuccessorOp::Open`].
    Open,
    /// See [`SuccessorOp::PublishPath`].
    PublishPath,
}

/// All that a successor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SuccessorState {
    phase: Phase,
    /// The handoff, once HelloAck has named it.
    id: Option<HandoffId>,
    op: Option<OpId>,
    /// What the phase waits for, and until when.
    timer: Option<(Instant, Why)>,
    beat: Option<Instant>,
    /// Until when the lock is tried for.
    grace: Instant,
    generation: u64,
    cause: Reason,
}

impl SuccessorState {
    /// What the successor is at.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The handoff it takes part in, once the supervisor has named it.
    pub const fn id(&self) -> Option<HandoffId> {
        self.id
    }
}
