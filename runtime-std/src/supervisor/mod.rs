//! The supervisor on threads: [`Supervisor`] holds the listeners and drives one handoff at a time, on
//! the thread that calls it.

mod health;
mod host;
mod life;
mod probation;
mod report;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handoff_core::journal::{Entry, Record};
use handoff_core::wire::HandoffId;
use handoff_core::{SupervisorConfig, SupervisorOutcome, Task};

pub use self::health::HealthCheck;
use self::host::SupervisorHost;
pub(crate) use self::host::{linked, reach};
pub use self::probation::RollbackHandle;
pub use self::report::{HandoffSpec, Report, SupervisorEvent};
use crate::driver::{Driver, Flow};
use crate::host::Observer;
use crate::host::control::{check_path, remove_stale};
use crate::host::process::kill_and_reap;
use crate::host::{ControlError, JournalFile, Process, SpawnError, SpawnSpec, Spawned, boot_id};

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

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
    /// The health check of a probation cannot be run. Nothing was touched.
    #[error("the health check: {0}")]
    HealthCheck(SpawnError),
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
    /// The incumbent of the last handoff that committed. It may still answer for a moment.
    retired: Option<Process>,
    rollback: RollbackHandle,
}

impl Supervisor {
    /// A supervisor of the daemon behind `control` that keeps its data in `data_dir`. `daemon` is the
    /// binary that is started when nobody serves; a committed handoff replaces it.
    ///
    /// # Errors
    /// [`SupervisorError::Control`] when the control path is too long or names no file. Whether its
    /// directory is there is for the daemon to say.
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
            rollback: RollbackHandle::default(),
        })
    }

    /// Hand this listener to every daemon that is started, under this name. Otherwise as
    /// [`add_listener`](Self::add_listener).
    #[must_use]
    pub fn with_listener(mut self, name: impl Into<String>, listener: impl Into<OwnedFd>) -> Self {
        self.add_listener(name, listener);
        self
    }

    /// Hand this listener to every daemon that is started from now on, under this name.
    ///
    /// It comes after those that are there, and replaces none of them: several may share a name, and a
    /// daemon takes them in order. So no listener is closed here that somebody may be connecting to.
    pub fn add_listener(&mut self, name: impl Into<String>, listener: impl Into<OwnedFd>) {
        self.listeners.push((name.into(), listener.into()));
    }

    /// Keep a journal in this file, so that a restarted supervisor knows what was in flight. A tmpfs
    /// is the best place. Give every daemon a file of its own.
    #[must_use]
    pub fn with_journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(JournalFile::new(path));
        self
    }

    /// Change the times that the protocol leaves to the caller. What a
    /// [`HandoffSpec`] says is ignored here, and so are `task` and `retired`.
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

    /// A handle to send a successor on probation back with, from any thread. It is good for every
    /// handoff of this supervisor.
    pub fn rollback_handle(&self) -> RollbackHandle {
        self.rollback.clone()
    }

    /// Replace the daemon's binary.
    ///
    /// # Errors
    /// [`SupervisorError`] when nothing was begun. How a handoff ended is in the report's outcome.
    pub fn handoff(&mut self, spec: &HandoffSpec) -> Result<Report, SupervisorError> {
        spec.successor.check()?;
        let health = spec.health.as_ref().filter(|_| !spec.probation.is_zero());
        if let Some(health) = health {
            health.check().map_err(SupervisorError::HealthCheck)?;
        }
        // A run that is under way when the probation ends has all of its time.
        let last_run = health.map_or(Duration::ZERO, |health| {
            health.timeout.saturating_add(DEATH)
        });
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let config = SupervisorConfig {
            task: Task::Handoff(HandoffId::from_random(random)),
            deadline: spec.deadline,
            drain_grace: spec.drain_grace,
            warmup: spec.warmup_deadline,
            probation: spec.probation,
            kill_stuck_incumbent: spec.kill_stuck_incumbent,
            host_limit: self.times.host_limit.max(last_run),
            // Once it is dead its pid may become anybody's.
            retired: self
                .retired
                .filter(|process| process.is_alive())
                .map(|process| process.pid),
            ..self.times.clone()
        };
        let report = self.run(config, Some(spec))?;
        if report.committed() {
            self.daemon = spec.successor.clone();
        }
        Ok(report)
    }

    fn run(
        &mut self,
        config: SupervisorConfig,
        spec: Option<&HandoffSpec>,
    ) -> Result<Report, SupervisorError> {
        let id = match config.task {
            Task::Handoff(id) => Some(id),
            Task::Recover(_) | Task::Ask(..) => None,
        };
        let versions = config.versions;
        let mut driver: Driver<handoff_core::Supervisor, 2> = Driver::new(config)?;
        let started = Instant::now();
        let mut host = SupervisorHost {
            control: &self.control,
            data_dir: &self.data_dir,
            daemon: &self.daemon,
            successor: spec.map(|spec| &spec.successor),
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
            versions,
            incumbent_version: None,
            successor_version: None,
            health: spec.and_then(|spec| spec.health.as_ref()),
            rollback: &self.rollback,
            watch: None,
            caller: driver.caller(),
            clock: driver.engine.clock(),
        };
        let flow = driver.run(&mut host);
        host.stop_watching();
        let outcome = match flow {
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
            incumbent_version,
            successor_version,
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
        // What a killed successor has left beside the control path. Now, since it is no hurry.
        if !matches!(outcome, SupervisorOutcome::Committed { .. }) {
            remove_stale(&self.control);
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
            incumbent_version,
            successor_version,
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

#[cfg(test)]
mod tests {
    use handoff_core::Reason;

    use super::*;
    use crate::{
        DataDirLock, DrainReport, Drainable, HookContext, HookError, Incumbent, SealReport,
    };

    struct Idle;

    impl Drainable for Idle {
        fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
            Ok(DrainReport::default())
        }

        fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
            Ok(SealReport::default())
        }

        fn resume(&self) -> Result<(), HookError> {
            Ok(())
        }
    }

    #[test]
    fn an_incumbent_with_the_pid_of_a_retired_process_is_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let lock = DataDirLock::acquire(dir.path()).unwrap();
        let incumbent = Incumbent::bind(&path, lock).unwrap();
        let handle = incumbent.handle();
        let serving = std::thread::spawn(move || incumbent.serve(Idle));

        let spec = SpawnSpec {
            binary: "true".into(),
            ..SpawnSpec::default()
        };
        let mut supervisor = Supervisor::new(&path, dir.path(), spec.clone()).unwrap();
        let mut earlier = Process::current();
        earlier.start -= 1;
        supervisor.retired = Some(earlier);
        let report = supervisor.handoff(&HandoffSpec::new(spec)).unwrap();
        let SupervisorOutcome::RolledBack { cause, .. } = report.outcome else {
            panic!("{}", report.outcome);
        };
        assert_eq!(cause.reason, Reason::SuccessorLost);
        handle.stop();
        serving.join().unwrap().unwrap();
    }
}
