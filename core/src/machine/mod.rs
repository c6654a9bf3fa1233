//! The endpoint: joins a role's transitions, the wire and the memory of the links.
//!
//! One input goes in, one [`Turn`] comes out, and the turn must be drained before the next input.
//! Bytes become messages here and messages become bytes; what a message means is the role's.

mod accept;
mod input;
mod out;
mod role;
mod turn;

use core::fmt;

use heapless::Deque;

pub use self::input::{Input, Misuse};
pub use self::out::Out;
use self::out::Queue;
pub(crate) use self::role::sealed;
pub use self::role::{Event, Party, Role, Room};
pub use self::turn::{Action, Loss, Observation, Step, Turn, Wait};
use crate::link::{Inbox, Link, LinkId, MIN_ROOM, Storage};
use crate::op::OpId;
use crate::text::Text;
use crate::time::Instant;

/// The most steps (`Do`) that one turn takes.
pub const MAX_ACTIONS_PER_TURN: usize = 24;

/// The most links that a machine may be given room for: when all of them are late in one turn, their
/// ends still fit into [`MAX_ACTIONS_PER_TURN`].
pub const MAX_LINKS: usize = 8;

/// Where the message of a turn is.
#[derive(Clone, Copy)]
struct Fresh {
    at: usize,
    /// What the link spoke when it came.
    version: u16,
}

/// What a machine took of an input.
#[derive(Clone, Copy, Default)]
struct Taken {
    bytes: usize,
    /// And it wants the descriptors.
    handles: bool,
}

/// A role at work: its state, its links, and what is still to be handed to the adapter.
///
/// `L` is the number of links it can hold, `S` the memory of each.
pub struct Machine<R: Role<L>, S: Storage, const L: usize> {
    config: R::Config,
    state: R::State,
    inboxes: [Inbox<S::Rx>; L],
    links: [Link<S::Tx>; L],
    queue: Queue<R::Call, R::Phase>,
    outcome: Option<R::Outcome>,
    detail: Text,
    now: Instant,
    ops: OpId,
    /// The message of this turn.
    fresh: Option<Fresh>,
    started: bool,
}

impl<R: Role<L>, S: Storage, const L: usize> Machine<R, S, L> {
    /// A machine that has not started.
    pub fn new(config: R::Config) -> Self {
        const {
            assert!(L <= MAX_LINKS, "too many links for the actions of one turn");
            assert!(S::RX >= MIN_ROOM, "the receive room of a link is too small");
            assert!(S::TX >= MIN_ROOM, "the send room of a link is too small");
        }
        Self {
            config,
            state: R::fresh(),
            inboxes: core::array::from_fn(|_| Inbox::new(S::rx())),
            links: core::array::from_fn(|_| Link::new(S::tx())),
            queue: Deque::new(),
            outcome: None,
            detail: Text::default(),
            now: Instant::default(),
            ops: OpId::default(),
            fresh: None,
            started: false,
        }
    }

    /// What the role remembers.
    pub const fn state(&self) -> &R::State {
        &self.state
    }

    /// What the role was set up with.
    pub const fn config(&self) -> &R::Config {
        &self.config
    }

    /// The rest of the last turn, if a caller dropped it.
    pub const fn turn(&mut self) -> Turn<'_, R, S, L> {
        Turn {
            machine: self,
            consumed: 0,
            kept: false,
        }
    }

    /// Tell the machine what happened. `now` should not go backwards; if it does, it counts as
    /// standing still.
    ///
    /// # Errors
    /// [`Misuse`] when the call breaks a rule of this interface; nothing has changed then.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<Turn<'_, R, S, L>, Misuse> {
        if !self.queue.is_empty() {
            return Err(Misuse::TurnNotDrained);
        }
        self.check(&input)?;
        self.now = self.now.max(now);
        let fresh = self.fresh.take();
        if let Some(inbox) = fresh.and_then(|fresh| self.inboxes.get_mut(fresh.at)) {
            inbox.reader.clear();
        }
        let mut taken = Taken::default();
        if self.outcome.is_none() {
            taken = self.accept(input);
            self.drop_stalled();
        } else if let Input::Bytes { bytes, .. } = input {
            taken.bytes = bytes.len();
        }
        Ok(Turn {
            machine: self,
            consumed: taken.bytes,
            kept: taken.handles,
        })
    }

    fn check(&self, input: &Input<'_>) -> Result<(), Misuse> {
        if self.started == matches!(input, Input::Start) {
            return Err(Misuse::StartOnce);
        }
        match *input {
            Input::Opened { .. } if !R::SERVES => Err(Misuse::NotAServer),
            Input::Opened { link, .. } if self.find(link).is_some() => Err(Misuse::LinkInUse(link)),
            Input::Wrote { link, count } => {
                let lent = self
                    .find(link)
                    .and_then(|at| self.links.get(at))
                    .map(Link::lent);
                if lent.is_some_and(|lent| count > lent) {
                    return Err(Misuse::WroteTooMuch(link));
                }
                Ok(())
            }
            Input::Completed(done) if done.op > self.ops || done.op == OpId::default() => {
                Err(Misuse::UnknownOperation(done.op))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, link: LinkId) -> Option<usize> {
        self.links.iter().position(|slot| slot.id() == Some(link))
    }
}

impl<R: Role<L>, S: Storage, const L: usize> Clone for Machine<R, S, L>
where
    S::Rx: Clone,
    S::Tx: Clone,
{
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            state: self.state,
            inboxes: self.inboxes.clone(),
            links: self.links.clone(),
            queue: self.queue.clone(),
            outcome: self.outcome,
            detail: self.detail,
            now: self.now,
            ops: self.ops,
            fresh: self.fresh,
            started: self.started,
        }
    }
}

impl<R: Role<L>, S: Storage, const L: usize> fmt::Debug for Machine<R, S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("state", &self.state)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
