//! The incumbent: serves, drains and seals when asked to, and comes back when nobody took over.
//!
//! All that can happen in a handoff is in [`INCUMBENT`], the table. Beside it, each session is in one
//! of two states of its own:
//!
//! | session | hears | does |
//! |---|---|---|
//! | greeting | HelloAck | acknowledged, with its version and handoff id |
//! | greeting | anything else, or nothing for `hello` | ends |
//! | acknowledged | PrepareHandoff while Serving | owns the handoff |
//! | acknowledged | PrepareHandoff otherwise | refused with Abort |
//! | acknowledged | Heartbeat between hooks | answered with Heartbeat |
//! | owner | SealRequest, Commit, Abort, ResumeAfterAbort | a cue for the table |
//! | given up | PrepareHandoff, SealRequest, Commit | answered with Abort (`C11`) |
//! | acknowledged, given up | Abort, ResumeAfterAbort | nothing is there to be undone |

mod events;
mod sessions;
mod step;
mod table;

use core::fmt;
use core::time::Duration;

#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{INCUMBENT, IncumbentRow};
use crate::cause::{Cause, Reason};
use crate::identity::Identity;
use crate::machine::Machine;
use crate::op::{BindPath, Drain, InspectPath, OpId, ReleaseLock, Resume, Seal, Ticket, TryLock};
use crate::table::labels;
use crate::time::Instant;
use crate::wire::{HandoffId, VersionRange};

/// The incumbent's machine, with room for `SESSIONS` connections at once; at most
/// [`MAX_LINKS`](crate::MAX_LINKS).
pub type IncumbentMachine<S, const SESSIONS: usize = 8> = Machine<Incumbent, S, SESSIONS>;

/// The incumbent's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incumbent {}

/// How an incumbent is set up. The times are protocol defaults; see `PROTOCOL.md`.
#[derive(Clone, Debug)]
pub struct IncumbentConfig {
    /// Who we are.
    pub identity: Identity,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// Whether the control path already leads to us. `false` binds it, and tries again until it
    /// does.
    pub bound: bool,
    /// How long a connection may take to send HelloAck.
    pub hello: Duration,
    /// How often Heartbeat is sent while a hook runs.
    pub heartbeat: Duration,
    /// What a deadline that the supervisor announced is stretched by.
    pub wire_slack: Duration,
    /// How long the supervisor may be silent when it is its turn: to ask for the seal, and to have
    /// the successor take the lock (`C11`).
    pub dead_peer: Duration,
    /// The longest deadline that a supervisor may announce; a later one is cut to it.
    pub longest_deadline: Duration,
    /// How long a cancelled drain may keep `resume` waiting.
    pub cancel_grace: Duration,
    /// How long a hook that nobody else bounds may take.
    pub patience: Duration,
    /// How long any other operation may take.
    pub host_limit: Duration,
    /// The pause between tries for the writer lock.
    pub lock_retry: Duration,
    /// The pause between tries to resume or to bind the control path.
    pub host_retry: Duration,
    /// How often `resume` is tried before the process is told to leave.
    pub resume_tries: u8,
    /// The table to run on; for tests that switch a rule off.
    #[cfg(feature = "trace")]
    pub table: &'static [IncumbentRow],
}

impl Default for IncumbentConfig {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            versions: VersionRange::V1,
            bound: true,
            hello: Duration::from_secs(5),
            heartbeat: Duration::from_secs(2),
            wire_slack: Duration::from_secs(1),
            dead_peer: Duration::from_secs(10),
            longest_deadline: Duration::from_mins(10),
            cancel_grace: Duration::from_secs(5),
            patience: Duration::from_mins(10),
            host_limit: Duration::from_secs(30),
            lock_retry: Duration::from_millis(10),
            host_retry: Duration::from_secs(1),
            resume_tries: 3,
            #[cfg(feature = "trace")]
            table: INCUMBENT,
        }
    }
}

impl IncumbentConfig {
    /// The table that the machine runs on.
    #[cfg(not(feature = "trace"))]
    pub(crate) const fn table(&self) -> &'static [IncumbentRow] {
        INCUMBENT
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(&self) -> &'static [IncumbentRow] {
        self.table
    }
}

