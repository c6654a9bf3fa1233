//! A machine to which anything happens.

use handoff_core::op::Process;
use handoff_core::wire::VersionRange;
use handoff_core::{Inline, Input, Instant, LinkId, MAX_ACTIONS_PER_TURN, Machine, Step};

use crate::host::Host;
use crate::ledger::{Heard, Ledger};
use crate::peer::ROOM;

/// The incumbent's process.
pub(crate) const OLD: Process = Process { pid: 100, start: 1 };
/// The successor's process.
pub(crate) const NEW: Process = Process { pid: 200, start: 2 };

/// What a subject is told of its machine's configuration.
pub(crate) struct Setup {
    /// The link that is open from the start.
    pub(crate) open: Option<LinkId>,
    pub(crate) versions: VersionRange,
    /// This process is on probation.
    pub(crate) on_probation: bool,
    /// A probation of the successor was asked for.
    pub(crate) probation: bool,
}

pub(crate) struct Subject<R: Host<L>, const L: usize> {
    machine: Machine<R, Inline<ROOM, ROOM>, L>,
    pub(crate) now: Instant,
    pub(crate) deadline: Option<Instant>,
    outcome: Option<R::Outcome>,
    /// The last name that was given to a link.
    pub(crate) names: u32,
    pub(crate) ledger: Ledger<R, L>,
}

impl<R: Host<L>, const L: usize> Subject<R, L> {
    pub(crate) fn new(config: R::Config, setup: &Setup) -> Self {
        let mut subject = Self {
            machine: Machine::new(config),
            now: Instant::from_nanos(1),
            deadline: None,
            outcome: None,
            names: 1000,
            ledger: Ledger::new(setup),
        };
        subject.input(Input::Start);
        subject
    }

    /// Hands one input in; returns how many bytes were taken. Misuse is allowed and changes nothing.
    pub(crate) fn input(&mut self, input: Input<'_>) -> usize {
        let before = *self.machine.state();
        let ended = self.outcome.is_some();
        let mut turn = match self.machine.handle(self.now, input) {
            Ok(turn) => turn,
            Err(misuse) => {
                assert_eq!(*self.machine.state(), before, "{misuse}");
                return usize::MAX;
            }
        };
        let (consumed, kept) = (turn.consumed(), turn.kept());
        assert!(!kept || R::awaits_handles(&before) && !ended);
        let heard = turn.message().map(|message| Heard::new(&message));
        self.ledger.told(&input, consumed, kept, heard);
        for steps in 0.. {
            assert!(steps <= MAX_ACTIONS_PER_TURN, "{input:?}");
            match turn.next() {
                Step::Do(action) => {
                    assert_eq!(self.outcome, None, "{action:?} after the end");
                    self.ledger.does(action, heard);
                }
                Step::Wait(wait) => {
                    assert_eq!(self.outcome, None, "it had ended");
                    self.deadline = wait.deadline;
                    break;
                }
                Step::Done(outcome) => {
                    assert_eq!(*self.outcome.get_or_insert(outcome), outcome);
                    self.deadline = None;
                    break;
                }
            }
        }
        if input == Input::Deadline {
            assert!(self.deadline.is_none_or(|next| next > self.now));
        }
        match self.outcome {
            None => self.ledger.settled(&input, consumed, heard),
            Some(outcome) if !ended => R::check(&outcome, |name| self.ledger.times(name)),
            Some(_) => {}
        }
        consumed
    }
}
