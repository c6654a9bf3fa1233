//! One turn of a machine of any role, in the terms of the world.

use handoff_core::{
    Action, Handles, IncumbentOp, Input, Instant, LinkId, Machine, Role, Step, Storage,
    SuccessorOp, SupervisorOp,
};

use super::Call;

/// What the machine of any role asked for in one turn.
pub(super) enum Asked<P> {
    Send(LinkId, Vec<u8>, Handles),
    Start(u32, Call),
    Close(LinkId),
    Cancel(u32),
    /// Told in words when somebody wants to know; counted always.
    Seen(Option<P>),
}

pub(super) struct Turned<O> {
    pub(super) asked: Vec<Asked<String>>,
    pub(super) end: std::result::Result<Option<Instant>, O>,
}

impl<O: std::fmt::Display> Turned<O> {
    /// With an end in words, and for the process.
    pub(super) fn ends<E>(self, end: impl FnOnce(O) -> E) -> Turned<(String, E)> {
        Turned {
            asked: self.asked,
            end: self
                .end
                .map_err(|outcome| (outcome.to_string(), end(outcome))),
        }
    }
}

pub(super) fn turn<R: Role<L>, S: Storage, const L: usize>(
    machine: &mut Machine<R, S, L>,
    now: Instant,
    input: Input<'_>,
    call: impl Fn(R::Op) -> (u32, Call),
    tell: bool,
) -> Turned<R::Outcome> {
    let mut turn = machine
        .handle(now, input)
        .unwrap_or_else(|misuse| panic!("the world misuses a machine: {misuse}"));
    if let Input::Bytes { handles, .. } = input {
        assert!(
            turn.kept() || handles.is_empty(),
            "descriptors that nobody wants"
        );
    }
    let mut asked = Vec::new();
    let end = loop {
        let action = match turn.next() {
            Step::Do(action) => action,
            Step::Wait(wait) => {
                // After a deadline was answered the next one is later: no busy loop.
                assert!(
                    !matches!(input, Input::Deadline) || wait.deadline.is_none_or(|at| at > now),
                    "a deadline was answered and is still due"
                );
                break Ok(wait.deadline);
            }
            Step::Done(outcome) => break Err(outcome),
        };
        asked.push(match action {
            Action::Send {
                link,
                bytes,
                handles,
            } => Asked::Send(link, bytes.to_vec(), handles),
            Action::Start(op) => {
                let (id, call) = call(op);
                Asked::Start(id, call)
            }
            Action::Cancel(op) => Asked::Cancel(op.number()),
            Action::Close { link } => Asked::Close(link),
            Action::Observe(seen) => Asked::Seen(tell.then(|| format!("{seen:?}"))),
        });
    };
    Turned { asked, end }
}

pub(super) fn incumbent_call(op: IncumbentOp) -> (u32, Call) {
    match op {
        IncumbentOp::Drain { ticket, .. } => (ticket.id().number(), Call::Drain),
        IncumbentOp::Seal { ticket, .. } => (ticket.id().number(), Call::Seal),
        IncumbentOp::Resume(ticket) => (ticket.id().number(), Call::Resume),
        IncumbentOp::ReleaseLock(ticket) => (ticket.id().number(), Call::Release),
        IncumbentOp::TryLock(ticket) => (ticket.id().number(), Call::TryLock),
        IncumbentOp::InspectPath(ticket) => (ticket.id().number(), Call::Inspect),
        IncumbentOp::BindPath(ticket) => (ticket.id().number(), Call::Bind),
        IncumbentOp::Confirm(ticket) => (ticket.id().number(), Call::Confirm),
        IncumbentOp::ListListeners(ticket) => (ticket.id().number(), Call::ListListeners),
        IncumbentOp::Snapshot(ticket) => (ticket.id().number(), Call::Snapshot),
    }
}

pub(super) fn successor_call(op: SuccessorOp) -> (u32, Call) {
    match op {
        SuccessorOp::StagePath(ticket) => (ticket.id().number(), Call::Stage),
        SuccessorOp::WarmUp(ticket) => (ticket.id().number(), Call::WarmUp),
        SuccessorOp::TryLock(ticket) => (ticket.id().number(), Call::TryLock),
        SuccessorOp::Open(ticket) => (ticket.id().number(), Call::Open),
        SuccessorOp::PublishPath(ticket) => (ticket.id().number(), Call::Publish),
        SuccessorOp::Serve {
            ticket, published, ..
        } => (ticket.id().number(), Call::Serve(published)),
    }
}

pub(super) fn supervisor_call(op: SupervisorOp) -> (u32, Call) {
    match op {
        SupervisorOp::Connect(ticket) => (ticket.id().number(), Call::Connect),
        SupervisorOp::Spawn(ticket) => (ticket.id().number(), Call::Spawn),
        SupervisorOp::Kill { ticket, process } => (ticket.id().number(), Call::Kill(process.pid)),
        SupervisorOp::WriteJournal { ticket, entry } => {
            (ticket.id().number(), Call::WriteJournal(entry))
        }
        SupervisorOp::ClearJournal(ticket) => (ticket.id().number(), Call::ClearJournal),
        SupervisorOp::ColdStart(ticket) => (ticket.id().number(), Call::ColdStart),
        SupervisorOp::Probe { ticket, entry } => (ticket.id().number(), Call::Probe(entry)),
        SupervisorOp::WatchProbation {
            ticket,
            process,
            until,
        } => {
            let call = Call::WatchProbation(process.pid, until);
            (ticket.id().number(), call)
        }
        SupervisorOp::AdoptListeners { ticket, handles } => {
            assert_eq!(handles.count, 1, "there is one listener");
            (ticket.id().number(), Call::AdoptListeners)
        }
    }
}