labels! {
    /// What the incumbent is at.
    pub enum Phase {
        /// The daemon serves; the lock is ours.
        Serving,
        /// The drain hook runs.
        Draining,
        /// The drain hook runs, but is no longer wanted.
        Undraining,
        /// Drained; the supervisor has the word.
        Drained,
        /// The seal hook runs.
        Sealing,
        /// The seal hook runs, but is no longer wanted.
        Unsealing,
        /// The lock is being released.
        Releasing,
        /// The lock is being released, though nobody wants that any more.
        Unreleasing,
        /// Sealed, the lock released; the supervisor has the word.
        Sealed,
        /// A try for the lock is under way.
        Reclaiming,
        /// The lock is another's: whose is the control path?
        Watching,
        /// A short pause before the next try for the lock.
        Pausing,
        /// The lock is ours again: whose is the control path?
        Returning,
        /// The control path is being bound again.
        Rebinding,
        /// The resume hook runs.
        Resuming,
        /// The resume hook failed; a pause before it is tried again.
        Stumbling,
        /// Another process took over by Commit.
        Retired,
        /// Another process took over without a word.
        Superseded,
        /// The daemon can neither serve nor be handed over.
        Failed,
    }
}

labels! {
    /// What can happen to the incumbent.
    pub enum Cue {
        /// PrepareHandoff from a session that may own the handoff.
        Prepare,
        /// SealRequest from the owner.
        SealRequest,
        /// Commit from the owner.
        Commit,
        /// Abort from the owner.
        Abort,
        /// ResumeAfterAbort from the owner.
        Resume,
        /// The owner's session is gone.
        OwnerLost,
        /// The owner's announced deadline has passed, slack included.
        OwnerSilent,
        /// The drain hook is done.
        DrainDone,
        /// The drain hook failed.
        DrainFailed,
        /// The seal hook is done.
        SealDone,
        /// The seal hook is done, but its report does not fit into a message.
        SealTooLarge,
        /// The seal hook failed.
        SealFailed,
        /// The lock is released.
        ReleaseDone,
        /// The lock could not be released.
        ReleaseFailed,
        /// The lock was free and is ours.
        LockFree,
        /// The lock is another's, or cannot be taken.
        LockHeld,
        /// The control path leads to us.
        PathOurs,
        /// The control path leads to another process.
        PathTheirs,
        /// The same while we try for the lock, but the supervisor may still be about to kill it, or
        /// it may be dying.
        PathUnsure,
        /// The control path leads nowhere.
        PathUnbound,
        /// The control path is bound.
        BindDone,
        /// The control path could not be bound.
        BindFailed,
        /// The daemon serves again.
        ResumeDone,
        /// The resume hook failed.
        ResumeFailed,
        /// The resume hook failed for the last time.
        ResumeSpent,
        /// An operation took too long, or its ticket was lost.
        HookLate,
        /// The pause is over.
        RetryDue,
        /// It is time to bind the control path again.
        RebindDue,
    }
}

labels! {
    /// What the incumbent does.
    pub enum Act {
        /// The session owns the handoff from here on.
        TakeOwner,
        /// The handoff is no longer the session's.
        Disown,
        /// Run the drain hook.
        StartDrain,
        /// Ask the hook to stop early.
        CancelHook,
        /// Run the seal hook.
        StartSeal,
        /// Release the lock.
        StartRelease,
        /// Try for the lock.
        StartLock,
        /// Look at the control path.
        StartInspect,
        /// Bind the control path.
        StartBind,
        /// Run the resume hook.
        StartResume,
        /// Send Drained.
        TellDrained,
        /// Write SealComplete, but keep it back.
        StageSeal,
        /// Send the SealComplete that was kept back.
        ReleaseSeal,
        /// Forget the SealComplete that was kept back.
        Unstage,
        /// Send SealFailed.
        TellSealFailed,
        /// Send Abort to the owner.
        AbortOwner,
        /// Wait this long for an operation that is no longer wanted.
        ArmPatience,
        /// Wait before the next try.
        ArmRetry,
        /// End: committed.
        Leave,
        /// End: another process took over.
        LeaveSuperseded,
        /// End: leave the process, which frees the lock.
        FailStop,
    }
}

labels! {
    /// What the incumbent waits for.
    pub enum Why {
        /// A connection's HelloAck.
        HelloAck,
        /// The next heartbeat is due.
        Heartbeat,
        /// The supervisor's announced deadline.
        Owner,
        /// An operation's own limit.
        Operation,
        /// A pause between two tries.
        Retry,
        /// The next try to bind the control path.
        Rebind,
    }
}

