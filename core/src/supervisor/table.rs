//! The supervisor's transitions, all of them: one handoff, one look around after a restart, or one
//! question.
//!
//! ```text
//! Connecting ─→ Meeting ─→ Spawning ─→ Welcoming ─→ Warming ─→ Journaling ─→ Draining ─→ Sealing ─→ Opening ─→ Probation ─→ Committing ─→ Informing ─→ Done
//!     ↑ ↓          │           │           │           │           │          │  │         │  │        │           │
//! ConnectPause ←───┘           │           │           │           │  C6: O lost: Begin ───┴──────→    │           │
//!                              │           └───────────┴───────────┴──────────┴─ C7, C10 ──┴─→ Killing ←┴─── C8 ───┘
//!                              ↓                                                                  ↓
//!                           Undoing ←─────────────────────────────────────────────────────────────┤
//!                              └→ Confirming (is O there?) ─→ ColdStarting ←───────────────────────┘
//!
//! Calling ─→ Asking ─→ Probing ─→ Done            C9, after a restart: until the scene settles
//!    ↑                    ├─→ Settling ─→ Calling
//!    └───── Evicting ←────┤
//!                         └─→ ColdStarting
//!
//! Reaching ─→ Greeting ─→ Answering ─→ Adopting ─→ Done      a question to the incumbent
//! ```

use super::{Act, Cue, Phase};
use crate::table::{Row, row, stay};

use Act::{
    AckIncumbent, AckSuccessor, Answered, ArmAnswer, ArmCommit, ArmDrain, ArmMeet, ArmReady,
    ArmRetry, ArmSeal, ArmTold, ArmWarmUp, ArmWelcome, ArmWrite, AskKill, CancelProbation,
    ClearJournal, CloseIncumbent, Extend, Fail, Found, JournalBegun, JournalPrepared,
    KillIncumbent, KillSuccessor, RolledBack, SendAbort, SendBegin, SendCommit, SendPrepare,
    SendQuestion, SendSealRequest, SendUndo, StartAdopt, StartColdStart, StartConnect,
    StartProbation, StartProbe, StartSpawn, Started, Succeed, TellSuccessor,
};
use Cue::{
    AdoptDone, AdoptFailed, ColdDone, ColdFailed, CommitDue, ConnectDone, ConnectFailed,
    ConnectSpent, Drained as GotDrained, HelloRetired, IncumbentAbort, IncumbentHello,
    IncumbentLate, IncumbentLost, IncumbentLostSpent, IncumbentOld, IncumbentStuck, IncumbentUnfit,
    JournalAlone, JournalDone, KillAlone, KillBoth, KillDone, KillFailed, Listeners, Occupied,
    ProbationFailed, ProbationPassed, Ready, ReadyAlone, ReadyProbation, ReadySoon, ReadyUnhealthy,
    RetryDue, SealComplete, SealFailed, Settled, SpawnAlone, SpawnDone, SpawnFailed, Standby,
    StartAsk, StartHandoff, StartRecovery, Status, SuccessorAbort, SuccessorHello, SuccessorLate,
    SuccessorLeft, SuccessorLost, SuccessorOld, Told, Unsettled, UnsettledLate, Vacant, WriteLate,
    Written,
};
use Phase::{
    Adopting, Answering, Asking, Calling, ColdStarting, Committing, ConfirmPause, Confirming,
    ConnectPause, Connecting, Done, Draining, Evicting, Fresh, Greeting, Informing, Journaling,
    Killing, KillingIncumbent, Meeting, Opening, Probation, Probing, Reaching, Sealing, Serving,
    Settling, Spawning, Undoing, Warming, Welcoming,
};

/// A row of the supervisor's table.
pub type SupervisorRow = Row<Phase, Cue, Act>;

