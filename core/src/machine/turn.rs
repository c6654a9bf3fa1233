//! What comes out of a machine: the steps of a turn.

use super::out::Effect;
use super::{Fresh, Machine, Role};
use crate::cause::Cause;
use crate::handles::Handles;
use crate::link::{Link, LinkId, Storage};
use crate::op::OpId;
use crate::time::Instant;
use crate::violation::Violation;
use crate::wire::{self, Message};

/// What the adapter is to do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'t, R: Role<L>, const L: usize> {
    /// Write these bytes, as many as the link takes now, and report [`Input::Wrote`](super::Input::Wrote). What was not
    /// taken is lent again.
    Send {
        /// To which link.
        link: LinkId,
        /// What is owed to the peer.
        bytes: &'t [u8],
        /// Descriptors that go with the first of these bytes, in one call.
        handles: Handles,
    },
    /// Start an operation. It may run beside others and be reported in any order.
    Start(R::Op),
    /// The result of this operation is no longer wanted; ask it to stop early. Its completion is
    /// still to be reported.
    Cancel(OpId),
    /// Close the link. Nothing more is to be reported of it.
    Close {
        /// Which link.
        link: LinkId,
    },
    /// Something worth a log line, a metric or a progress display.
    Observe(Observation<R::Phase>),
}

/// What a machine lets its surroundings see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observation<P> {
    /// It has entered this phase.
    Phase(P),
    /// A link ended, for this reason.
    Lost(LinkId, Loss),
    /// Something went wrong that does not end the handoff by itself, or the reason why it ends.
    Trouble(Cause),
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The peer closed it, or it broke.
    #[error("closed by the peer")]
    Closed,
    /// The peer broke the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// The peer does not read what it is sent.
    #[error("the peer does not read")]
    Stalled,
    /// The peer did not say what was due in time.
    #[error("nothing heard in time")]
    Silent,
    /// It had to make room for a newer connection.
    #[error("too many connections")]
    Evicted,
}

/// One step of a [`Turn`].
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'t, R: Role<L>, const L: usize> {
    /// Do this and ask for the next step.
    Do(Action<'t, R, L>),
    /// The turn is over. Wait for the next input, at most until the deadline.
    Wait(Wait<R::Why>),
    /// The machine has ended.
    Done(R::Outcome),
}

/// How long to wait, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<Y> {
    /// When [`Input::Deadline`](super::Input::Deadline) is due; `None`: an input will come, or nothing is waited for.
    pub deadline: Option<Instant>,
    /// What the deadline is for.
    pub why: Option<Y>,
}

/// What an input led to. Take its steps until it says `Wait` or `Done`.
///
/// The turn borrows the machine, so the next input cannot be given before this one is dealt with:
///
/// ```compile_fail
/// use handoff_core::{Inline, Input, Instant, SuccessorConfig, SuccessorMachine};
/// let mut machine = SuccessorMachine::<Inline>::new(SuccessorConfig::default());
/// let turn = machine.handle(Instant::default(), Input::Start);
/// let other = machine.handle(Instant::default(), Input::Deadline);
/// drop(turn);
/// ```
#[must_use = "take its steps until it says Wait or Done"]
#[derive(Debug)]
pub struct Turn<'m, R: Role<L>, S: Storage, const L: usize> {
    pub(super) machine: &'m mut Machine<R, S, L>,
    pub(super) consumed: usize,
    pub(super) kept: bool,
}

impl<R: Role<L>, S: Storage, const L: usize> Turn<'_, R, S, L> {
    /// How many of the bytes handed in were taken. Hand the rest in again once the turn is over.
    pub const fn consumed(&self) -> usize {
        self.consumed
    }

    /// Once all bytes are consumed: whether the descriptors that came with them are wanted. If not,
    /// close them now. If so, keep them until an operation takes them or their link is closed.
    pub const fn kept(&self) -> bool {
        self.kept
    }

    /// The message that this input completed, if it did and was allowed to come: for logs, metrics
    /// and reports.
    pub fn message(&self) -> Option<Message<'_>> {
        let Fresh { at, version } = self.machine.fresh?;
        let frame = self.machine.inboxes.get(at)?.frame()?;
        wire::decode(version, frame.payload).ok()
    }

    /// The next step.
    #[expect(
        clippy::should_implement_trait,
        reason = "a step borrows the turn, so no Iterator can be this"
    )]
    pub fn next(&mut self) -> Step<'_, R, L> {
        // A link that was closed after it was to be flushed has nothing to send any more.
        while let Some(effect) = self.machine.queue.pop_front() {
            let action = match effect {
                Effect::Flush(at) => {
                    let Some(link) = self.machine.links.get(at) else {
                        continue;
                    };
                    let Some(id) = link.id().filter(|_| !link.is_flushed()) else {
                        continue;
                    };
                    let (bytes, handles) = self.owed(at);
                    return Step::Do(Action::Send {
                        link: id,
                        bytes,
                        handles,
                    });
                }
                Effect::Start(id, call) => Action::Start(R::issue(call, id)),
                Effect::Cancel(id) => Action::Cancel(id),
                Effect::Close(link) => Action::Close { link },
                Effect::Observe(seen) => Action::Observe(seen),
            };
            return Step::Do(action);
        }
        match self.machine.outcome {
            Some(outcome) => Step::Done(outcome),
            None => Step::Wait(self.machine.wait()),
        }
    }

    fn owed(&self, at: usize) -> (&[u8], Handles) {
        self.machine
            .links
            .get(at)
            .map(Link::owed)
            .unwrap_or_default()
    }
}
