//! The rows that stand for a rule that is switched off.

use handoff_core::table::Row;
use handoff_core::{incumbent, successor, supervisor};

use super::Mutation;
use incumbent::IncumbentRow;
use successor::SuccessorRow;
use supervisor::SupervisorRow;

const fn row<P, C, A>(
    from: &'static [P],
    on: &'static [C],
    act: &'static [A],
    to: Option<P>,
    rule: &'static str,
) -> Row<P, C, A> {
    Row {
        from,
        on,
        to,
        act,
        rule,
    }
}

/// An incumbent that tries for the lock does not look at the control path.
pub(super) const BLIND: IncumbentRow = {
    use incumbent::{Act::ArmRetry, Cue::LockHeld, Phase::Pausing, Phase::Reclaiming};
    row(&[Reclaiming], &[LockHeld], &[ArmRetry], Some(Pausing), "v1")
};

#[rustfmt::skip]
pub(super) fn incumbent_rows(mutation: Mutation) -> &'static [IncumbentRow] {
    use incumbent::Act::{Disown, LeaveSuperseded, StartResume};
    use incumbent::Cue::{
        Abort, DeadlinePassed, DrainFailed, HookLate, OwnerLost, PathOurs, PathTheirs, PathUnbound, PathUnsure,
        ReleaseDone, Resume, RetryDue, SealFailed, SealTooLarge,
    };
    use incumbent::Phase::{
        Drained, Draining, Pausing, Resuming, Returning, Sealed, Sealing, Superseded, Unreleasing,
        Watching,
    };
    const CLOSED: &[IncumbentRow] = &[
        row(&[Draining, Drained, Sealing],
            &[Abort, Resume, OwnerLost, DrainFailed, SealFailed, SealTooLarge],
            &[Disown], None, "not C1"),
    ];
    const LEAVES: &[IncumbentRow] = &[
        row(&[Sealed], &[Abort, Resume, OwnerLost], &[LeaveSuperseded], Some(Superseded), "not C2"),
        row(&[Unreleasing], &[ReleaseDone], &[LeaveSuperseded], Some(Superseded), "not C2"),
    ];
    const GIVES_UP: &[IncumbentRow] = &[
        row(&[Pausing], &[RetryDue], &[LeaveSuperseded], Some(Superseded), "not C2"),
    ];
    const AT_ONCE: &[IncumbentRow] = &[
        row(&[Watching], &[PathTheirs, PathUnsure], &[LeaveSuperseded], Some(Superseded), "not C2"),
    ];
    const LEAVES_PATH: &[IncumbentRow] = &[
        row(&[Returning], &[PathOurs, PathTheirs, PathUnbound, HookLate],
            &[StartResume], Some(Resuming), "not C2"),
    ];
    const WAITS_ON: &[IncumbentRow] =
        &[row(&[Sealed], &[DeadlinePassed], &[], None, "not C11")];
    match mutation {
        Mutation::Checking => WAITS_ON,
        Mutation::C1 => CLOSED,
        Mutation::C2 => LEAVES,
        Mutation::C2GivesUp | Mutation::Impatient => GIVES_UP,
        Mutation::C2LeavesAtOnce => AT_ONCE,
        Mutation::C2LeavesPath => LEAVES_PATH,
        _ => &[],
    }
}

#[rustfmt::skip]
pub(super) fn successor_rows(mutation: Mutation) -> &'static [SuccessorRow] {
    use successor::Act::{AbortPeer, ArmWrite, Fail};
    use successor::Cue::{BeginLate, HelloLate, LockHeld, Lost, WriteLate};
    use successor::Phase::{
        Announcing, Failed, Greeting, LockPause, Locking, Opening, Parting, Staging, Standing,
    };
    const BEFORE_BEGIN: &[SuccessorRow] = &[
        row(&[Staging, Greeting, Standing], &[Lost, HelloLate, BeginLate],
            &[Fail], Some(Failed), "not C3"),
    ];
    const AT_ONCE: &[SuccessorRow] = &[
        row(&[Locking], &[LockHeld], &[AbortPeer, ArmWrite], Some(Parting), "not C4"),
    ];
    const WITH_ITS_SESSION: &[SuccessorRow] = &[
        row(&[Locking, LockPause, Opening, Announcing], &[Lost, WriteLate],
            &[Fail], Some(Failed), "not C5"),
    ];
    match mutation {
        Mutation::C3 => BEFORE_BEGIN,
        Mutation::C4 => AT_ONCE,
        Mutation::C5 | Mutation::Impatient => WITH_ITS_SESSION,
        _ => &[],
    }
}

