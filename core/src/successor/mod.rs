//! The successor: warms up, waits for Begin, takes the lock, opens the data, serves on probation.
//!
//! All that can happen is in [`SUCCESSOR`], the table. Its one link is
//! [`CHANNEL`](Successor::CHANNEL), open from the start. Heartbeats are taken in silence.
//!
//! From [`SuccessorOp::Serve`] on the process is the incumbent, and an incumbent's machine answers the
//! control path. This one goes on beside it until the probation has ended, by Commit or, with version 1,
//! by the end of the session; its end is the other's [`Input::Probation`](crate::Input::Probation).

mod labels;
mod role;
mod step;
mod table;

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::labels::{Act, Cue, Phase, Why};
#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{SUCCESSOR, SuccessorRow};
use crate::cause::{Cause, Reason};
use crate::identity::Identity;
use crate::link::LinkId;
use crate::machine::Machine;
use crate::op::{OpId, Open, PublishPath, Serve, StagePath, Ticket, TryLock, Verdict, WarmUp};
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuccessorConfig {
    /// Who we are.
    pub identity: Identity,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// How long the supervisor may take to send HelloAck.
    pub hello: Duration,
    /// How long the daemon may take to warm up. The supervisor has a deadline of its own; this one is
    /// for an adapter that loses the ticket.
    pub warmup: Duration,
    /// How long the supervisor may take from Standby to Begin.
    pub begin: Duration,
    /// How often Heartbeat is sent while the daemon warms up or opens its data.
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
    #[serde(skip, default = "own_table")]
    pub table: &'static [SuccessorRow],
}

impl Default for SuccessorConfig {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            versions: VersionRange::SUPPORTED,
            hello: Duration::from_secs(5),
            warmup: Duration::from_hours(1),
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
    pub(crate) const fn table(_: &Self) -> &'static [SuccessorRow] {
        SUCCESSOR
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(config: &Self) -> &'static [SuccessorRow] {
        config.table
    }
}

/// The table of a configuration that was read from a record, which does not hold it.
#[cfg(feature = "trace")]
const fn own_table() -> &'static [SuccessorRow] {
    SUCCESSOR
}

/// How a successor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SuccessorOutcome {
    /// The daemon serves, and its probation is over.
    Serving {
        /// The generation that came with the lock.
        generation: u64,
        /// Whether the control path leads to us. If not, the incumbent's machine binds it.
        published: bool,
        /// How the probation ended. Never [`Verdict::Dismissed`].
        verdict: Verdict,
    },
    /// Leave the process, which frees the lock if it was taken. A daemon that serves on probation
    /// has been dismissed: [`Verdict::Dismissed`].
    Failed(Cause),
}

impl fmt::Display for SuccessorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving {
                generation,
                verdict,
                ..
            } => {
                let verdict = match verdict {
                    Verdict::Committed => "committed",
                    _ => "nobody is left to say Commit",
                };
                write!(f, "serving as generation {generation}, {verdict}")
            }
            Self::Failed(cause) => write!(f, "not taking over: {cause}"),
        }
    }
}

/// What a successor asks of its adapter.
#[derive(Debug, PartialEq, Eq)]
pub enum SuccessorOp {
    /// Bind the control socket under a temporary name, and listen.
    StagePath(Ticket<StagePath>),
    /// Let the daemon get ready as far as it can without the lock and the data.
    WarmUp(Ticket<WarmUp>),
    /// Try to take the writer lock, without waiting.
    TryLock(Ticket<TryLock>),
    /// Open the sealed data and get ready to serve. The daemon may still be warming up, if the
    /// supervisor speaks version 1 or was lost meanwhile; if that fails, this has failed.
    Open(Ticket<Open>),
    /// Rename the control socket into place.
    PublishPath(Ticket<PublishPath>),
    /// Serve, as the incumbent. Nothing waits for the report.
    Serve {
        /// To report its end with.
        ticket: Ticket<Serve>,
        /// The generation that came with the lock.
        generation: u64,
        /// Whether the control path leads to us. If not, the incumbent's machine binds it.
        published: bool,
    },
}

/// A [`SuccessorOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SuccessorCall {
    /// See [`SuccessorOp::StagePath`].
    StagePath,
    /// See [`SuccessorOp::WarmUp`].
    WarmUp,
    /// See [`SuccessorOp::TryLock`].
    TryLock,
    /// See [`SuccessorOp::Open`].
    Open,
    /// See [`SuccessorOp::PublishPath`].
    PublishPath,
    /// See [`SuccessorOp::Serve`]: the generation, and whether the control path is ours.
    Serve(u64, bool),
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
    /// Whether the control socket is in place.
    published: bool,
    /// Commit has come.
    committed: bool,
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