/// The supervisor's table.
#[rustfmt::skip]
pub static SUPERVISOR: &[SupervisorRow] = &[
    // The way it is meant to go.
    row(&[Fresh],         &[StartHandoff],   &[Extend, StartConnect],               Connecting, "5"),
    row(&[Connecting],    &[ConnectDone],    &[ArmMeet],                            Meeting,    "5"),
    row(&[Meeting],       &[IncumbentHello], &[AckIncumbent, StartSpawn],           Spawning,   "5"),
    row(&[Spawning],      &[SpawnDone],      &[ArmWelcome],                         Welcoming,  "5"),
    row(&[Welcoming],     &[SuccessorHello], &[AckSuccessor, ArmWarmUp],            Warming,    "5"),
    row(&[Warming],       &[Standby],        &[JournalPrepared],                    Journaling, "5"),
    row(&[Journaling],    &[JournalDone],    &[SendPrepare, ArmDrain],              Draining,   "5"),
    row(&[Draining],      &[GotDrained],     &[SendSealRequest, ArmSeal],           Sealing,    "5"),
    row(&[Sealing],       &[SealComplete],   &[SendBegin, ArmReady, JournalBegun],  Opening,    "5"),
    row(&[Opening],       &[Ready],          &[SendCommit, ArmWrite],               Committing, "5"),
    // The successor is told when the incumbent has left, and not before: one that is just trying for the
    // lock could come back, if the successor died right after it was told. What is late, or refused, the
    // end of the channel tells; then the successor waits for as long as an incumbent can take to leave.
    row(&[Committing],    &[IncumbentLost],  &[TellSuccessor, ArmTold],             Informing,  "5"),
    row(&[Committing],    &[IncumbentAbort, IncumbentUnfit, WriteLate],
                                             &[ClearJournal, Succeed],              Done,       "5"),
    row(&[Informing],     &[Told, WriteLate],
                                             &[ClearJournal, Succeed],              Done,       "5"),
    stay(&[Committing],   &[Written, SuccessorLost, SuccessorAbort],        &[],                "5"),

    // A successor of version 1 does not say Standby.
    row(&[Welcoming],     &[SuccessorOld],   &[AckSuccessor, JournalPrepared],      Journaling, "5"),

    // The successor serves, and is left in peace for a moment: an incumbent that leaves would take processor
    // time from its first answers. Until Commit the incumbent could come back.
    row(&[Opening],       &[ReadySoon],      &[ArmCommit],                          Serving,    "5"),
    row(&[Serving],       &[CommitDue],      &[SendCommit, ArmWrite],               Committing, "5"),
    row(&[Serving],       &[SuccessorLost, SuccessorAbort],
                                             &[KillSuccessor],                      Killing,    "C8"),

    // The successor serves on probation, and the incumbent could come back.
    row(&[Opening],       &[ReadyProbation], &[StartProbation],                     Probation,  "5"),
    row(&[Probation],     &[ProbationPassed],
                                             &[SendCommit, ArmWrite],               Committing, "5"),
    row(&[Probation],     &[ProbationFailed, SuccessorLost, SuccessorAbort],
                                             &[CancelProbation, KillSuccessor],     Killing,    "C8"),
    // Lost is not dead: by the end of the channel the successor knows that it has to wait for a while before
    // it makes changes that the incumbent could not read.
    row(&[Probation, Serving],
                          &[IncumbentLost],  &[CancelProbation, CloseIncumbent, ClearJournal, Succeed],
                                                                                    Done,       "C6"),
    // One of version 1 leaves its session after Ready, and serves all the same.
    stay(&[Probation],    &[SuccessorLeft],                                 &[],                "C2"),
    stay(&[Probation, Serving],
                          &[IncumbentAbort],                                &[],                "C2"),

    // Nobody answers, or the process that has just been retired still does: once more, for a while.
    row(&[Connecting],    &[ConnectFailed],  &[ArmRetry],                         ConnectPause, "6"),
    row(&[Meeting],       &[HelloRetired, IncumbentLost, IncumbentLate],
                                             &[CloseIncumbent, ArmRetry],         ConnectPause, "6"),
    row(&[ConnectPause],  &[RetryDue],       &[StartConnect],                       Connecting, "6"),
    row(&[Connecting, Meeting],
                          &[ConnectSpent, IncumbentLostSpent, IncumbentUnfit],
                                             &[CloseIncumbent, Fail],               Done,       "6"),

    // The incumbent is lost before it has sealed: it may be dead, and the successor finds out.
    stay(&[Spawning, Welcoming, Warming, Journaling],
                          &[IncumbentLost],  &[CloseIncumbent],                                 "C6"),
    row(&[Journaling],    &[JournalAlone],   &[SendBegin, ArmReady, JournalBegun],  Opening,    "C6"),
    row(&[Draining, Sealing],
                          &[IncumbentLost],  &[CloseIncumbent, SendBegin, ArmReady, JournalBegun],
                                                                                    Opening,    "C6"),
    stay(&[Opening, Killing, KillingIncumbent],
                          &[IncumbentLost],  &[CloseIncumbent],                                 "C6"),

    // Before Begin, whatever goes wrong costs the successor, and the incumbent goes on.
    row(&[Spawning],      &[SpawnFailed],    &[SendUndo, ArmWrite],                 Undoing,    "C7"),
    row(&[Spawning],      &[SpawnAlone],     &[Extend, StartConnect],               Confirming, "C7"),
    row(&[Welcoming, Warming, Journaling, Draining, Sealing],
                          &[SuccessorLost, SuccessorLate, SuccessorAbort],
                                             &[KillSuccessor],                      Killing,    "C7"),
    row(&[Draining, Sealing],
                          &[IncumbentAbort, SealFailed],
                                             &[KillSuccessor],                      Killing,    "C7"),
    row(&[Draining, Sealing],
                          &[IncumbentLate],  &[SendAbort, KillSuccessor],           Killing,    "C10"),
    row(&[Draining, Sealing],
                          &[IncumbentStuck], &[KillIncumbent],              KillingIncumbent,   "C10"),
    row(&[KillingIncumbent],
                          &[KillDone, KillAlone],
                                             &[CloseIncumbent, SendBegin, ArmReady, JournalBegun],
                                                                                    Opening,    "C10"),
    row(&[KillingIncumbent],
                          &[KillFailed],     &[SendAbort, KillSuccessor],           Killing,    "C10"),
    // Nobody is left then, so the daemon is looked for, and started afresh.
    row(&[KillingIncumbent],
                          &[KillBoth],       &[CloseIncumbent, KillSuccessor],      Killing,    "C10"),
    stay(&[KillingIncumbent],
                          &[SuccessorLost, SuccessorAbort, GotDrained, SealComplete, SealFailed, IncumbentAbort],  &[],        "C10"),

    // After Begin the lock decides; what the incumbent says about the handoff changes nothing.
    stay(&[Opening],      &[IncumbentAbort], &[],                                               "C2"),
    row(&[Opening],       &[ReadyAlone],     &[ClearJournal, Succeed],              Done,       "C6"),
    row(&[Opening],       &[SuccessorLost, SuccessorLate, SuccessorAbort, ReadyUnhealthy],
                                             &[KillSuccessor],                      Killing,    "C8"),

    // Back to the incumbent, which may be gone by now.
    row(&[Killing],       &[KillDone, KillFailed],
                                             &[SendUndo, ArmWrite],                 Undoing,    "C8"),
    row(&[Killing],       &[KillAlone],      &[Extend, StartConnect],               Confirming, "C8"),
    stay(&[Killing],      &[SuccessorLost, SuccessorAbort, Standby, Ready, ReadySoon, ReadyAlone, ReadyProbation, ReadyUnhealthy,
                            GotDrained, SealComplete, SealFailed, IncumbentAbort],  &[],        "C8"),
    row(&[Undoing],       &[Written],        &[ClearJournal, RolledBack],           Done,       "C8"),
    row(&[Undoing],       &[IncumbentLost, WriteLate],
                                             &[CloseIncumbent, Extend, StartConnect],
                                                                                    Confirming, "C8"),
    stay(&[Undoing],      &[GotDrained, SealComplete, SealFailed, IncumbentAbort],  &[],        "C8"),
    row(&[Confirming],    &[ConnectDone],    &[CloseIncumbent, ClearJournal, RolledBack],
                                                                                    Done,       "C8"),
    row(&[Confirming],    &[ConnectFailed],  &[ArmRetry],                         ConfirmPause, "C8"),
    row(&[ConfirmPause],  &[RetryDue],       &[StartConnect],                       Confirming, "C8"),
    row(&[Confirming],    &[ConnectSpent],   &[StartColdStart],                   ColdStarting, "C8"),
    row(&[ColdStarting],  &[ColdDone],       &[ClearJournal, Started],              Done,       "C8"),
    row(&[ColdStarting],  &[ColdFailed],     &[ClearJournal, Fail],                 Done,       "C8"),

    // After a restart: look until the scene has settled.
    row(&[Fresh],         &[StartRecovery],  &[Extend, StartConnect],               Calling,    "C9"),
    row(&[Calling],       &[ConnectDone],    &[ArmMeet],                            Asking,     "C9"),
    row(&[Calling],       &[ConnectFailed, ConnectSpent],
                                             &[StartProbe],                         Probing,    "C9"),
    row(&[Asking],        &[IncumbentHello, HelloRetired, IncumbentLost, IncumbentLostSpent,
                            IncumbentLate, IncumbentUnfit],
                                             &[CloseIncumbent, StartProbe],         Probing,    "C9"),
    row(&[Probing],       &[Settled],        &[ClearJournal, Found],                Done,       "C9"),
    row(&[Probing],       &[Unsettled],      &[ArmRetry],                           Settling,   "C9"),
    row(&[Settling],      &[RetryDue],       &[StartConnect],                       Calling,    "C9"),
    row(&[Probing],       &[UnsettledLate],  &[AskKill, Extend],                    Evicting,   "C9"),
    row(&[Evicting],      &[KillDone, KillAlone, KillFailed],
                                             &[StartConnect],                       Calling,    "C9"),
    row(&[Probing],       &[Occupied],       &[Fail],                               Done,       "C9"),
    row(&[Probing],       &[Vacant],         &[StartColdStart],                   ColdStarting, "C9"),

    // A question.
    row(&[Fresh],         &[StartAsk],       &[StartConnect],                       Reaching,   "6"),
    row(&[Reaching],      &[ConnectDone],    &[ArmMeet],                            Greeting,   "6"),
    row(&[Reaching],      &[ConnectFailed, ConnectSpent],
                                             &[Fail],                               Done,       "6"),
    row(&[Greeting],      &[IncumbentHello], &[AckIncumbent, SendQuestion, ArmAnswer],
                                                                                    Answering,  "6"),
    row(&[Greeting],      &[IncumbentLost, IncumbentLostSpent, IncumbentLate, IncumbentUnfit, IncumbentOld],
                                             &[CloseIncumbent, Fail],               Done,       "6"),
    row(&[Answering],     &[Listeners],      &[StartAdopt],                         Adopting,   "6"),
    row(&[Answering],     &[Status],         &[CloseIncumbent, Answered],           Done,       "6"),
    row(&[Answering],     &[IncumbentLost, IncumbentLate, IncumbentAbort],
                                             &[CloseIncumbent, Fail],               Done,       "6"),
    row(&[Adopting],      &[AdoptDone],      &[CloseIncumbent, Answered],           Done,       "6"),
    row(&[Adopting],      &[AdoptFailed],    &[CloseIncumbent, Fail],               Done,       "6"),
    stay(&[Adopting],     &[IncumbentLost, IncumbentAbort],                 &[],                "6"),
];

/// Which rows of the table were taken.
#[cfg(feature = "trace")]
pub static TAKEN: crate::table::Taken = crate::table::Taken::new();
