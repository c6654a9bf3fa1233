//! What a supervisor is asked for, lets be seen, and reports at the end.

use std::process::ExitStatus;
use std::time::Duration;

use handoff_core::supervisor::Phase;
use handoff_core::wire::HandoffId;
use handoff_core::{Cause, Loss, Reason, SupervisorOutcome};

use super::HealthCheck;
use crate::hooks::{DrainReport, Progress, SealReport};
use crate::host::{Child, SpawnSpec};
use crate::successor::Readiness;

/// What a supervisor lets be seen while it works, for logs, metrics and progress displays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorEvent {
    /// A handoff has started, with this id. A recovery starts without a word.
    Started(HandoffId),
    /// It has entered this phase.
    Phase(Phase),
    /// The incumbent has drained.
    Drained(DrainReport),
    /// The incumbent's seal has come this far.
    Progress(Progress),
    /// The incumbent has sealed and released the lock.
    Sealed(SealReport),
    /// The successor is ready.
    Ready(Readiness),
    /// A session ended.
    Lost(Loss),
    /// Something went wrong that may not end the handoff by itself, or the reason why it ends.
    Trouble(Cause),
}

/// What a handoff is to start, and how long it may take.
#[derive(Debug, Clone)]
pub struct HandoffSpec {
    /// The successor.
    pub successor: SpawnSpec,
    /// From `PrepareHandoff` to Ready, all in all. Default: 5 minutes.
    pub deadline: Duration,
    /// How long the incumbent may drain. Default: 60 seconds.
    pub drain_grace: Duration,
    /// How long the successor may warm up, before anything is asked of the incumbent. Default: 60
    /// seconds. One that speaks version 1 cannot say when it is warm, and is not waited for.
    pub warmup_deadline: Duration,
    /// How long the successor serves before the incumbent, sealed and ready to come back, is told to
    /// leave (`C8`). Zero is the default: at once. It takes an incumbent that speaks version 2.
    pub probation: Duration,
    /// What is run again and again during the probation; without one it is only watched that the
    /// successor lives. Default: none.
    pub health: Option<HealthCheck>,
    /// Kill an incumbent that misses its deadline and go on with the successor, instead of giving
    /// the handoff up (`C10`). Default: no.
    pub kill_stuck_incumbent: bool,
}

impl HandoffSpec {
    /// The defaults, for this successor.
    pub fn new(successor: SpawnSpec) -> Self {
        Self {
            successor,
            deadline: Duration::from_mins(5),
            drain_grace: Duration::from_mins(1),
            warmup_deadline: Duration::from_mins(1),
            probation: Duration::ZERO,
            health: None,
            kill_stuck_incumbent: false,
        }
    }
}

/// How a handoff or a recovery ended.
#[derive(Debug)]
#[must_use]
pub struct Report {
    /// The handoff, whatever became of it; `None` for a recovery.
    pub id: Option<HandoffId>,
    /// The outcome.
    pub outcome: SupervisorOutcome,
    /// The new incumbent, if this call started it: watch it, and reap it when it ends.
    pub child: Option<Child>,
    /// How the successor ended, if it did so by itself: its exit status, or the signal that it died
    /// of.
    pub ended: Option<ExitStatus>,
    /// When each phase began, counted from the start of the call.
    pub timeline: Vec<(Phase, Duration)>,
    /// How long the call took.
    pub took: Duration,
    /// What the incumbent said when it had drained.
    pub drained: Option<DrainReport>,
    /// What the incumbent said when it had sealed.
    pub sealed: Option<SealReport>,
    /// What the successor said when it was ready.
    pub ready: Option<Readiness>,
    /// The version of the protocol spoken with the incumbent, if it has said Hello.
    pub incumbent_version: Option<u16>,
    /// The version of the protocol spoken with the successor, if it has said Hello.
    pub successor_version: Option<u16>,
    /// Which build the incumbent is, in its own words, if it has said Hello.
    pub incumbent_build: Option<Vec<u8>>,
    /// Which build the successor is, in its own words, if it has said Hello.
    pub successor_build: Option<Vec<u8>>,
}

impl Report {
    /// Whether the successor serves.
    pub const fn committed(&self) -> bool {
        matches!(self.outcome, SupervisorOutcome::Committed { .. })
    }

    /// Why the successor does not serve; `None` when it does.
    pub fn abort_reason(&self) -> Option<String> {
        match self.outcome {
            // That it is lost is all that the protocol knows.
            SupervisorOutcome::RolledBack { cause, .. }
                if matches!(
                    cause.reason,
                    Reason::SuccessorLost | Reason::ProbationFailed
                ) && self.ended.is_some() =>
            {
                self.ended
                    .map(|status| format!("{cause}; it ended with {status}, its log may say why"))
            }
            SupervisorOutcome::Committed { .. }
            | SupervisorOutcome::Found { .. }
            | SupervisorOutcome::Answered { .. } => None,
            SupervisorOutcome::RolledBack { cause, .. } | SupervisorOutcome::Failed(cause) => {
                Some(cause.to_string())
            }
            SupervisorOutcome::ColdStarted { cause, .. } => cause.map(|cause| cause.to_string()),
        }
    }

    /// How long each phase took, in the order in which they were entered.
    pub fn durations(&self) -> impl Iterator<Item = (Phase, Duration)> {
        let ends = self
            .timeline
            .iter()
            .skip(1)
            .map(|(_, at)| *at)
            .chain([self.took]);
        self.timeline
            .iter()
            .zip(ends)
            .map(|((phase, from), to)| (*phase, to.saturating_sub(*from)))
    }
}
