//! Where a role puts what is to be done: the queue behind a turn, and the links' outgoing side.

use core::time::Duration;

use heapless::Deque;

use super::{Loss, MAX_ACTIONS_PER_TURN, Observation, Role, Room};
use crate::cause::{Cause, Reason};
use crate::handles::Handles;
use crate::link::{Life, Link, LinkId};
use crate::op::OpId;
use crate::text::Text;
use crate::time::Instant;
use crate::wire::Message;

/// An entry of the queue; becomes an [`Action`](super::Action) when the turn reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Effect<C, P> {
    Flush(usize),
    Start(OpId, C),
    Cancel(OpId),
    Close(LinkId),
    Observe(Observation<P>),
}

pub(super) type Queue<C, P> = Deque<Effect<C, P>, MAX_ACTIONS_PER_TURN>;

/// Where a role puts what is to be done.
#[derive(Debug)]
pub struct Out<'m, R: Role<L>, B, const L: usize> {
    pub(super) links: &'m mut [Link<B>; L],
    pub(super) queue: &'m mut Queue<R::Call, R::Phase>,
    pub(super) outcome: &'m mut Option<R::Outcome>,
    pub(super) detail: &'m mut Text,
    pub(super) ops: &'m mut OpId,
    pub(super) now: Instant,
}

/// How long a link that is being closed may take to be read by its peer.
const LINGER: Duration = Duration::from_secs(1);

impl<R: Role<L>, B: Room, const L: usize> Out<'_, R, B, L> {
    pub(super) fn push(&mut self, effect: Effect<R::Call, R::Phase>) {
        // The bound is proven by exploration; were it ever wrong, an observation is lost first.
        if self.queue.push_back(effect).is_err() {
            debug_assert!(false, "MAX_ACTIONS_PER_TURN is too small");
        }
    }

    fn link(&mut self, at: usize) -> Option<&mut Link<B>> {
        self.links.get_mut(at).filter(|link| link.is_open())
    }

    /// From here on the link speaks this version.
    pub fn negotiated(&mut self, at: usize, version: u16) {
        if let Some(link) = self.link(at) {
            link.version = Some(version);
        }
    }

    /// The version that the link speaks, once that is known.
    pub fn version(&self, at: usize) -> Option<u16> {
        self.links.get(at).and_then(|link| link.version)
    }

    /// Send a message, after what is already owed.
    pub fn send(&mut self, at: usize, message: &Message<'_>) {
        if let Some(link) = self.link(at) {
            link.send(message);
            self.flush(at);
        }
    }

    /// Send a message, if there is room for it. Returns whether there was.
    pub fn try_send(&mut self, at: usize, message: &Message<'_>) -> bool {
        self.enclose(at, message, Handles::NONE)
    }

    /// Send a message that descriptors go with. Returns whether it fits.
    pub fn enclose(&mut self, at: usize, message: &Message<'_>, handles: Handles) -> bool {
        let fits = self
            .link(at)
            .is_some_and(|link| link.enclose(message, handles));
        if fits {
            self.flush(at);
        }
        fits
    }

    /// Send a message only if nothing is owed: for those that would otherwise pile up.
    pub fn send_if_idle(&mut self, at: usize, message: &Message<'_>) {
        if self.link(at).is_some_and(|link| link.is_flushed()) {
            self.send(at, message);
        }
    }

    /// Write a message into the link's room, to be sent by [`release`](Self::release). Returns
    /// whether it fits.
    pub fn stage(&mut self, at: usize, message: &Message<'_>) -> bool {
        self.link(at).is_some_and(|link| link.stage(message))
    }

    /// Send what was staged.
    pub fn release(&mut self, at: usize) {
        if let Some(link) = self.link(at) {
            link.release();
            self.flush(at);
        }
    }

    /// Forget what was staged.
    pub fn unstage(&mut self, at: usize) {
        if let Some(link) = self.link(at) {
            link.unstage();
        }
    }

    fn flush(&mut self, at: usize) {
        if self.link(at).is_some_and(Link::lend) {
            self.push(Effect::Flush(at));
        }
    }

    /// Whether nothing is owed to the peer (or the link is gone).
    pub fn is_flushed(&self, at: usize) -> bool {
        self.links
            .get(at)
            .is_none_or(|link| !link.is_open() || link.is_flushed())
    }

    /// Whether the link is gone.
    pub fn is_lost(&self, at: usize) -> bool {
        self.links.get(at).is_none_or(|link| !link.is_open())
    }

    /// Close a link once what is owed has been written.
    pub fn close(&mut self, at: usize) {
        let until = self.now.after(LINGER);
        let Some(link) = self.links.get_mut(at) else {
            return;
        };
        if let Life::Open(id) = link.life {
            link.unstage();
            if link.is_flushed() {
                link.free();
                self.push(Effect::Close(id));
            } else {
                link.life = Life::Closing { link: id, until };
            }
        }
    }

    /// Open a link that an operation made.
    pub fn open(&mut self, at: usize, id: LinkId) {
        let known = self.links.iter().any(|link| link.id() == Some(id));
        if let Some(link) = self
            .links
            .get_mut(at)
            .filter(|link| !link.is_open() && !known)
        {
            let old = link.id();
            link.open(id);
            if let Some(old) = old {
                self.push(Effect::Close(old));
            }
        }
    }

    /// Close a link that an operation made, but that nobody wants any more.
    pub fn discard(&mut self, id: LinkId) {
        if self.links.iter().all(|link| link.id() != Some(id)) {
            self.push(Effect::Close(id));
        }
    }

    /// Start an operation.
    pub fn start(&mut self, call: R::Call) -> OpId {
        let id = self.ops.next();
        *self.ops = id;
        self.push(Effect::Start(id, call));
        id
    }

    /// Ask an operation to stop early.
    pub fn cancel(&mut self, id: OpId) {
        self.push(Effect::Cancel(id));
    }

    /// Let something be seen.
    pub fn observe(&mut self, observation: Observation<R::Phase>) {
        self.push(Effect::Observe(observation));
    }

    /// Let a trouble be seen that changes nothing.
    pub fn report(&mut self, reason: Reason, words: &str) {
        self.observe(Observation::Trouble(Cause {
            reason,
            detail: Text::new(words),
        }));
    }

    /// Let it be seen why a link is about to be closed.
    pub fn observe_lost(&mut self, at: usize, loss: Loss) {
        if let Some(id) = self.links.get(at).and_then(Link::id) {
            self.observe(Observation::Lost(id, loss));
        }
    }

    /// Keep somebody's words for the outcome.
    pub fn explain(&mut self, words: &str) {
        *self.detail = Text::new(words);
    }

    /// The words kept last.
    pub fn detail(&self) -> Text {
        *self.detail
    }

    /// End the machine.
    pub fn finish(&mut self, outcome: R::Outcome) {
        *self.outcome = Some(outcome);
    }
}
