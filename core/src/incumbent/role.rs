//! The incumbent as a role: what it starts with, how an event reaches it, when something is due.

use core::cmp::Reverse;

use super::step::Step;
use super::{
    Incumbent, IncumbentCall, IncumbentConfig, IncumbentOp, IncumbentOutcome, IncumbentState,
    Phase, Rebind, Session, Trial, Why,
};
use crate::cause::Reason;
use crate::machine::{Event, Out, Party, Role, Room, sealed};
use crate::op::{OpId, Ticket};
use crate::time::Instant;
use crate::violation::Violation;

impl sealed::Sealed for Incumbent {}

impl<const L: usize> Role<L> for Incumbent {
    type Config = IncumbentConfig;
    type State = IncumbentState<L>;
    type Call = IncumbentCall;
    type Op = IncumbentOp;
    type Phase = Phase;
    type Why = Why;
    type Outcome = IncumbentOutcome;

    const PARTY: Party = Party::Incumbent;
    const SERVES: bool = true;

    fn fresh() -> Self::State {
        IncumbentState {
            phase: Phase::Serving,
            sessions: [Session::Vacant; L],
            owner: None,
            op: None,
            op_limit: None,
            straggler: None,
            retry: None,
            beat: None,
            rebind: Rebind::Bound,
            trial: Trial::Over,
            listing: None,
            snapshot: None,
            started: Instant::default(),
            generation: 0,
            resume_failures: 0,
            former: None,
            taken_over: false,
            cause: Reason::SessionLost,
        }
    }

    fn issue(call: IncumbentCall, id: OpId) -> IncumbentOp {
        match call {
            IncumbentCall::Drain(deadline) => IncumbentOp::Drain {
                ticket: Ticket::new(id),
                deadline,
            },
            IncumbentCall::Seal(deadline) => IncumbentOp::Seal {
                ticket: Ticket::new(id),
                deadline,
            },
            IncumbentCall::Resume => IncumbentOp::Resume(Ticket::new(id)),
            IncumbentCall::ReleaseLock => IncumbentOp::ReleaseLock(Ticket::new(id)),
            IncumbentCall::TryLock => IncumbentOp::TryLock(Ticket::new(id)),
            IncumbentCall::InspectPath => IncumbentOp::InspectPath(Ticket::new(id)),
            IncumbentCall::BindPath => IncumbentOp::BindPath(Ticket::new(id)),
            IncumbentCall::Confirm => IncumbentOp::Confirm(Ticket::new(id)),
            IncumbentCall::ListListeners => IncumbentOp::ListListeners(Ticket::new(id)),
            IncumbentCall::Snapshot => IncumbentOp::Snapshot(Ticket::new(id)),
        }
    }

    fn call(op: &IncumbentOp) -> (OpId, IncumbentCall) {
        match *op {
            IncumbentOp::Resume(ref ticket) => (ticket.id(), IncumbentCall::Resume),
            IncumbentOp::ReleaseLock(ref ticket) => (ticket.id(), IncumbentCall::ReleaseLock),
            IncumbentOp::TryLock(ref ticket) => (ticket.id(), IncumbentCall::TryLock),
            IncumbentOp::InspectPath(ref ticket) => (ticket.id(), IncumbentCall::InspectPath),
            IncumbentOp::BindPath(ref ticket) => (ticket.id(), IncumbentCall::BindPath),
            IncumbentOp::Confirm(ref ticket) => (ticket.id(), IncumbentCall::Confirm),
            IncumbentOp::ListListeners(ref ticket) => (ticket.id(), IncumbentCall::ListListeners),
            IncumbentOp::Snapshot(ref ticket) => (ticket.id(), IncumbentCall::Snapshot),
            IncumbentOp::Drain {
                ref ticket,
                deadline,
            } => (ticket.id(), IncumbentCall::Drain(deadline)),
            IncumbentOp::Seal {
                ref ticket,
                deadline,
            } => (ticket.id(), IncumbentCall::Seal(deadline)),
        }
    }

    fn phase(state: &Self::State) -> Phase {
        state.phase
    }

    /// The oldest connection without HelloAck goes first; when there is none, the one heard from
    /// longest ago that does not own the handoff. Of several processes, the one with the most
    /// connections has to give way, so that none can crowd out another.
    fn victim(state: &Self::State, newcomer: u32) -> Option<usize> {
        let count = |peer: u32| {
            let theirs = state
                .sessions
                .iter()
                .filter(|session| session.peer() == Some(peer));
            theirs.count().saturating_add(usize::from(peer == newcomer))
        };
        let rank = |(at, session): (usize, &Session)| match *session {
            Session::Greeting { until, peer } => Some(((false, Reverse(count(peer)), until), at)),
            Session::Acknowledged { heard, peer, .. } if !state.owns(at) => {
                Some(((true, Reverse(count(peer)), heard), at))
            }
            _ => None,
        };
        let ranks = state.sessions.iter().enumerate().filter_map(rank);
        ranks.min().map(|(_, at)| at)
    }

    fn step<B: Room>(
        config: &IncumbentConfig,
        state: &mut Self::State,
        now: Instant,
        event: Event<'_>,
        out: &mut Out<'_, Self, B, L>,
    ) -> Result<(), Violation> {
        let mut step = Step {
            config,
            state,
            now,
            event,
            out,
        };
        match event {
            Event::Start => step.start(),
            Event::Opened(at, peer) => step.greet(at, peer),
            Event::Heard(at) => step.heard(at),
            Event::Message(at, message, _) => step.message(at, message)?,
            Event::Lost(at, _) => step.lost(at),
            Event::Completed(op, report) => step.completed(op, report),
            Event::Unbound => step.unbound(),
            Event::Probation(verdict) => step.judged(verdict),
            Event::Progress(sealed, total, revision) => step.progress(sealed, total, revision),
            Event::Due => step.due(),
            Event::Flushed(_) => {}
        }
        Ok(())
    }

    fn due(_: &IncumbentConfig, state: &Self::State) -> Option<(Instant, Why)> {
        let sessions = state.sessions.iter().filter_map(|session| match *session {
            Session::Greeting { until, .. } => Some((until, Why::HelloAck)),
            Session::Acknowledged { asked, .. } => asked.map(|asked| (asked.until, Why::Answer)),
            Session::Vacant => None,
        });
        let rebind = match state.rebind {
            Rebind::Due(at) if state.phase == Phase::Serving => Some(at),
            Rebind::Running { until, .. } => Some(until),
            _ => None,
        };
        let confirm = match state.trial {
            Trial::Orphaned(at) if state.phase == Phase::Serving => Some(at),
            Trial::Confirming { until, .. } => Some(until),
            _ => None,
        };
        let others = [
            state.beat.map(|at| (at, Why::Heartbeat)),
            state.owner_due().map(|at| (at, Why::Owner)),
            confirm.map(|at| (at, Why::Confirm)),
            state.op_limit.map(|at| (at, Why::Operation)),
            state.retry.map(|at| (at, Why::Retry)),
            rebind.map(|at| (at, Why::Rebind)),
        ];
        sessions
            .chain(others.into_iter().flatten())
            .min_by_key(|(at, _)| *at)
    }
}
