//! What a supervisor sees and hears during one task, for its observer, its log and its report.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use handoff_core::supervisor::Phase;
use handoff_core::wire::{Hello, Message, Side, VersionRange};
use handoff_core::{Observation, Reason, SupervisorConfig, SupervisorOutcome, Task};

use super::{Report, RollbackHandle, SupervisorEvent};
use crate::hooks::{DrainReport, Progress, SealReport};
use crate::host::{Child, Observer, Process};
use crate::successor::Readiness;

/// What was seen and heard so far.
pub struct Transcript {
    observer: Observer<SupervisorEvent>,
    rollback: RollbackHandle,
    task: Task,
    versions: VersionRange,
    started: Instant,
    incumbent: Option<Process>,
    timeline: Vec<(Phase, Duration)>,
    drained: Option<DrainReport>,
    sealed: Option<SealReport>,
    ready: Option<Readiness>,
    incumbent_version: Option<u16>,
    successor_version: Option<u16>,
    incumbent_build: Option<Vec<u8>>,
    successor_build: Option<Vec<u8>>,
}

impl Transcript {
    /// Of a task that starts now; a handoff's observer is told so.
    pub fn new(
        config: &SupervisorConfig,
        observer: &Observer<SupervisorEvent>,
        rollback: &RollbackHandle,
    ) -> Self {
        let mut observer = observer.clone();
        if let Task::Handoff(id) = config.task {
            observer.tell(&SupervisorEvent::Started(id));
        }
        Self {
            observer,
            rollback: rollback.clone(),
            task: config.task,
            versions: config.versions,
            started: Instant::now(),
            incumbent: None,
            timeline: Vec::new(),
            drained: None,
            sealed: None,
            ready: None,
            incumbent_version: None,
            successor_version: None,
            incumbent_build: None,
            successor_build: None,
        }
    }

    /// The span that everything this task logs belongs to.
    pub fn span(config: &SupervisorConfig) -> tracing::Span {
        match config.task {
            Task::Handoff(id) => tracing::info_span!("handoff", %id),
            Task::Recover(_) => tracing::info_span!("recovery"),
            Task::Ask(..) => tracing::debug_span!("question"),
        }
    }

    /// Who the incumbent's Hello says it is.
    pub const fn incumbent(&self) -> Option<Process> {
        self.incumbent
    }

    /// The phase that was entered last.
    pub fn phase(&self) -> Option<Phase> {
        self.timeline.last().map(|(phase, _)| *phase)
    }

    /// Whether a successor stays if the task is given up now, since nobody would serve without it:
    /// once Commit is on its way, or when the incumbent is gone and the successor has begun.
    pub fn successor_stays(&self, has_incumbent: bool) -> bool {
        match self.phase() {
            Some(Phase::Committing | Phase::Informing | Phase::Done) => true,
            Some(Phase::Opening) => !has_incumbent,
            _ => false,
        }
    }

    /// Something was let be seen.
    pub fn saw(&mut self, seen: Observation<Phase>) {
        let event = match seen {
            Observation::Phase(phase) => {
                tracing::debug!(%phase, "supervisor");
                self.timeline.push((phase, self.started.elapsed()));
                if phase == Phase::Probation {
                    // Before anybody hears of it, so that whoever does can end it.
                    self.rollback.open();
                }
                SupervisorEvent::Phase(phase)
            }
            Observation::Lost(_, loss) => {
                tracing::info!(%loss, "session ended");
                SupervisorEvent::Lost(loss)
            }
            Observation::Trouble(cause) => {
                match cause.reason {
                    Reason::NoStandby => {
                        tracing::info!("{cause}, so it may warm up while nobody serves");
                    }
                    Reason::NoProbation => tracing::warn!("{cause}"),
                    _ => tracing::warn!(target: "handoff.abort", %cause, "trouble"),
                }
                SupervisorEvent::Trouble(cause)
            }
        };
        self.observer.tell(&event);
    }

    /// A message came.
    pub fn heard(&mut self, message: &Message<'_>) {
        let event = match *message {
            Message::Hello(hello) => return self.hello(&hello),
            Message::Drained {
                open_connections,
                accept_closed,
            } => {
                let report = DrainReport {
                    open_connections,
                    accept_closed,
                };
                self.drained = Some(report);
                SupervisorEvent::Drained(report)
            }
            Message::SealProgress {
                sealed,
                total,
                revision,
            } => SupervisorEvent::Progress(Progress {
                sealed,
                total,
                revision,
            }),
            Message::SealComplete {
                revisions,
                fingerprint,
                ..
            } => {
                let report = SealReport {
                    revisions: revisions.iter().collect(),
                    fingerprint,
                };
                self.sealed = Some(report.clone());
                SupervisorEvent::Sealed(report)
            }
            Message::Ready {
                listening_on,
                healthz_ok,
                revisions,
                ..
            } => {
                let readiness = Readiness {
                    listening_on: listening_on.iter().map(str::to_owned).collect(),
                    healthy: healthz_ok,
                    revisions: revisions.iter().collect(),
                };
                self.ready = Some(readiness.clone());
                SupervisorEvent::Ready(readiness)
            }
            _ => return,
        };
        self.observer.tell(&event);
    }

    /// A peer has said which versions it speaks.
    fn hello(&mut self, hello: &Hello<'_>) {
        let version = self.versions.highest_common(hello.versions);
        let build = Some(hello.build_id.to_vec());
        match hello.side {
            Side::Incumbent => {
                self.incumbent = Process::of(hello.pid);
                self.incumbent_version = version;
                self.incumbent_build = build;
            }
            Side::Successor => {
                self.successor_version = version;
                self.successor_build = build;
                tracing::info!(
                    target: "handoff.versions",
                    incumbent = self.incumbent_version,
                    successor = self.successor_version,
                    "protocol versions"
                );
            }
        }
    }

    /// The report of a task that has ended.
    pub fn report(
        self,
        outcome: SupervisorOutcome,
        child: Option<Child>,
        ended: Option<ExitStatus>,
    ) -> Report {
        let took = self.started.elapsed();
        tracing::info!(target: "handoff.outcome", %outcome, ?took);
        Report {
            id: match self.task {
                Task::Handoff(id) => Some(id),
                Task::Recover(_) | Task::Ask(..) => None,
            },
            outcome,
            child,
            ended,
            timeline: self.timeline,
            took,
            drained: self.drained,
            sealed: self.sealed,
            ready: self.ready,
            incumbent_version: self.incumbent_version,
            successor_version: self.successor_version,
            incumbent_build: self.incumbent_build,
            successor_build: self.successor_build,
        }
    }
}
