//! The incumbent's transitions, all of them.
//!
//! ```text
//! Serving ─Prepare→ Draining ─→ Drained ─SealRequest→ Sealing ─→ Releasing ─→ Sealed ─Commit→ Retired
//!    ↑                 │           │                     │           │           │
//!    │              Undraining     │                 Unsealing   Unreleasing     │   given up:
//!    │                 ↓           ↓                     ↓           ↓           ↓   C1 before the
//!    └───────────── Resuming ←─────┴─────────────────────┘        Reclaiming ←───┘   lock is gone,
//!                      ↑                                          ↓  ↑    ↓          C2 after
//!                      └──────────── Rebinding ←── Returning ←────┘  └ Watching → Superseded
//!
//! Sealed ←→ Checking    with version 2, when the announced deadline has passed: has anybody the lock?
//! ```

use super::{Act, Cue, Phase};
use crate::table::{Row, row, stay};

use Act::{
    AbortOwner, ArmBeat, ArmCheck, ArmPatience, ArmRetry, CancelHook, Disown, FailStop, Leave,
    LeaveSuperseded, ReleaseSeal, StageSeal, StartBind, StartDrain, StartInspect, StartLock,
    StartRelease, StartResume, StartSeal, TakeOwner, TellDrained, TellSealFailed, Unstage,
};
use Cue::{
    Abort, BindDone, BindFailed, Commit, ConfirmDone, ConfirmLate, DeadlinePassed, Dismissed,
    DrainDone, DrainFailed, HookLate, LockFree, LockHeld, OwnerLost, OwnerSilent, PathOurs,
    PathTheirs, PathUnbound, PathUnsure, Prepare, PrepareEarly, RebindDue, ReleaseDone,
    ReleaseFailed, Resume, ResumeDone, ResumeFailed, ResumeSpent, RetryDue, SealDone, SealFailed,
    SealRequest, SealTooLarge,
};
use Phase::{
    Checking, Drained, Draining, Failed, Pausing, Rebinding, Reclaiming, Releasing, Resuming,
    Retired, Returning, Sealed, Sealing, Serving, Stumbling, Superseded, Undraining, Unreleasing,
    Unsealing, Waiting, Watching,
};

/// A row of the incumbent's table.
pub type IncumbentRow = Row<Phase, Cue, Act>;

