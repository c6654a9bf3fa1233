//! The supervisor on threads: [`Supervisor`] holds the listeners and drives one handoff at a time, on
//! the thread that calls it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use handoff_core::Cause;
use handoff_core::journal::Entry;
use handoff_core::journal::Record;
use handoff_core::op::{self, LinkReport, OpId, Scene, Ticket};
use handoff_core::supervisor::Phase;
use handoff_core::wire::{HandoffId, Message, Side};
use handoff_core::{
    Loss, Observation, Reason, SupervisorConfig, SupervisorOp, SupervisorOutcome, Task,
};

use crate::driver::{Driver, Ended, Flow, Host, Links};
use crate::hooks::{DrainReport, Progress, SealReport};
use crate::host::control::{check_path, connect, remove_stale};
use crate::host::lock::lock_is_free;
use crate::host::process::kill_and_reap;
use crate::host::{
    ControlError, JournalFile, Process, Signal, SpawnError, SpawnSpec, Spawned, boot_id,
};
use crate::incumbent::plain;
use crate::observer::Observer;
use crate::successor::Readiness;

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// What a supervisor lets be seen while it works, for logs, metrics and progress displays.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SupervisorEvent {
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
    /// How the process that was started ended, if it did so before it was needed no more: its exit
    /// status, or the signal that it died of.
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
                if cause.reason == Reason::SuccessorLost && self.ended.is_some() =>
            {
                self.ended
                    .map(|status| format!("{cause}; it ended with {status}, its log may say why"))
            }
            SupervisorOutcome::Committed { .. } | SupervisorOutcome::Found { .. } => None,
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

/// Why a supervisor could not even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The control path cannot be used.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The successor's binary cannot be run. Nothing was touched.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The control loop could not be set up.
    #[error("the control loop cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

/// Holds a daemon's listeners and replaces its binary.
///
/// One handoff at a time: the methods that perform one take `&mut self`.
pub struct Supervisor {
    control: PathBuf,
    data_dir: PathBuf,
    daemon: SpawnSpec,
    listeners: Vec<(String, OwnedFd)>,
    journal: Option<JournalFile>,
    observer: Observer<SupervisorEvent>,
    times: SupervisorConfig,
    retired: Option<u32>,
}

impl Supervisor {
    /// A supervisor of the daemon behind `control` that keeps its data in `data_dir`. `daemon` is the
    /// binary that is started when nobody serves; a committed handoff replaces it.
    ///
    /// # Errors
    /// [`SupervisorError::Control`] when the control path is too long or its directory is not there.
    pub fn new(
        control: impl AsRef<Path>,
        data_dir: impl AsRef<Path>,
        daemon: SpawnSpec,
    ) -> Result<Self, SupervisorError> {
        check_path(control.as_ref())?;
        Ok(Self {
            control: control.as_ref().to_path_buf(),
            data_dir: data_dir.as_ref().to_path_buf(),
            daemon,
            listeners: Vec::new(),
            journal: None,
            observer: Observer::none(),
            times: SupervisorConfig::new(Task::Recover(None)),
            retired: None,
        })
    }

    /// Hand this listener to every daemon that is started, under this name.
    #[must_use]
    pub fn with_listener(mut self, name: impl Into<String>, listener: impl Into<OwnedFd>) -> Self {
        self.listeners.push((name.into(), listener.into()));
        self
    }

