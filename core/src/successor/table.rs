//! The successor's transitions, all of them.
//!
//! ```text
//! Staging ─→ Greeting ─HelloAck→ Warming ─→ Standing ─Begin→ Locking ─→ Opening ─→ Announcing ─→ Publishing ─→ Probation ─→ Serving
//!    │           │                  │          │              ↓  ↑         │            │            └───────────────────────┘
//!    └───────────┴── session lost ──┴──────────┴──────────→ LockPause      └─ Parting ←─┘               committed already, or the session has ended
//!         C3: the lock says whether                            │              ↓
//!         anybody else is left                                 └─ C4 ─────→ Failed
//! ```

use super::{Act, Cue, Phase};
use crate::table::{Row, row, stay};

use Act::{
    AbortPeer, ArmBegin, ArmGrace, ArmHello, ArmRetry, ArmWrite, CancelHook, Fail, SendHello,
    SendReady, SendStandby, Settle, StartLock, StartOpen, StartPublish, StartServe, StartStage,
    StartWarmUp,
};
use Cue::{
    Abort, Acknowledged, Begin, BeginLate, Commit, HelloLate, LockFree, LockHeld, LockSpent, Lost,
    OpenDone, OpenFailed, OpenLate, OpenTooLarge, OpenUnhealthy, PublishDone, PublishSettled,
    RetryDue, StageDone, StageFailed, Start, WarmUpDone, WarmUpFailed, WarmUpLate, WriteLate,
    Written,
};
use Phase::{
    Announcing, Failed, Fresh, Greeting, LockPause, Locking, Opening, Parting, Probation,
    Publishing, Serving, Staging, StagingAlone, Standing, Warming,
};

/// A row of the successor's table.
pub type SuccessorRow = Row<Phase, Cue, Act>;

/// The successor's table.
#[rustfmt::skip]
pub static SUCCESSOR: &[SuccessorRow] = &[
    // Before Begin. The control socket is bound first, under a name that nobody knows: a bind that
    // fails is found before anything is touched, and costs nothing in the pause.
    row(&[Fresh],        &[Start],         &[StartStage],                 Staging,      "5"),
    row(&[Staging],      &[StageDone],     &[SendHello, ArmHello],        Greeting,     "5"),
    row(&[Staging, StagingAlone],
                         &[StageFailed],   &[Fail],                       Failed,       "3"),
    row(&[Greeting],     &[Acknowledged],  &[StartWarmUp],                Warming,      "5"),
    row(&[Warming],      &[WarmUpDone],    &[SendStandby, ArmBegin],      Standing,     "5"),
    row(&[Warming],      &[WarmUpFailed, WarmUpLate],
                                           &[AbortPeer, ArmWrite],        Parting,      "C7"),
    row(&[Warming],      &[Abort],         &[CancelHook, Fail],           Failed,       "C7"),
    // A supervisor of version 1 does not wait for Standby. The lock is taken while the daemon still
    // warms up; it opens its data when it has.
    row(&[Standing, Warming],
                         &[Begin],         &[StartLock, ArmGrace],        Locking,      "5"),
    row(&[Standing],     &[Abort],         &[Fail],                       Failed,       "C7"),

    // The session is lost before Begin: is anybody else left?
    row(&[Staging],      &[Lost],          &[],                           StagingAlone, "C3"),
    row(&[StagingAlone], &[StageDone],     &[StartLock, ArmGrace],        Locking,      "C3"),
    row(&[Greeting, Warming, Standing],
                         &[Lost, HelloLate, BeginLate],
                                           &[StartLock, ArmGrace],        Locking,      "C3"),

    // It may come late to one that did not wait any longer: that is no reason to end the session.
    stay(&[Locking, LockPause, Opening, Announcing, Publishing, Probation],
                         &[Begin],         &[],                                         "C3"),

    // The lock decides.
    row(&[Locking],      &[LockFree],      &[StartOpen],                  Opening,      "5"),
    row(&[Locking],      &[LockHeld],      &[ArmRetry],                   LockPause,    "C4"),
    row(&[LockPause],    &[RetryDue],      &[StartLock],                  Locking,      "C4"),
    row(&[Locking],      &[LockSpent],     &[AbortPeer, ArmWrite],        Parting,      "C4"),
    row(&[Locking, LockPause],
                         &[Abort],         &[Fail],                       Failed,       "C8"),
    stay(&[Locking, LockPause],
                         &[Lost],          &[],                                         "C5"),

    // With the lock held. A lost session changes nothing any more.
    row(&[Opening],      &[OpenDone],      &[SendReady, ArmWrite],        Announcing,   "5"),
    row(&[Opening],      &[OpenUnhealthy], &[SendReady, ArmWrite],        Parting,      "C8"),
    row(&[Opening],      &[OpenFailed, OpenTooLarge, OpenLate],
                                           &[AbortPeer, ArmWrite],        Parting,      "C8"),
    row(&[Opening],      &[Abort],         &[CancelHook, Fail],           Failed,       "C8"),
    stay(&[Opening],     &[Lost],          &[],                                         "C5"),
    row(&[Announcing],   &[Written, Commit, Lost, WriteLate],
                                           &[StartPublish],               Publishing,   "C5"),
    row(&[Announcing],   &[Abort],         &[Fail],                       Failed,       "C8"),
    stay(&[Publishing],  &[Commit, Abort, Lost],
                                           &[],                                         "C5"),
    row(&[Publishing],   &[PublishDone],   &[StartServe],                 Probation,    "5"),
    // Nobody will say Commit any more, or it has been said.
    row(&[Publishing],   &[PublishSettled], &[StartServe, Settle],        Serving,      "C5"),

    // Serving, while the incumbent before us could still come back.
    row(&[Probation],    &[Commit, Lost],  &[Settle],                     Serving,      "C5"),
    row(&[Probation],    &[Abort],         &[Fail],                       Failed,       "C8"),

    // Leaving, with the last word still to be written.
    row(&[Parting],      &[Written, Lost, WriteLate, Abort],
                                           &[Fail],                       Failed,       "C8"),
];

/// Which rows of the table were taken.
#[cfg(feature = "trace")]
pub static TAKEN: crate::table::Taken = crate::table::Taken::new();
