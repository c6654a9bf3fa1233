//! What a role is made of, and the events that it is told.

use core::fmt;
use core::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Loss, Out};
use crate::handles::Handles;
use crate::op::{OpId, Report, Verdict};
use crate::time::Instant;
use crate::violation::Violation;
use crate::wire::Message;

/// The three parties of a handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Party {
    /// The daemon that serves.
    Incumbent,
    /// The process that takes over.
    Successor,
    /// Who drives the handoff.
    Supervisor,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incumbent => "incumbent",
            Self::Successor => "successor",
            Self::Supervisor => "supervisor",
        })
    }
}

/// What a role is made of. Implemented by [`Incumbent`](crate::Incumbent),
/// [`Successor`](crate::Successor) and [`Supervisor`](crate::Supervisor) alone; an adapter is
/// written once against it.
pub trait Role<const L: usize>: sealed::Sealed + Sized + fmt::Debug {
    /// What it is set up with.
    type Config: Clone + fmt::Debug + Serialize + DeserializeOwned;
    /// All that it remembers.
    type State: Copy + Eq + Hash + fmt::Debug;
    /// The data of an operation, without its ticket.
    type Call: Copy + Eq + Hash + fmt::Debug + Serialize + DeserializeOwned;
    /// An operation with its ticket.
    type Op: fmt::Debug + PartialEq + Eq;
    /// Its phases.
    type Phase: Copy + Eq + Hash + fmt::Debug + fmt::Display + Serialize + DeserializeOwned;
    /// Names of its waits.
    type Why: Copy + Eq + fmt::Debug + fmt::Display + Serialize + DeserializeOwned;
    /// How it ends.
    type Outcome: Copy + Eq + Hash + fmt::Debug + fmt::Display + Serialize + DeserializeOwned;

    /// The state before [`Input::Start`](super::Input::Start).
    fn fresh() -> Self::State;
    /// Whether connections may be accepted.
    const SERVES: bool;
    /// Which of the three it is.
    const PARTY: Party;
    /// Joins an operation's data and its ticket.
    fn issue(call: Self::Call, id: OpId) -> Self::Op;
    /// The id and the data of an operation, without its ticket.
    fn call(op: &Self::Op) -> (OpId, Self::Call);
    /// What it is at.
    fn phase(state: &Self::State) -> Self::Phase;
    /// The connection that goes when there is no room for a new one.
    fn victim(state: &Self::State, newcomer: u32) -> Option<usize>;
    /// Whether descriptors may come on this link now.
    fn takes_handles(_: &Self::State, _: usize) -> bool {
        false
    }
    /// One event: changes the state, and says through `out` what is to be done.
    ///
    /// # Errors
    /// What the peer did wrong; its link is then closed, and lost.
    fn step<B: Room>(
        config: &Self::Config,
        state: &mut Self::State,
        now: Instant,
        event: Event<'_>,
        out: &mut Out<'_, Self, B, L>,
    ) -> Result<(), Violation>;
    /// The next moment at which something is due.
    fn due(config: &Self::Config, state: &Self::State) -> Option<(Instant, Self::Why)>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Memory for outgoing bytes.
pub trait Room: AsRef<[u8]> + AsMut<[u8]> {}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Room for B {}

/// An event as a role sees it; links are named by their index.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The machine starts.
    Start,
    /// A connection was accepted.
    Opened(usize, u32),
    /// Bytes came.
    Heard(usize),
    /// A whole message came, with as many descriptors as belong to it.
    Message(usize, &'a Message<'a>, Handles),
    /// All that was owed has been written.
    Flushed(usize),
    /// The link is gone.
    Lost(usize, Loss),
    /// An operation ended.
    Completed(OpId, &'a Report<'a>),
    /// The seal hook reports progress: sealed, total, revision.
    Progress(u32, u32, u64),
    /// The control path is to be bound again.
    Unbound,
    /// The probation of this process has ended.
    Probation(Verdict),
    /// The clock reached a moment that [`Role::due`] gave.
    Due,
}
