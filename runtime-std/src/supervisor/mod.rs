//! The supervisor on threads: [`Supervisor`] holds the listeners and drives one handoff at a time, on
//! the thread that calls it.

mod host;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_core::{SupervisorConfig, Task};

use self::host::SupervisorHost;
use crate::driver::{Driver, Flow};
use crate::host::control::check_path;
use crate::host::supervise::{
    BeforeClear, HandoffSpec, Household, Report, RollbackHandle, SupervisorError, SupervisorEvent,
    Transcript, Works,
};
use crate::host::{JournalFile, Observer, Process, Recordings, SpawnError, SpawnSpec, Spawned};

/// Holds a daemon's listeners and replaces its binary.
///
/// One handoff at a time: the methods that perform one take `&mut self`.
pub struct Supervisor {
    home: Household,
    observer: Observer<SupervisorEvent>,
    times: SupervisorConfig,
    /// The incumbent of the last handoff that committed. It may still answer for a moment.
    retired: Option<Process>,
    rollback: RollbackHandle,
    recordings: Option<Recordings>,
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
            home: Household {
                control: control.as_ref().to_path_buf(),
                data_dir: data_dir.as_ref().to_path_buf(),
                daemon,
                listeners: Vec::new(),
                journal: None,
                before_clear: None,
            },
            observer: Observer::none(),
            times: SupervisorConfig::new(Task::Recover(None)),
            retired: None,
            rollback: RollbackHandle::default(),
            recordings: None,
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
        let listener = Arc::new(listener.into());
        self.home.listeners.push((name.into(), listener));
    }

    /// Keep a journal in this file, so that a restarted supervisor knows what was in flight. A tmpfs
    /// is the best place. Give every daemon a file of its own.
    #[must_use]
    pub fn with_journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.home.journal = Some(JournalFile::new(path));
        self
    }

    /// Call this whenever a task has come to its end, before the journal is cleared: what a restarted
    /// supervisor has to know from then on, such as the binary that was committed, is written here. Called
    /// on the thread that drives the handoff.
    #[must_use]
    pub fn with_before_clear(mut self, call: impl Fn() + Send + Sync + 'static) -> Self {
        self.home.before_clear = Some(BeforeClear::new(call));
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

    /// Record what happens in each handoff and each recovery, for `handoff replay`. Without it nothing is
    /// recorded.
    #[must_use]
    pub fn with_recording(mut self, recordings: Recordings) -> Self {
        self.recordings = Some(recordings);
        self
    }

    /// The binary that is started when nobody serves.
    pub const fn daemon(&self) -> &SpawnSpec {
        &self.home.daemon
    }

    /// Start this one instead when nobody serves. Nothing happens to a daemon that runs.
    pub fn set_daemon(&mut self, daemon: SpawnSpec) {
        self.home.daemon = daemon;
    }

    /// Start the daemon afresh. It fails by itself if another process holds the writer lock.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn cold_start(&self) -> Result<Spawned, SpawnError> {
        self.home.cold_start()
    }

    /// After a start or restart of the supervisor: find out who serves, let a handoff that was in
    /// flight settle, and start the daemon if nobody does (`C9`).
    ///
    /// # Errors
    /// [`SupervisorError`]. What was found is in the report's outcome.
    pub fn recover(&mut self) -> Result<Report, SupervisorError> {
        let entry = self.home.journaled();
        let config = SupervisorConfig {
            task: Task::Recover(entry),
            ..self.times.clone()
        };
        self.run(&config, None)
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
        let config = spec.configure(&self.times, self.retired)?;
        let report = self.run(&config, Some(spec))?;
        if report.committed() {
            self.home.daemon = spec.successor.clone();
        }
        Ok(report)
    }

    fn run(
        &mut self,
        config: &SupervisorConfig,
        spec: Option<&HandoffSpec>,
    ) -> Result<Report, SupervisorError> {
        let _span = Transcript::span(config).entered();
        let successor = spec.map(|spec| spec.successor.clone());
        let mut driver: Driver<handoff_core::Supervisor, 2> = Driver::new(config.clone())?;
        driver.engine.record(self.recordings.as_ref());
        let host = SupervisorHost {
            works: Works::new(self.home.clone(), successor),
            transcript: Transcript::new(config, &self.observer, &self.rollback),
            health: spec.and_then(|spec| spec.health.as_ref()),
            rollback: &self.rollback,
            watch: None,
            caller: driver.caller(),
            clock: driver.engine.clock(),
        };
        let (flow, mut turn) = driver.run(host);
        turn.host.stop_watching();
        let outcome = match flow {
            Flow::Done(outcome) => outcome,
            Flow::Stopped => {
                return Err(std::io::Error::other("the control loop was stopped").into());
            }
        };
        let (child, ended) = turn.host.works.finish(outcome);
        // Only now, and with it the links: a successor that is left ends by being killed, not by its session.
        let host = turn.host;
        let incumbent = host.transcript.incumbent();
        let report = host.transcript.report(outcome, child, ended);
        if report.committed() {
            self.retired = incumbent;
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use handoff_core::{Reason, SupervisorOutcome};

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
