//! The supervisor as a role: what it starts with, how an event reaches it, when something is due.

use super::step::{INCUMBENT, Step};
use super::{
    Cue, Phase, Shortfall, Supervisor, SupervisorCall, SupervisorConfig, SupervisorOp,
    SupervisorOutcome, SupervisorState, Task, Why,
};
use crate::handles::Handles;
use crate::machine::{Event, Out, Party, Role, Room, sealed};
use crate::op::{OpId, Process, Ticket};
use crate::time::Instant;
use crate::violation::Violation;

impl sealed::Sealed for Supervisor {}

impl Role<2> for Supervisor {
    type Config = SupervisorConfig;
    type State = SupervisorState;
    type Call = SupervisorCall;
    type Op = SupervisorOp;
    type Phase = Phase;
    type Why = Why;
    type Outcome = SupervisorOutcome;

    const PARTY: Party = Party::Supervisor;
    const SERVES: bool = false;

    fn fresh() -> SupervisorState {
        SupervisorState {
            phase: Phase::Fresh,
            incumbent: Process::default(),
            incumbent_lost: false,
            successor: Process::default(),
            op: None,
            timer: None,
            alive_until: None,
            patience: Instant::default(),
            deadline: Instant::default(),
            stage: None,
            journal: None,
            beat: None,
            shortfall: Shortfall::default(),
            handles: Handles::NONE,
            answered: None,
            cause: None,
        }
    }

    fn issue(call: SupervisorCall, id: OpId) -> SupervisorOp {
        match call {
            SupervisorCall::Connect => SupervisorOp::Connect(Ticket::new(id)),
            SupervisorCall::Spawn => SupervisorOp::Spawn(Ticket::new(id)),
            SupervisorCall::Kill(process) => SupervisorOp::Kill {
                ticket: Ticket::new(id),
                process,
            },
            SupervisorCall::WriteJournal(entry) => SupervisorOp::WriteJournal {
                ticket: Ticket::new(id),
                entry,
            },
            SupervisorCall::ClearJournal => SupervisorOp::ClearJournal(Ticket::new(id)),
            SupervisorCall::ColdStart => SupervisorOp::ColdStart(Ticket::new(id)),
            SupervisorCall::Probe(entry) => SupervisorOp::Probe {
                ticket: Ticket::new(id),
                entry,
            },
            SupervisorCall::WatchProbation(process, until) => SupervisorOp::WatchProbation {
                ticket: Ticket::new(id),
                process,
                until,
            },
            SupervisorCall::AdoptListeners(handles) => SupervisorOp::AdoptListeners {
                ticket: Ticket::new(id),
                handles,
            },
        }
    }

    fn call(op: &SupervisorOp) -> (OpId, SupervisorCall) {
        match *op {
            SupervisorOp::Connect(ref ticket) => (ticket.id(), SupervisorCall::Connect),
            SupervisorOp::Spawn(ref ticket) => (ticket.id(), SupervisorCall::Spawn),
            SupervisorOp::ClearJournal(ref ticket) => (ticket.id(), SupervisorCall::ClearJournal),
            SupervisorOp::ColdStart(ref ticket) => (ticket.id(), SupervisorCall::ColdStart),
            SupervisorOp::Kill {
                ref ticket,
                process,
            } => (ticket.id(), SupervisorCall::Kill(process)),
            SupervisorOp::WriteJournal { ref ticket, entry } => {
                (ticket.id(), SupervisorCall::WriteJournal(entry))
            }
            SupervisorOp::Probe { ref ticket, entry } => {
                (ticket.id(), SupervisorCall::Probe(entry))
            }
            SupervisorOp::WatchProbation {
                ref ticket,
                process,
                until,
            } => (ticket.id(), SupervisorCall::WatchProbation(process, until)),
            SupervisorOp::AdoptListeners {
                ref ticket,
                handles,
            } => (ticket.id(), SupervisorCall::AdoptListeners(handles)),
        }
    }

    fn phase(state: &SupervisorState) -> Phase {
        state.phase
    }

    fn victim(_: &SupervisorState, _: u32) -> Option<usize> {
        None
    }

    fn takes_handles(state: &SupervisorState, at: usize) -> bool {
        at == INCUMBENT && state.phase == Phase::Answering
    }

    fn step<B: Room>(
        config: &SupervisorConfig,
        state: &mut SupervisorState,
        now: Instant,
        event: Event<'_>,
        out: &mut Out<'_, Self, B, 2>,
    ) -> Result<(), Violation> {
        let mut step = Step {
            config,
            state,
            now,
            out,
        };
        match event {
            Event::Start => {
                step.cue(match config.task {
                    Task::Handoff(_) => Cue::StartHandoff,
                    Task::Recover(_) => Cue::StartRecovery,
                    Task::Ask(..) => Cue::StartAsk,
                });
            }
            Event::Heard(at) => step.heard(at),
            Event::Message(at, message, handles) => step.message(at, message, handles)?,
            Event::Flushed(_) => step.written(),
            Event::Lost(at, loss) => step.lost(at, loss),
            Event::Completed(op, report) => step.completed(op, report),
            Event::Due => step.due(),
            Event::Opened(..) | Event::Progress(..) | Event::Unbound | Event::Probation(_) => {}
        }
        Ok(())
    }

    fn due(_: &SupervisorConfig, state: &SupervisorState) -> Option<(Instant, Why)> {
        let life = state.alive_until.map(|at| (at, Why::Life));
        let beat = state.beat.map(|at| (at, Why::Heartbeat));
        state
            .timer
            .into_iter()
            .chain(life)
            .chain(beat)
            .min_by_key(|(at, _)| *at)
    }
}
