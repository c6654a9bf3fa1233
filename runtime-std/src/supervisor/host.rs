//! What carries out a supervisor's operations: connects, starts, kills, keeps the journal.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use handoff_core::journal::{Entry, Record};
use handoff_core::op::{self, LinkReport, OpId, Scene, Ticket};
use handoff_core::supervisor::Phase;
use handoff_core::wire::{Hello, Message, Side, VersionRange};
use handoff_core::{Observation, Reason, SupervisorOp};

use super::probation::WatchThread;
use super::{DEATH, HealthCheck, RollbackHandle, SupervisorEvent};
use crate::driver::{Caller, Ended, Host, Links};
use crate::hooks::{DrainReport, Progress, SealReport};
use crate::host::Observer;
use crate::host::control::connect;
use crate::host::engine::plain;
use crate::host::lock::lock_is_free;
use crate::host::process::kill_and_reap;
use crate::host::{Clock, JournalFile, Process, Signal, SpawnSpec};
use crate::successor::Readiness;

pub(super) struct SupervisorHost<'a> {
    pub(super) control: &'a Path,
    pub(super) data_dir: &'a Path,
    pub(super) daemon: &'a SpawnSpec,
    pub(super) successor: Option<&'a SpawnSpec>,
    pub(super) listeners: Vec<(&'a str, BorrowedFd<'a>)>,
    pub(super) journal: Option<&'a JournalFile>,
    pub(super) boot: [u8; 16],
    pub(super) observer: &'a mut Observer<SupervisorEvent>,
    pub(super) started: Instant,
    /// The process that was started last, as long as it is ours to reap.
    pub(super) child: Option<Child>,
    /// How that one ended, if it was not we who killed it.
    pub(super) ended: Option<ExitStatus>,
    /// Who the incumbent's Hello says it is.
    pub(super) incumbent: Option<Process>,
    pub(super) timeline: Vec<(Phase, Duration)>,
    pub(super) drained: Option<DrainReport>,
    pub(super) sealed: Option<SealReport>,
    pub(super) ready: Option<Readiness>,
    pub(super) versions: VersionRange,
    pub(super) incumbent_version: Option<u16>,
    pub(super) successor_version: Option<u16>,
    pub(super) health: Option<&'a HealthCheck>,
    pub(super) rollback: &'a RollbackHandle,
    pub(super) watch: Option<WatchThread>,
    pub(super) caller: Caller,
    pub(super) clock: Clock,
}

impl SupervisorHost<'_> {
    fn see(&mut self, event: &SupervisorEvent) {
        self.observer.tell(event);
    }

    fn spawn(&mut self, links: &mut Links) -> Result<LinkReport, String> {
        let spec = self.successor.ok_or("there is no successor to start")?;
        let (spawned, channel) = spec.successor(&self.listeners).map_err(|e| e.to_string())?;
        let process = spawned.process.into();
        self.child = Some(spawned.child);
        Ok(LinkReport {
            link: links.adopt(channel),
            process,
        })
    }

    fn cold_start(&mut self) -> Result<op::Process, String> {
        let spawned = self
            .daemon
            .cold_start(&self.listeners)
            .map_err(|e| e.to_string())?;
        self.child = Some(spawned.child);
        Ok(spawned.process.into())
    }

    fn kill(&mut self, process: Process) -> Result<(), String> {
        if let Some(child) = self
            .child
            .as_mut()
            .filter(|child| child.id() == process.pid)
        {
            let reaped = kill_and_reap(child, DEATH).map_err(|e| e.to_string())?;
            let status = reaped.ok_or_else(|| format!("pid {} does not die", process.pid))?;
            if status.signal() != Some(Signal::KILL.as_raw()) {
                tracing::warn!(pid = process.pid, %status, "the successor had ended by itself");
                self.ended = Some(status);
            }
            self.child = None;
            return Ok(());
        }
        process.kill(Signal::KILL).map_err(|e| e.to_string())?;
        if process.wait_dead(DEATH) {
            Ok(())
        } else {
            Err(format!("pid {} does not die", process.pid))
        }
    }

    fn write_journal(&self, entry: Entry) -> Result<(), String> {
        let Some(journal) = self.journal else {
            return Ok(());
        };
        let binary = self
            .successor
            .map(|spec| spec.binary.as_os_str().as_encoded_bytes());
        let record = Record::new(self.boot, entry, binary.unwrap_or_default());
        let mut room = vec![0; record.binary.len() + 96];
        let bytes = record.encode(&mut room).ok_or("the record does not fit")?;
        journal
            .write(bytes)
            .map_err(|e| format!("{}: {e}", journal.path().display()))
    }

    fn clear_journal(&self) -> Result<(), String> {
        let Some(journal) = self.journal else {
            return Ok(());
        };
        journal
            .clear()
            .map_err(|e| format!("{}: {e}", journal.path().display()))
    }

    fn probe(&self, entry: Option<Entry>) -> Result<Scene, String> {
        let alive = |process: op::Process| Process::from(process).is_alive();
        let lock_free =
            lock_is_free(self.data_dir).map_err(|e| format!("{}: {e}", self.data_dir.display()))?;
        Ok(Scene {
            incumbent_alive: entry.is_some_and(|entry| alive(entry.incumbent)),
            successor_alive: entry.is_some_and(|entry| alive(entry.successor)),
            lock_free,
        })
    }
}

