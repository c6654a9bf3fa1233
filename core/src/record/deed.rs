//! What a machine did in a turn, one thing at a time.

use core::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::handles::Handles;
use crate::link::LinkId;
use crate::machine::{Action, Misuse, Observation, Role, Step, Wait};
use crate::op::OpId;
use crate::text::Text;
use crate::time::Instant;

/// One thing that a machine did in a turn. `C` is the role's [`Call`](Role::Call), `P` its phases, `Y`
/// the names of its waits, `O` its outcome.
///
/// The order of the variants, and that of their fields, is their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed<'b, C, P, Y, O> {
    /// It took bytes of the input, and wants the descriptors that came with them, or not.
    Took {
        /// How many.
        bytes: usize,
        /// Whether the descriptors are wanted.
        kept: bool,
    },
    /// It lent bytes to be sent.
    Sent {
        /// To which link.
        link: LinkId,
        /// All of them.
        #[serde(borrow, serialize_with = "super::bytes")]
        bytes: &'b [u8],
        /// The descriptors that go with the first.
        handles: Handles,
    },
    /// It started an operation.
    Started(OpId, C),
    /// It asked an operation to stop early.
    Cancelled(OpId),
    /// It closed a link.
    Closed(LinkId),
    /// It let be seen: this phase.
    Entered(P),
    /// It let be seen: a link ended, in these words.
    Lost(LinkId, Text),
    /// It let be seen: something went wrong.
    Trouble(Cause),
    /// The turn ended, and it waits.
    Waits {
        /// Until when at most.
        until: Option<Instant>,
        /// What for.
        why: Option<Y>,
    },
    /// The turn ended, and so did the machine.
    Ended(O),
    /// There was no turn: the input broke a rule, and nothing has changed.
    Refused(Misuse),
}

/// A [`Deed`] of this role.
pub type DeedOf<'b, R, const L: usize> = Deed<
    'b,
    <R as Role<L>>::Call,
    <R as Role<L>>::Phase,
    <R as Role<L>>::Why,
    <R as Role<L>>::Outcome,
>;

impl<'b, C, P: Copy, Y: Copy, O: Copy> Deed<'b, C, P, Y, O> {
    /// What was taken of an input ([`Turn::consumed`](crate::Turn::consumed),
    /// [`Turn::kept`](crate::Turn::kept)): the first deed of a turn, if it was anything at all.
    pub const fn took(bytes: usize, kept: bool) -> Option<Self> {
        if bytes == 0 && !kept {
            return None;
        }
        Some(Self::Took { bytes, kept })
    }

    /// A step of a turn.
    pub fn of<R, const L: usize>(step: &Step<'b, R, L>) -> Self
    where
        R: Role<L, Call = C, Phase = P, Why = Y, Outcome = O>,
    {
        match *step {
            Step::Do(Action::Send {
                link,
                bytes,
                handles,
            }) => Self::Sent {
                link,
                bytes,
                handles,
            },
            Step::Do(Action::Start(ref op)) => {
                let (id, call) = R::call(op);
                Self::Started(id, call)
            }
            Step::Do(Action::Cancel(op)) => Self::Cancelled(op),
            Step::Do(Action::Close { link }) => Self::Closed(link),
            Step::Do(Action::Observe(Observation::Phase(phase))) => Self::Entered(phase),
            Step::Do(Action::Observe(Observation::Lost(link, loss))) => {
                // In words, since a loss tells of many things, and happens once to a link.
                let mut words = Text::default();
                let _ = write!(words, "{loss}");
                Self::Lost(link, words)
            }
            Step::Do(Action::Observe(Observation::Trouble(cause))) => Self::Trouble(cause),
            Step::Wait(Wait { deadline, why }) => Self::Waits {
                until: deadline,
                why,
            },
            Step::Done(outcome) => Self::Ended(outcome),
        }
    }

    /// Whether it is the last one of its turn.
    pub const fn ends_turn(&self) -> bool {
        matches!(self, Self::Waits { .. } | Self::Ended(_) | Self::Refused(_))
    }
}
