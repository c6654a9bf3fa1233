//! How a handoff has ended, as it is told: out of the report of a supervisor, or of what a supervisor has
//! left behind.

use std::path::Path;
use std::time::Duration;

use handoff_std::Report;
use handoff_std::core::journal::Entry;
use handoff_std::core::supervisor::Phase;
use handoff_std::core::{Cause, Reason, SupervisorOutcome};

use super::{micros, name};
use crate::operate::event::{Durations, HandoffEnded, PhaseTime, Side};
use crate::operate::protocol::{Ended, Outcome};

impl HandoffEnded {
    /// A handoff to `binary` from the daemon `from`, which has ended like this.
    pub(in crate::supervise::fleet) fn of(
        report: &Report,
        ended: Ended,
        from: Option<u32>,
        binary: &Path,
    ) -> Self {
        let build = |build: &Option<Vec<u8>>| {
            let build = build.as_ref()?;
            Some(String::from_utf8_lossy(build).into_owned())
        };
        let to = match &report.outcome {
            SupervisorOutcome::Committed { successor, .. } => Some(Side {
                pid: successor.pid,
                build: build(&report.successor_build),
                version: report.successor_version,
            }),
            SupervisorOutcome::ColdStarted { process, .. } => Some(side(process.pid)),
            _ => None,
        };
        Self {
            ended,
            binary: binary.to_string_lossy().into_owned(),
            from: from.map(|pid| Side {
                pid,
                build: build(&report.incumbent_build),
                version: report.incumbent_version,
            }),
            to,
            durations: durations(report),
            seal_failed: cause(&report.outcome)
                .is_some_and(|cause| cause.reason == Reason::SealFailed),
            phases: phases(report.durations()),
        }
    }

    /// A handoff to `binary` that a supervisor before this one has left behind, and how a recovery has
    /// found it; `None` if that is not known yet.
    pub(in crate::supervise::fleet) fn interrupted(
        service: &str,
        handoff: &Entry,
        binary: &Path,
        found: &SupervisorOutcome,
    ) -> Option<Self> {
        let mut reason = String::from("the supervisor has ended meanwhile");
        let (serves, outcome) = match found {
            SupervisorOutcome::Found { pid } if *pid == handoff.successor.pid => {
                (Some(*pid), Outcome::Committed)
            }
            SupervisorOutcome::Found { pid } if *pid == handoff.incumbent.pid => {
                (None, Outcome::RolledBack)
            }
            SupervisorOutcome::Found { pid } => (Some(*pid), Outcome::Failed),
            SupervisorOutcome::ColdStarted { process, .. } => (Some(process.pid), Outcome::Failed),
            // Nobody serves, and the next recovery will know nothing of the handoff.
            SupervisorOutcome::Failed(cause) if cause.reason != Reason::Unsettled => {
                reason = format!("{reason}, and nobody serves: {cause}");
                (None, Outcome::Failed)
            }
            _ => return None,
        };
        Some(Self {
            ended: Ended {
                service: service.into(),
                outcome,
                handoff_id: Some(handoff.id.to_string()),
                pid: serves,
                reason: Some(reason),
                without: Vec::new(),
                took_ms: 0,
            },
            binary: binary.to_string_lossy().into_owned(),
            from: Some(side(handoff.incumbent.pid)),
            to: serves.map(side),
            durations: Durations::default(),
            seal_failed: false,
            phases: Vec::new(),
        })
    }
}

fn side(pid: u32) -> Side {
    Side {
        pid,
        build: None,
        version: None,
    }
}

fn cause(outcome: &SupervisorOutcome) -> Option<&Cause> {
    match outcome {
        SupervisorOutcome::RolledBack { cause, .. } | SupervisorOutcome::Failed(cause) => {
            Some(cause)
        }
        SupervisorOutcome::ColdStarted { cause, .. } => cause.as_ref(),
        SupervisorOutcome::Committed { .. }
        | SupervisorOutcome::Found { .. }
        | SupervisorOutcome::Answered { .. } => None,
    }
}

