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
//! | acknowledged, version 2 | `ListenersRequest`, `StatusRequest` | answered, whatever the daemon is at |
//!
//! A daemon that began as a successor is on *probation* at first ([`IncumbentConfig::on_probation`]):
//! it serves, but refuses handoffs, until [`Input::Probation`](crate::Input::Probation) tells how that
//! ended. Its committed hook is run once no older process can come back.

mod ask;
mod events;
mod labels;
mod role;
mod sessions;
mod step;
mod table;

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::labels::{Act, Cue, Phase, Why};
#[cfg(feature = "trace")]
pub use self::table::TAKEN;
pub use self::table::{INCUMBENT, IncumbentRow};
use crate::cause::{Cause, Reason};
use crate::identity::Identity;
use crate::machine::Machine;
use crate::op::{
    BindPath, Confirm, Drain, InspectPath, ListListeners, OpId, ReleaseLock, Resume, Seal,
    Snapshot, Ticket, TryLock,
};
use crate::time::Instant;
use crate::wire::{HandoffId, VersionRange};

/// The incumbent's machine, with room for `SESSIONS` connections at once; at most
/// [`MAX_LINKS`](crate::MAX_LINKS).
pub type IncumbentMachine<S, const SESSIONS: usize = 8> = Machine<Incumbent, S, SESSIONS>;

/// The incumbent's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incumbent {}

/// How an incumbent is set up. The times are protocol defaults; see `PROTOCOL.md`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncumbentConfig {
    /// Who we are.
    pub identity: Identity,
    /// The protocol versions we speak.
    pub versions: VersionRange,
    /// Whether the control path already leads to us. `false` binds it, and tries again until it
    /// does.
    pub bound: bool,
    /// The generation under which the lock is held at first.
    pub generation: u64,
    /// Whether the process began as a successor, and its [`SuccessorMachine`](crate::SuccessorMachine)
    /// has not ended yet. Its end is to be handed in as [`Input::Probation`](crate::Input::Probation).
    pub on_probation: bool,
    /// How long a connection may take to send HelloAck.
    pub hello: Duration,
    /// How often Heartbeat is sent while a hook runs.
    pub heartbeat: Duration,
    /// What a deadline that the supervisor announced is stretched by.
    pub wire_slack: Duration,
    /// How long the supervisor may be silent (`C11`): with version 2 at any time in a handoff, with
    /// version 1 when it is its turn, to ask for the seal and to have the successor take the lock.
    pub dead_peer: Duration,
    /// The longest deadline that a supervisor may announce; a later one is cut to it.
    pub longest_deadline: Duration,
    /// How long a cancelled drain may keep `resume` waiting.
    pub cancel_grace: Duration,
    /// How long a hook that nobody else bounds may take.
    pub patience: Duration,
    /// How long any other operation may take.
    pub host_limit: Duration,
    /// How long the daemon may take to say how it is. After that Status says what is known without it.
    pub snapshot: Duration,
    /// The pause between tries for the writer lock.
    pub lock_retry: Duration,
    /// The pause between tries to resume or to bind the control path.
    pub host_retry: Duration,
    /// How often `resume` is tried before the process is told to leave.
    pub resume_tries: u8,
    /// The table to run on; for tests that switch a rule off.
    #[cfg(feature = "trace")]
    #[serde(skip, default = "own_table")]
    pub table: &'static [IncumbentRow],
}

impl Default for IncumbentConfig {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            versions: VersionRange::SUPPORTED,
            bound: true,
            generation: 0,
            on_probation: false,
            hello: Duration::from_secs(5),
            heartbeat: Duration::from_secs(2),
            wire_slack: Duration::from_secs(1),
            dead_peer: Duration::from_secs(10),
            longest_deadline: Duration::from_mins(10),
            cancel_grace: Duration::from_secs(5),
            patience: Duration::from_mins(10),
            host_limit: Duration::from_secs(30),
            snapshot: Duration::from_millis(100),
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
    pub(crate) const fn table(_: &Self) -> &'static [IncumbentRow] {
        INCUMBENT
    }

    /// The table that the machine runs on.
    #[cfg(feature = "trace")]
    pub(crate) const fn table(config: &Self) -> &'static [IncumbentRow] {
        config.table
    }
}

/// The table of a configuration that was read from a record, which does not hold it.
#[cfg(feature = "trace")]
const fn own_table() -> &'static [IncumbentRow] {
    INCUMBENT
}

/// How an incumbent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Run the daemon's committed hook: from here on it may make changes that an older version could
    /// not read.
    Confirm(Ticket<Confirm>),
    /// Name the listeners that are kept for a supervisor that comes back.
    ListListeners(Ticket<ListListeners>),
    /// Ask the daemon how it is. Hooks may run meanwhile, and must not be waited for.
    Snapshot(Ticket<Snapshot>),
}

/// An [`IncumbentOp`] without its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// See [`IncumbentOp::Confirm`].
    Confirm,
    /// See [`IncumbentOp::ListListeners`].
    ListListeners,
    /// See [`IncumbentOp::Snapshot`].
    Snapshot,
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
    /// A drain or a committed hook that was given up and has not come back. It may still write, so the lock must stay: no
    /// handoff begins before it has.
    straggler: Option<OpId>,
    /// When the pause of `Pausing` and `Stumbling` ends.
    retry: Option<Instant>,
    /// When the next heartbeat is due.
    beat: Option<Instant>,
    rebind: Rebind,
    trial: Trial,
    listing: Option<Inquiry>,
    snapshot: Option<Inquiry>,
    /// When the machine started, and the generation under which it holds the lock, or held it last.
    started: Instant,
    generation: u64,
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
        /// What it waits to be told.
        asked: Option<Asked>,
    },
}

/// A question, and when it has waited for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    question: Question,
    until: Instant,
}

/// An operation that is to answer a question, whoever asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inquiry {
    op: OpId,
    /// When its ticket counts as lost, and the next question starts another.
    lost_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    Listeners,
    Status,
}

/// Where the probation of a process stands that began as a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trial {
    Over,
    On,
    /// Nobody will say Commit. By then whoever could come back has left.
    Orphaned(Instant),
    /// The committed hook runs.
    Confirming {
        op: OpId,
        until: Instant,
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
    /// When its turn is over, or its deadline (`C11`).
    silent_at: Option<Instant>,
    /// With version 2: when it must have been heard from again (`C11`).
    alive_until: Option<Instant>,
    /// With version 2, once sealed: when to see whether anybody has the lock.
    check_at: Option<Instant>,
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