    /// Keep a journal in this file, so that a restarted supervisor knows what was in flight. A tmpfs
    /// is the best place. Give every daemon a file of its own.
    #[must_use]
    pub fn with_journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(JournalFile::new(path));
        self
    }

    /// Change the times that the protocol leaves to the caller. `task`, `deadline`, `drain_grace` and
    /// `kill_stuck_incumbent` come from elsewhere and are ignored.
    #[must_use]
    pub fn with_times(mut self, times: SupervisorConfig) -> Self {
        self.times = times;
        self
    }

    /// Be told what happens, as it happens. Called on the thread that drives the handoff, inside the
    /// pause: be quick.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl FnMut(&SupervisorEvent) + Send + 'static,
    ) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// The binary that is started when nobody serves.
    pub const fn daemon(&self) -> &SpawnSpec {
        &self.daemon
    }

    /// Start this one instead when nobody serves. Nothing happens to a daemon that runs.
    pub fn set_daemon(&mut self, daemon: SpawnSpec) {
        self.daemon = daemon;
    }

    /// Start the daemon afresh. It fails by itself if another process holds the writer lock.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn cold_start(&self) -> Result<Spawned, SpawnError> {
        self.daemon.cold_start(&self.borrow_listeners())
    }

    /// After a start or restart of the supervisor: find out who serves, let a handoff that was in
    /// flight settle, and start the daemon if nobody does (`C9`).
    ///
    /// # Errors
    /// [`SupervisorError`]. What was found is in the report's outcome.
    pub fn recover(&mut self) -> Result<Report, SupervisorError> {
        let entry = self.journaled();
        let config = SupervisorConfig {
            task: Task::Recover(entry),
            ..self.times.clone()
        };
        self.run(config, None)
    }

    /// Replace the daemon's binary.
    ///
    /// # Errors
    /// [`SupervisorError`] when nothing was begun. How a handoff ended is in the report's outcome.
    pub fn handoff(&mut self, spec: &HandoffSpec) -> Result<Report, SupervisorError> {
        spec.successor.check()?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let config = SupervisorConfig {
            task: Task::Handoff(HandoffId::from_random(random)),
            deadline: spec.deadline,
            drain_grace: spec.drain_grace,
            kill_stuck_incumbent: spec.kill_stuck_incumbent,
            retired: self.retired,
            ..self.times.clone()
        };
        let report = self.run(config, Some(&spec.successor))?;
        if report.committed() {
            self.daemon = spec.successor.clone();
        }
        Ok(report)
    }

    fn run(
        &mut self,
        config: SupervisorConfig,
        successor: Option<&SpawnSpec>,
    ) -> Result<Report, SupervisorError> {
        let id = match config.task {
            Task::Handoff(id) => Some(id),
            Task::Recover(_) => None,
        };
        let mut driver: Driver<handoff_core::Supervisor, 2> = Driver::new(config)?;
        let started = Instant::now();
        let mut host = SupervisorHost {
            control: &self.control,
            data_dir: &self.data_dir,
            daemon: &self.daemon,
            successor,
            listeners: self
                .listeners
                .iter()
                .map(|(name, fd)| (&**name, fd.as_fd()))
                .collect(),
            journal: self.journal.as_ref(),
            boot: boot_id(),
            observer: &mut self.observer,
            started,
            child: None,
            ended: None,
            incumbent: None,
            timeline: Vec::new(),
            drained: None,
            sealed: None,
            ready: None,
        };
        let outcome = match driver.run(&mut host) {
            Flow::Done(outcome) => outcome,
            Flow::Stopped => return Err(io::Error::other("the control loop was stopped").into()),
        };
        let took = started.elapsed();
        let SupervisorHost {
            mut child,
            ended,
            incumbent,
            timeline,
            drained,
            sealed,
            ready,
            ..
        } = host;
        match outcome {
            SupervisorOutcome::Committed { .. } => self.retired = incumbent,
            SupervisorOutcome::ColdStarted { .. } => {}
            // A process that was started for nothing does not stay.
            _ => {
                if let Some(mut child) = child.take()
                    && let Err(error) = kill_and_reap(&mut child, DEATH)
                {
                    tracing::error!(pid = child.id(), %error, "a successor could not be killed");
                }
            }
        }
        tracing::info!(target: "handoff.outcome", %outcome, ?took);
        Ok(Report {
            id,
            outcome,
            child,
            ended,
            timeline,
            took,
            drained,
            sealed,
            ready,
        })
    }

    fn borrow_listeners(&self) -> Vec<(&str, BorrowedFd<'_>)> {
        self.listeners
            .iter()
            .map(|(name, fd)| (&**name, fd.as_fd()))
            .collect()
    }

    /// What the journal says was in flight, in this boot.
    fn journaled(&self) -> Option<Entry> {
        let journal = self.journal.as_ref()?;
        match journal.read() {
            Ok(bytes) => {
                let bytes = bytes?;
                let record = Record::decode(&bytes);
                if record.is_none() {
                    tracing::warn!(path = %journal.path().display(), "not a journal; ignored");
                }
                record
                    .filter(|record| record.boot == boot_id())
                    .map(|record| record.entry)
            }
            Err(error) => {
                tracing::warn!(path = %journal.path().display(), %error, "cannot be read");
                None
            }
        }
    }
}