impl SupervisorHost<'_> {
    /// A peer has said which versions it speaks.
    fn hello(&mut self, hello: &Hello<'_>) {
        let version = self.versions.highest_common(hello.versions);
        match hello.side {
            Side::Incumbent => {
                self.incumbent = Process::of(hello.pid);
                self.incumbent_version = version;
            }
            Side::Successor => {
                self.successor_version = version;
                tracing::info!(
                    target: "handoff.versions",
                    incumbent = self.incumbent_version,
                    successor = self.successor_version,
                    "protocol versions"
                );
            }
        }
    }

    /// The watch over a probation is not wanted any more.
    pub(super) fn stop_watching(&mut self) {
        self.rollback.close();
        if let Some(watch) = self.watch.take() {
            watch.join();
        }
    }
}

impl Host<handoff_core::Supervisor, 2> for SupervisorHost<'_> {
    fn start(&mut self, op: SupervisorOp, links: &mut Links) {
        let ended: Ended = match op {
            SupervisorOp::Connect(ticket) => {
                let reached = reach(self.control, links);
                let path = self.control.display();
                linked(ticket, reached.map_err(|e| format!("{path}: {e}")))
            }
            SupervisorOp::Spawn(ticket) => linked(ticket, self.spawn(links)),
            SupervisorOp::Kill { ticket, process } => plain(ticket, self.kill(process.into())),
            SupervisorOp::WriteJournal { ticket, entry } => {
                plain(ticket, self.write_journal(entry))
            }
            SupervisorOp::ClearJournal(ticket) => {
                let cleared = self.clear_journal();
                if let Err(error) = &cleared {
                    tracing::warn!(error, "the journal cannot be removed");
                }
                plain(ticket, cleared)
            }
            SupervisorOp::ColdStart(ticket) => {
                let started = self.cold_start();
                Box::new(move |feed| match started {
                    Ok(process) => feed(ticket.done(process)),
                    Err(why) => feed(ticket.failed(&why)),
                })
            }
            SupervisorOp::Probe { ticket, entry } => {
                let scene = self.probe(entry);
                Box::new(move |feed| match scene {
                    Ok(scene) => feed(ticket.done(scene)),
                    Err(why) => feed(ticket.failed(&why)),
                })
            }
            SupervisorOp::WatchProbation {
                ticket,
                process,
                until,
            } => {
                tracing::info!(
                    target: "handoff.probation",
                    pid = process.pid,
                    checked = self.health.is_some(),
                    "the successor serves on probation"
                );
                self.watch = WatchThread::start(
                    ticket,
                    process.into(),
                    self.clock.instant(until.as_nanos()),
                    self.health.cloned(),
                    self.rollback,
                    &self.caller,
                );
                return;
            }
            SupervisorOp::AdoptListeners { ticket, .. } => {
                plain(ticket, Err("listeners were not asked for".into()))
            }
        };
        links.end(ended);
    }

    /// Everything but a watch has ended by the time it could be cancelled.
    fn cancel(&mut self, op: OpId) {
        if self.watch.as_ref().is_some_and(|watch| watch.op() == op) {
            self.rollback.close();
        }
    }

    fn observe(&mut self, seen: Observation<Phase>) {
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
        self.see(&event);
    }

    fn message(&mut self, message: &Message<'_>) {
        match *message {
            Message::Hello(hello) => self.hello(&hello),
            Message::Drained {
                open_connections,
                accept_closed,
            } => {
                let report = DrainReport {
                    open_connections,
                    accept_closed,
                };
                self.drained = Some(report);
                self.see(&SupervisorEvent::Drained(report));
            }
            Message::SealProgress {
                sealed,
                total,
                revision,
            } => {
                self.see(&SupervisorEvent::Progress(Progress {
                    sealed,
                    total,
                    revision,
                }));
            }
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
                self.see(&SupervisorEvent::Sealed(report));
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
                self.see(&SupervisorEvent::Ready(readiness));
            }
            _ => {}
        }
    }
}

/// Connects to the control path.
pub(crate) fn reach(control: &Path, links: &mut Links) -> io::Result<LinkReport> {
    let (stream, peer) = connect(control)?;
    let process = peer
        .pid
        .and_then(Process::of)
        .map(Into::into)
        .unwrap_or_default();
    Ok(LinkReport {
        link: links.adopt(stream),
        process,
    })
}

/// Ends an operation that was to open a link.
pub(crate) fn linked<K>(ticket: Ticket<K>, result: Result<LinkReport, String>) -> Ended
where
    K: for<'b> op::Operation<Done<'b> = LinkReport> + 'static,
{
    Box::new(move |feed| match result {
        Ok(report) => feed(ticket.done(report)),
        Err(why) => feed(ticket.failed(&why)),
    })
}