fn durations(report: &Report) -> Durations {
    let of = |wanted: Phase, came: bool| {
        let mut all = report.durations();
        let (_, took) = all.find(|(phase, _)| came && *phase == wanted)?;
        Some(took)
    };
    let ready = report.ready.is_some();
    let entered = |wanted: Phase| {
        let mut all = report.timeline.iter();
        all.find(|(phase, _)| *phase == wanted).map(|(_, at)| *at)
    };
    let opening = of(Phase::Opening, ready);
    let pause = match (entered(Phase::Draining), entered(Phase::Opening), opening) {
        (Some(from), Some(opened), Some(opening)) => {
            Some(opened.saturating_add(opening).saturating_sub(from))
        }
        _ => None,
    };
    Durations {
        whole_us: Some(micros(report.took)),
        drain_us: of(Phase::Draining, report.drained.is_some()).map(micros),
        seal_us: of(Phase::Sealing, report.sealed.is_some()).map(micros),
        begin_to_ready_us: opening.map(micros),
        pause_us: pause.map(micros),
    }
}

/// Each phase once.
fn phases(durations: impl Iterator<Item = (Phase, Duration)>) -> Vec<PhaseTime> {
    let mut phases: Vec<(Phase, PhaseTime)> = Vec::new();
    let mut at = Duration::ZERO;
    for (phase, took) in durations {
        match phases.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, time)) => time.took_us = time.took_us.saturating_add(micros(took)),
            None => phases.push((
                phase,
                PhaseTime {
                    phase: name(phase),
                    after_us: micros(at),
                    took_us: micros(took),
                },
            )),
        }
        at = at.saturating_add(took);
    }
    phases.retain(|(phase, _)| *phase != Phase::Done);
    phases.into_iter().map(|(_, time)| time).collect()
}

#[cfg(test)]
mod tests {
    use handoff_std::core::journal::Stage;
    use handoff_std::core::op::Process;
    use handoff_std::core::wire::HandoffId;

    use super::*;

    #[test]
    fn a_handoff_that_was_left_behind_ended_by_who_serves() {
        let process = |pid| Process { pid, start: 0 };
        let handoff = Entry {
            id: HandoffId::from_random([0; 16]),
            stage: Stage::Begun,
            incumbent: process(1),
            successor: process(2),
        };
        let end = |found| {
            let end = HandoffEnded::interrupted("a", &handoff, Path::new("/bin/b"), &found);
            end.map(|end| (end.ended.outcome, end.ended.pid))
        };
        let found = |pid| SupervisorOutcome::Found { pid };
        assert_eq!(end(found(2)), Some((Outcome::Committed, Some(2))));
        assert_eq!(end(found(1)), Some((Outcome::RolledBack, None)));
        assert_eq!(end(found(3)), Some((Outcome::Failed, Some(3))));
        let unsettled = SupervisorOutcome::Failed(Cause::new(Reason::Unsettled));
        assert_eq!(end(unsettled), None);
        let failed = SupervisorOutcome::Failed(Cause::new(Reason::ColdStartFailed));
        assert_eq!(end(failed), Some((Outcome::Failed, None)));
    }

    #[test]
    fn a_phase_that_comes_again_is_summed_up() {
        let ms = Duration::from_millis;
        let times = [
            (Phase::Connecting, ms(1)),
            (Phase::ConnectPause, ms(2)),
            (Phase::Connecting, ms(3)),
            (Phase::ColdStarting, ms(4)),
            (Phase::Done, ms(0)),
        ];
        let phases: Vec<_> = phases(times.into_iter())
            .into_iter()
            .map(|time| (time.phase, time.after_us, time.took_us))
            .collect();
        let expected = [
            ("connecting", 0, 4000),
            ("connect_pause", 1000, 2000),
            ("cold_starting", 6000, 4000),
        ];
        let expected = expected.map(|(name, after, took)| (String::from(name), after, took));
        assert_eq!(phases, expected);
    }
}