struct SupervisorHost<'a> {
    control: &'a Path,
    data_dir: &'a Path,
    daemon: &'a SpawnSpec,
    successor: Option<&'a SpawnSpec>,
    listeners: Vec<(&'a str, BorrowedFd<'a>)>,
    journal: Option<&'a JournalFile>,
    boot: [u8; 16],
    observer: &'a mut Observer<SupervisorEvent>,
    started: Instant,
    /// The process that was started last, as long as it is ours to reap.
    child: Option<Child>,
    /// How that one ended, if it was not we who killed it.
    ended: Option<ExitStatus>,
    /// The pid that the incumbent's Hello named.
    incumbent: Option<u32>,
    timeline: Vec<(Phase, Duration)>,
    drained: Option<DrainReport>,
    sealed: Option<SealReport>,
    ready: Option<Readiness>,
}

impl SupervisorHost<'_> {
    fn see(&mut self, event: &SupervisorEvent) {
        self.observer.tell(event);
    }

    fn connect(&self, links: &mut Links) -> Result<LinkReport, String> {
        let (stream, peer) =
            connect(self.control).map_err(|e| format!("{}: {e}", self.control.display()))?;
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
            remove_stale(self.control);
            return Ok(());
        }
        process.kill(Signal::KILL).map_err(|e| e.to_string())?;
        if process.wait_dead(DEATH) {
            remove_stale(self.control);
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

impl Host<handoff_core::Supervisor, 2> for SupervisorHost<'_> {
    fn start(&mut self, op: SupervisorOp, links: &mut Links) {
        let ended: Ended = match op {
            SupervisorOp::Connect(ticket) => linked(ticket, self.connect(links)),
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
        };
        links.end(ended);
    }

    /// Everything here has ended by the time it could be cancelled.
    fn cancel(&mut self, _: OpId) {}

    fn observe(&mut self, seen: Observation<Phase>) {
        let event = match seen {
            Observation::Phase(phase) => {
                tracing::debug!(%phase, "supervisor");
                self.timeline.push((phase, self.started.elapsed()));
                SupervisorEvent::Phase(phase)
            }
            Observation::Lost(_, loss) => {
                tracing::info!(%loss, "session ended");
                SupervisorEvent::Lost(loss)
            }
            Observation::Trouble(cause) => {
                tracing::warn!(target: "handoff.abort", %cause, "trouble");
                SupervisorEvent::Trouble(cause)
            }
        };
        self.see(&event);
    }

    fn message(&mut self, message: &Message<'_>) {
        match *message {
            Message::Hello(hello) if hello.side == Side::Incumbent => {
                self.incumbent = Some(hello.pid);
            }
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

fn linked<K>(ticket: Ticket<K>, result: Result<LinkReport, String>) -> Ended
where
    K: for<'b> op::Operation<Done<'b> = LinkReport> + 'static,
{
    Box::new(move |feed| match result {
        Ok(report) => feed(ticket.done(report)),
        Err(why) => feed(ticket.failed(&why)),
    })
}