#[rustfmt::skip]
pub(super) fn supervisor_rows(mutation: Mutation) -> &'static [SupervisorRow] {
    use supervisor::Act::{
        AckSuccessor, ArmCommit, ArmRetry, ArmTold, ArmWrite, CancelProbation, ClearJournal, CloseIncumbent, Found,
        JournalPrepared, KillSuccessor, RolledBack, SendCommit, SendUndo, StartProbation,
        TellSuccessor,
    };
    use supervisor::Cue::{
        IncumbentAbort, IncumbentLate, IncumbentLost, JournalAlone, ProbationFailed,
        ReadyProbation, ReadySoon, ReadyUnhealthy, SealFailed, Standby, StartRecovery, SuccessorAbort,
        SuccessorHello, SuccessorLate, SuccessorLost, UnsettledLate, Written,
    };
    use supervisor::Phase::{
        Committing, Done, Draining, Fresh, Informing, Journaling, Killing, Opening, Probation, Probing,
        Sealing, Serving, Settling, Undoing, Warming, Welcoming,
    };
    const KILLS: &[SupervisorRow] = &[
        row(&[Draining, Sealing], &[IncumbentLost],
            &[CloseIncumbent, KillSuccessor], Some(Killing), "not C6"),
        row(&[Journaling], &[JournalAlone], &[KillSuccessor], Some(Killing), "not C6"),
    ];
    const IN_SILENCE: &[SupervisorRow] = &[
        row(&[Welcoming, Warming, Journaling, Draining, Sealing],
            &[SuccessorLost, SuccessorLate, SuccessorAbort],
            &[ClearJournal, RolledBack], Some(Done), "not C7"),
        row(&[Draining, Sealing], &[IncumbentAbort, SealFailed],
            &[ClearJournal, RolledBack], Some(Done), "not C7"),
    ];
    const WAITS_FOR_BEGIN: &[SupervisorRow] = &[
        row(&[Welcoming, Warming, Journaling, Draining, Sealing],
            &[SuccessorLost, SuccessorLate, SuccessorAbort], &[], None, "not C7"),
    ];
    const WAITS_FOR_READY: &[SupervisorRow] = &[
        row(&[Opening], &[SuccessorLost, SuccessorLate, SuccessorAbort, ReadyUnhealthy],
            &[], None, "not C8"),
    ];
    const SPARES: &[SupervisorRow] = &[
        row(&[Opening], &[SuccessorLost, SuccessorLate, SuccessorAbort, ReadyUnhealthy],
            &[SendUndo, ArmWrite], Some(Undoing), "not C8"),
    ];
    const COMMITS: &[SupervisorRow] = &[
        row(&[Opening], &[ReadyUnhealthy], &[SendCommit, ArmWrite], Some(Committing), "not C8"),
    ];
    const FORGETS: &[SupervisorRow] = &[
        row(&[Fresh], &[StartRecovery], &[ClearJournal, Found], Some(Done), "not C9"),
    ];
    const NEVER_EVICTS: &[SupervisorRow] = &[
        row(&[Probing], &[UnsettledLate], &[ArmRetry], Some(Settling), "not C9"),
    ];
    const WAITS_FOR_INCUMBENT: &[SupervisorRow] = &[
        row(&[Draining, Sealing], &[IncumbentLate], &[], None, "not C10"),
    ];
    const NO_STANDBY_WAIT: &[SupervisorRow] = &[
        row(&[Welcoming], &[SuccessorHello], &[AckSuccessor, JournalPrepared], Some(Journaling), "not 5"),
        row(&[Journaling, Draining, Sealing], &[Standby], &[], None, "not 5"),
    ];
    const LETS_IT_BE: &[SupervisorRow] = &[
        row(&[Probation, Serving], &[ProbationFailed, SuccessorLost, SuccessorAbort], &[], None, "not C8"),
    ];
    const KILLS_IN_PROBATION: &[SupervisorRow] = &[
        row(&[Probation, Serving], &[IncumbentLost],
            &[CancelProbation, CloseIncumbent, KillSuccessor], Some(Killing), "not C6"),
    ];
    const COMMITS_EARLY: &[SupervisorRow] = &[
        row(&[Opening], &[ReadyProbation], &[TellSuccessor, StartProbation], Some(Probation), "not 5"),
        row(&[Opening], &[ReadySoon], &[TellSuccessor, ArmCommit], Some(Serving), "not 5"),
    ];
    const COMMITS_AT_ONCE: &[SupervisorRow] = &[
        row(&[Committing], &[Written], &[TellSuccessor, ArmTold], Some(Informing), "not 5"),
    ];
    match mutation {
        Mutation::CommitsAtOnce => COMMITS_AT_ONCE,
        Mutation::NoStandbyWait => NO_STANDBY_WAIT,
        Mutation::C8Probation => LETS_IT_BE,
        Mutation::C6Probation => KILLS_IN_PROBATION,
        Mutation::CommitsEarly => COMMITS_EARLY,
        Mutation::C6 => KILLS,
        Mutation::C7 => IN_SILENCE,
        Mutation::C7Waits => WAITS_FOR_BEGIN,
        Mutation::C8 => WAITS_FOR_READY,
        Mutation::C8Spares => SPARES,
        Mutation::C8CommitsUnhealthy => COMMITS,
        Mutation::C9 => FORGETS,
        Mutation::C9Spares => NEVER_EVICTS,
        Mutation::C10 => WAITS_FOR_INCUMBENT,
        _ => &[],
    }
}
