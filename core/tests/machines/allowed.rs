//! What the transition tables allow, to hold a machine's actions against.

use handoff_core::incumbent::{Act as O, INCUMBENT};
use handoff_core::journal::{Entry, Stage};
use handoff_core::successor::{Act as N, SUCCESSOR};
use handoff_core::supervisor::{Act as S, SUPERVISOR};
use handoff_core::table::Row;
use handoff_core::{
    Handles, Incumbent, IncumbentOp, Role, Successor, SuccessorOp, Supervisor, SupervisorOp,
};

/// A role and its table.
pub(crate) trait Tabled<const L: usize>: Role<L> {
    /// Whether a row leads from one phase to the other.
    fn leads(from: Self::Phase, to: Self::Phase) -> bool;
    /// Whether a row on which the machine is in this phase now starts such an operation.
    fn starts(op: &Self::Op, now: Self::Phase) -> bool;
    /// The descriptors that the operation takes.
    fn takes(_: &Self::Op) -> Option<Handles> {
        None
    }
}

fn leads<P: PartialEq, C, A>(table: &[Row<P, C, A>], from: &P, to: &P) -> bool {
    table
        .iter()
        .any(|row| row.from.contains(from) && row.to.as_ref() == Some(to))
}

fn asks<P: PartialEq, C, A: PartialEq>(table: &[Row<P, C, A>], acts: &[A], now: &P) -> bool {
    table.iter().any(|row| {
        let there = row
            .to
            .as_ref()
            .map_or(row.from.contains(now), |to| to == now);
        there && acts.iter().any(|act| row.act.contains(act))
    })
}

impl<const L: usize> Tabled<L> for Incumbent {
    fn leads(from: Self::Phase, to: Self::Phase) -> bool {
        leads(INCUMBENT, &from, &to)
    }

    fn starts(op: &IncumbentOp, now: Self::Phase) -> bool {
        let act = match op {
            IncumbentOp::Drain { .. } => O::StartDrain,
            IncumbentOp::Seal { .. } => O::StartSeal,
            IncumbentOp::Resume(_) => O::StartResume,
            IncumbentOp::ReleaseLock(_) => O::StartRelease,
            IncumbentOp::TryLock(_) => O::StartLock,
            IncumbentOp::InspectPath(_) => O::StartInspect,
            IncumbentOp::BindPath(_) => O::StartBind,
            // Beside the table: any session may ask at any time, and a probation ends when it ends.
            IncumbentOp::ListListeners(_) | IncumbentOp::Snapshot(_) | IncumbentOp::Confirm(_) => {
                return true;
            }
        };
        asks(INCUMBENT, &[act], &now)
    }
}

impl Tabled<1> for Successor {
    fn leads(from: Self::Phase, to: Self::Phase) -> bool {
        leads(SUCCESSOR, &from, &to)
    }

    fn starts(op: &SuccessorOp, now: Self::Phase) -> bool {
        let act = match op {
            SuccessorOp::StagePath(_) => N::StartStage,
            SuccessorOp::TryLock(_) => N::StartLock,
            SuccessorOp::Open(_) => N::StartOpen,
            SuccessorOp::PublishPath(_) => N::StartPublish,
            SuccessorOp::WarmUp(_) => N::StartWarmUp,
            SuccessorOp::Serve { .. } => N::StartServe,
        };
        asks(SUCCESSOR, &[act], &now)
    }
}

impl Tabled<2> for Supervisor {
    fn leads(from: Self::Phase, to: Self::Phase) -> bool {
        leads(SUPERVISOR, &from, &to)
    }

    fn starts(op: &SupervisorOp, now: Self::Phase) -> bool {
        let stage = |entry: &Entry| match entry.stage {
            Stage::Prepared => S::JournalPrepared,
            Stage::Begun => S::JournalBegun,
        };
        let acts = match op {
            SupervisorOp::Connect(_) => vec![S::StartConnect],
            SupervisorOp::Spawn(_) => vec![S::StartSpawn],
            SupervisorOp::Kill { .. } => vec![S::KillSuccessor, S::KillIncumbent, S::AskKill],
            SupervisorOp::WriteJournal { entry, .. } => vec![stage(entry)],
            SupervisorOp::ClearJournal(_) => vec![S::ClearJournal],
            SupervisorOp::ColdStart(_) => vec![S::StartColdStart],
            SupervisorOp::Probe { .. } => vec![S::StartProbe],
            SupervisorOp::WatchProbation { .. } => vec![S::StartProbation],
            SupervisorOp::AdoptListeners { .. } => vec![S::StartAdopt],
        };
        asks(SUPERVISOR, &acts, &now)
    }

    fn takes(op: &SupervisorOp) -> Option<Handles> {
        match op {
            SupervisorOp::AdoptListeners { handles, .. } => Some(*handles),
            _ => None,
        }
    }
}
