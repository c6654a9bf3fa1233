//! The successor as a role: what it starts with, how an event reaches it, when something is due.

use super::step::{PEER, Step};
use super::{
    Cue, Phase, Successor, SuccessorCall, SuccessorConfig, SuccessorOp, SuccessorOutcome,
    SuccessorState, Why,
};
use crate::cause::Reason;
use crate::machine::{Event, Out, Party, Role, Room, sealed};
use crate::op::{OpId, Ticket};
use crate::time::Instant;
use crate::violation::Violation;

impl sealed::Sealed for Successor {}

impl Role<1> for Successor {
    type Config = SuccessorConfig;
    type State = SuccessorState;
    type Call = SuccessorCall;
    type Op = SuccessorOp;
    type Phase = Phase;
    type Why = Why;
    type Outcome = SuccessorOutcome;

    const PARTY: Party = Party::Successor;
    const SERVES: bool = false;

    fn fresh() -> SuccessorState {
        SuccessorState {
            phase: Phase::Fresh,
            id: None,
            op: None,
            timer: None,
            beat: None,
            grace: Instant::default(),
            generation: 0,
            published: false,
            committed: false,
            cause: Reason::SessionLost,
        }
    }

    fn issue(call: SuccessorCall, id: OpId) -> SuccessorOp {
        match call {
            SuccessorCall::StagePath => SuccessorOp::StagePath(Ticket::new(id)),
            SuccessorCall::WarmUp => SuccessorOp::WarmUp(Ticket::new(id)),
            SuccessorCall::TryLock => SuccessorOp::TryLock(Ticket::new(id)),
            SuccessorCall::Open => SuccessorOp::Open(Ticket::new(id)),
            SuccessorCall::PublishPath => SuccessorOp::PublishPath(Ticket::new(id)),
            SuccessorCall::Serve(generation, published) => SuccessorOp::Serve {
                ticket: Ticket::new(id),
                generation,
                published,
            },
        }
    }

    fn call(op: &SuccessorOp) -> (OpId, SuccessorCall) {
        match *op {
            SuccessorOp::StagePath(ref ticket) => (ticket.id(), SuccessorCall::StagePath),
            SuccessorOp::WarmUp(ref ticket) => (ticket.id(), SuccessorCall::WarmUp),
            SuccessorOp::TryLock(ref ticket) => (ticket.id(), SuccessorCall::TryLock),
            SuccessorOp::Open(ref ticket) => (ticket.id(), SuccessorCall::Open),
            SuccessorOp::PublishPath(ref ticket) => (ticket.id(), SuccessorCall::PublishPath),
            SuccessorOp::Serve {
                ref ticket,
                generation,
                published,
            } => (ticket.id(), SuccessorCall::Serve(generation, published)),
        }
    }

    fn phase(state: &SuccessorState) -> Phase {
        state.phase
    }

    fn victim(_: &SuccessorState, _: u32) -> Option<usize> {
        None
    }

    fn step<B: Room>(
        config: &SuccessorConfig,
        state: &mut SuccessorState,
        now: Instant,
        event: Event<'_>,
        out: &mut Out<'_, Self, B, 1>,
    ) -> Result<(), Violation> {
        let mut step = Step {
            config,
            state,
            now,
            out,
        };
        match event {
            Event::Start => {
                step.out.open(PEER, Self::CHANNEL);
                step.cue(Cue::Start);
            }
            Event::Message(_, message, _) => step.message(message)?,
            Event::Flushed(_) => step.written(),
            Event::Lost(_, loss) => step.lost(loss),
            Event::Completed(op, report) => step.completed(op, report),
            Event::Due => step.due(),
            Event::Opened(..)
            | Event::Heard(_)
            | Event::Progress(..)
            | Event::Unbound
            | Event::Probation(_) => {}
        }
        Ok(())
    }

    fn due(_: &SuccessorConfig, state: &SuccessorState) -> Option<(Instant, Why)> {
        let beat = state.beat.map(|at| (at, Why::Heartbeat));
        state
            .timer
            .into_iter()
            .chain(beat)
            .min_by_key(|(at, _)| *at)
    }
}