/// The incumbent's table.
#[rustfmt::skip]
pub static INCUMBENT: &[IncumbentRow] = &[
    // The way it is meant to go.
    row(&[Serving],     &[Prepare],       &[TakeOwner, StartDrain],         Draining,   "5"),
    row(&[Draining],    &[DrainDone],     &[TellDrained],                   Drained,    "5"),
    row(&[Drained],     &[SealRequest],   &[StartSeal],                     Sealing,    "5"),
    row(&[Sealing],     &[SealDone],      &[StageSeal, StartRelease],       Releasing,  "5"),
    row(&[Releasing],   &[ReleaseDone],   &[ReleaseSeal],                   Sealed,     "5"),
    row(&[Sealed],      &[Commit],        &[Leave],                         Retired,    "5"),

    // The committed hook of the handoff before this one still runs, and drain waits for it.
    row(&[Serving],     &[PrepareEarly],  &[TakeOwner, ArmBeat],            Waiting,    "8"),
    row(&[Waiting],     &[ConfirmDone],   &[StartDrain],                    Draining,   "8"),
    row(&[Waiting],     &[Abort, Resume, OwnerLost],
                                          &[Disown],                        Serving,    "C1"),
    row(&[Waiting],     &[ConfirmLate],   &[AbortOwner, Disown],            Serving,    "8"),
    row(&[Waiting],     &[OwnerSilent],   &[AbortOwner, Disown],            Serving,    "C11"),

    // Given up while the lock is ours: whatever was done is undone by resume.
    row(&[Draining],    &[DrainFailed],   &[AbortOwner, Disown, StartResume], Resuming, "C1"),
    row(&[Draining],    &[Abort, Resume, OwnerLost],
                                          &[CancelHook, Disown, ArmPatience], Undraining, "C1"),
    row(&[Draining],    &[OwnerSilent],   &[AbortOwner, CancelHook, Disown, ArmPatience],
                                                                            Undraining, "C11"),
    row(&[Undraining],  &[DrainDone, DrainFailed, HookLate],
                                          &[StartResume],                   Resuming,   "C1"),
    row(&[Drained],     &[Abort, Resume, OwnerLost],
                                          &[Disown, StartResume],           Resuming,   "C1"),
    row(&[Drained],     &[OwnerSilent],   &[AbortOwner, Disown, StartResume], Resuming, "C11"),
    row(&[Sealing],     &[SealFailed, SealTooLarge],
                                          &[TellSealFailed, Disown, StartResume], Resuming, "C1"),
    row(&[Sealing],     &[Abort, Resume, OwnerLost],
                                          &[Disown, ArmPatience],           Unsealing,  "C1"),
    row(&[Sealing],     &[OwnerSilent],   &[AbortOwner, Disown, ArmPatience], Unsealing, "C11"),
    row(&[Unsealing],   &[SealDone, SealTooLarge, SealFailed],
                                          &[StartResume],                   Resuming,   "C1"),
    row(&[Unsealing],   &[HookLate],      &[FailStop],                      Failed,     "8"),
    row(&[Releasing],   &[ReleaseFailed], &[Unstage, TellSealFailed, Disown, StartResume],
                                                                            Resuming,   "C1"),
    row(&[Releasing],   &[Abort, Resume, OwnerLost],
                                          &[Unstage, Disown, ArmPatience],  Unreleasing, "C2"),
    row(&[Releasing],   &[OwnerSilent, HookLate],
                                          &[Unstage, AbortOwner, Disown, ArmPatience],
                                                                            Unreleasing, "C11"),
    row(&[Unreleasing], &[ReleaseDone],   &[StartLock],                     Reclaiming, "C2"),
    row(&[Unreleasing], &[ReleaseFailed], &[StartResume],                   Resuming,   "C1"),
    // The lock may be let go at any moment from here on, so nothing may be written ever again.
    row(&[Unreleasing], &[HookLate],      &[FailStop],                      Failed,     "8"),

    // Given up when the lock is gone: the lock decides.
    row(&[Sealed],      &[Abort, Resume, OwnerLost],
                                          &[Disown, StartLock],             Reclaiming, "C2"),
    row(&[Sealed],      &[OwnerSilent],   &[AbortOwner, Disown, StartLock], Reclaiming, "C11"),
    // Version 2: a supervisor that lives may wait as long as it likes, if somebody has the lock.
    row(&[Sealed],      &[DeadlinePassed], &[StartLock],                    Checking,   "C11"),
    row(&[Checking],    &[LockFree],      &[AbortOwner, Disown, StartInspect], Returning, "C11"),
    row(&[Checking],    &[LockHeld, HookLate],
                                          &[ArmCheck],                      Sealed,     "C11"),
    row(&[Checking],    &[Commit],        &[Leave],                         Retired,    "5"),
    row(&[Checking],    &[Abort, Resume, OwnerLost],
                                          &[Disown],                        Reclaiming, "C2"),
    row(&[Checking],    &[OwnerSilent],   &[AbortOwner, Disown],            Reclaiming, "C11"),
    row(&[Reclaiming],  &[LockFree],      &[StartInspect],                  Returning,  "C2"),
    row(&[Reclaiming],  &[LockHeld],      &[StartInspect],                  Watching,   "C2"),
    row(&[Reclaiming],  &[HookLate],      &[ArmRetry],                      Pausing,    "C2"),
    row(&[Watching],    &[PathTheirs],    &[LeaveSuperseded],               Superseded, "C2"),
    row(&[Watching],    &[PathOurs, PathUnbound, PathUnsure, HookLate],
                                          &[ArmRetry],                      Pausing,    "C2"),
    row(&[Pausing],     &[RetryDue],      &[StartLock],                     Reclaiming, "C2"),
    row(&[Returning],   &[PathOurs],      &[StartResume],                   Resuming,   "C2"),
    row(&[Returning],   &[PathTheirs, PathUnbound, HookLate],
                                          &[StartBind],                     Rebinding,  "C2"),
    row(&[Rebinding],   &[BindDone, BindFailed, HookLate],
                                          &[StartResume],                   Resuming,   "C2"),

    // Serving again.
    row(&[Resuming],    &[ResumeDone],    &[],                              Serving,    "C1"),
    row(&[Resuming],    &[ResumeFailed],  &[ArmRetry],                      Stumbling,  "8"),
    row(&[Stumbling],   &[RetryDue],      &[StartResume],                   Resuming,   "8"),
    row(&[Resuming],    &[ResumeSpent, HookLate], &[FailStop],              Failed,     "8"),

    // On probation, and sent back.
    row(&[Serving],     &[Dismissed],     &[FailStop],                      Failed,     "C8"),

    // A control path that could not be bound is tried again, while the daemon serves.
    stay(&[Serving],    &[RebindDue],     &[StartBind],                                 "C2"),
];

/// Which rows of the table were taken.
#[cfg(feature = "trace")]
pub static TAKEN: crate::table::Taken = crate::table::Taken::new();