/// How an incumbent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncumbentOutcome {
    /// The handoff was committed: leave the process.
    Committed(HandoffId),
    /// Another process holds the lock and the control path (`C2`): leave as after a commit.
    Superseded,
    /// The daemon cannot be brought back. Leave the process with an error; the kernel frees the
    /// lock, and a supervisor starts the daemon afresh.
    Failed(Cause),
}

impl fmt::Display for IncumbentOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed(id) => write!(f, "handed over (handoff {id})"),
            Self::Superseded => f.write_str("another process has taken over"),
            Self::Failed(cause) => write!(f, "cannot serve: {cause}"),
        }
    }
}

/// What an incumbent asks of its adapter.
#[derive(Debug, PartialEq, Eq)]
pub enum IncumbentOp {
    /// Run the drain hook; it should be done by `deadline`.
    Drain {
        /// To report its end with.
        ticket: Ticket<Drain>,
        /// The earlier of the announced deadline and drain grace.
        deadline: Instant,
    },
    /// Run the seal hook; it should be done by `deadline`.
    Seal {
        /// To report its end with.
        ticket: Ticket<Seal>,
        /// The announced deadline.
        deadline: Instant,
    },
    /// Run the resume hook.
    Resume(Ticket<Resume>),
    /// Release the writer lock.
    ReleaseLock(Ticket<ReleaseLock>),
    /// Try to take the writer lock, without waiting.
    TryLock(Ticket<TryLock>),
    /// See whose socket the control path leads to.
    InspectPath(Ticket<InspectPath>),
    /// Bind the control path again and listen on it instead of the old socket. Fails when the writer
    /// lock is not ours by then.
    BindPath(Ticket<BindPath>),
}

/// An [`IncumbentOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncumbentCall {
    /// See [`IncumbentOp::Drain`].
    Drain(Instant),
    /// See [`IncumbentOp::Seal`].
    Seal(Instant),
    /// See [`IncumbentOp::Resume`].
    Resume,
    /// See [`IncumbentOp::ReleaseLock`].
    ReleaseLock,
    /// See [`IncumbentOp::TryLock`].
    TryLock,
    /// See [`IncumbentOp::InspectPath`].
    InspectPath,
    /// See [`IncumbentOp::BindPath`].
    BindPath,
}

/// All that an incumbent remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IncumbentState<const L: usize> {
    phase: Phase,
    sessions: [Session; L],
    owner: Option<Owner>,
    /// The operation that the phase waits for.
    op: Option<OpId>,
    /// When that operation is too late.
    op_limit: Option<Instant>,
    /// A drain that was given up and has not come back. It may still write, so the lock must stay: no
    /// handoff begins before it has.
    straggler: Option<OpId>,
    /// When the pause of `Pausing` and `Stumbling` ends.
    retry: Option<Instant>,
    /// When the next heartbeat is due.
    beat: Option<Instant>,
    rebind: Rebind,
    resume_failures: u8,
    /// The session whose handoff was given up last, until it ends. Its supervisor may still decide
    /// to kill the successor (`C8`).
    former: Option<usize>,
    /// The last look at the control path found another process's, and no `former`.
    taken_over: bool,
    cause: Reason,
}

impl<const L: usize> IncumbentState<L> {
    /// What the incumbent is at.
    pub const fn phase(&self) -> Phase {
        self.phase
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Session {
    Vacant,
    Greeting {
        peer: u32,
        until: Instant,
    },
    Acknowledged {
        peer: u32,
        id: HandoffId,
        heard: Instant,
        given_up: bool,
    },
}

impl Session {
    /// The process at the other end.
    const fn peer(&self) -> Option<u32> {
        match *self {
            Self::Vacant => None,
            Self::Greeting { peer, .. } | Self::Acknowledged { peer, .. } => Some(peer),
        }
    }
}

/// The session that owns the handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    session: usize,
    id: HandoffId,
    /// The announced deadline, without slack.
    deadline: Instant,
    drain_until: Instant,
    /// When it counts as silent (`C11`).
    silent_at: Instant,
}

/// Where the control path stands, as far as it is not the phase's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rebind {
    Bound,
    Due(Instant),
    Running {
        op: OpId,
        until: Instant,
        /// The path was lost meanwhile, perhaps after it was bound.
        again: bool,
    },
}
