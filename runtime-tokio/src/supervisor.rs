//! The supervisor as futures: [`Supervisor`] holds the listeners and drives one handoff at a time, in
//! the task that awaits it.

mod child;
mod host;
mod task;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_core::{SupervisorConfig, Task};
use handoff_std::host::control::check_path;
use handoff_std::host::supervise::{BeforeClear, Household, Transcript};
use handoff_std::host::{
    JournalFile, Observer, Process, Recordings, SpawnError, SpawnSpec, Spawned,
};
use handoff_std::{HandoffSpec, Report, RollbackHandle, SupervisorError, SupervisorEvent};
use tokio::task::spawn_blocking;
use tracing::Instrument;

use self::child::Unclaimed;
pub use self::child::wait;
use crate::driver::Driver;
use crate::task::Queue;

/// Holds a daemon's listeners and replaces its binary.
///
/// One handoff at a time: the methods that perform one take `&mut self`. It takes no signals, and
/// needs nobody to take SIGCHLD.
///
/// # Dropping
///
/// A future of [`handoff`](Self::handoff) or [`recover`](Self::recover) that is dropped gives up what
/// it was at: the process that it had started is killed and reaped (on a blocking thread of the
/// runtime, a moment later), and only then is the incumbent let go, which comes back (`C1`, `C2`).
/// Where this would leave nobody to serve, nothing is undone: once Commit is on its way, or when the
/// incumbent is gone and the successor has been told to begin, the successor stays. Call
/// [`recover`](Self::recover) next; it finds out who serves.
///
/// A successor that stays, or a daemon that was started afresh, has no `Child` then: its end is not
/// noticed here, and it is reaped only when this process ends. [`daemon`](Self::daemon) is what it was
/// before the call; say with [`set_daemon`](Self::set_daemon) which binary is to be started next.
pub struct Supervisor {
    home: Household,
    observer: Observer<SupervisorEvent>,
    times: SupervisorConfig,
    /// The incumbent of the last handoff that committed. It may still answer for a moment.
    retired: Option<Process>,
    rollback: RollbackHandle,
    /// The journal, and what a dropped task leaves to be undone: in order, across tasks.
    queue: Queue,
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
            queue: Queue::default(),
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

    /// Hand this listener to no further daemon; the first one, if several have the name. It is closed
    /// once its last descriptor is: the daemon that runs keeps its own until it is replaced.
    pub fn remove_listener(&mut self, name: &str) -> Option<Arc<OwnedFd>> {
        let listeners = &mut self.home.listeners;
        let at = listeners.iter().position(|(known, _)| known == name)?;
        Some(listeners.remove(at).1)
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
    /// on a blocking thread of the runtime.
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

    /// Be told what happens, as it happens. Called from the control loop, inside the pause: be quick,
    /// and do not block.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl FnMut(&SupervisorEvent) + Send + 'static,
    ) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// Record what happens in each handoff and each recovery, for `handoff replay`. Without it nothing is
    /// recorded. A file is written from the control loop, and never waited for the disk.
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

    /// Start the daemon afresh. It fails by itself if another process holds the writer lock. If the
    /// future is dropped, the process is killed.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub async fn cold_start(&self) -> Result<Spawned, SpawnError> {
        let home = self.home.clone();
        let started = spawn_blocking(move || home.cold_start().map(Unclaimed::new)).await;
        let gone = |source| SpawnError::Descriptors { source };
        started
            .map_err(|error| gone(error.into()))??
            .claim()
            .ok_or_else(|| gone(std::io::Error::other("started nothing")))
    }

    /// After a start or restart of the supervisor, or after a handoff that was dropped: find out who
    /// serves, let a handoff that was in flight settle, and start the daemon if nobody does (`C9`).
    ///
    /// # Errors
    /// [`SupervisorError`]. What was found is in the report's outcome.
    pub async fn recover(&mut self) -> Result<Report, SupervisorError> {
        self.queue.settled().await;
        let home = self.home.clone();
        let entry = in_background(move || home.journaled()).await?;
        let config = SupervisorConfig {
            task: Task::Recover(entry),
            ..self.times.clone()
        };
        self.run(&config, None).await
    }

    /// A handle to send a successor on probation back with, from anywhere. It is good for every
    /// handoff of this supervisor.
    pub fn rollback_handle(&self) -> RollbackHandle {
        self.rollback.clone()
    }

    /// Replace the daemon's binary.
    ///
    /// # Errors
    /// [`SupervisorError`] when nothing was begun. How a handoff ended is in the report's outcome.
    pub async fn handoff(&mut self, spec: &HandoffSpec) -> Result<Report, SupervisorError> {
        self.queue.settled().await;
        let config = in_background({
            let (spec, times, retired) = (spec.clone(), self.times.clone(), self.retired);
            move || spec.configure(&times, retired)
        })
        .await??;
        let report = self.run(&config, Some(spec)).await?;
        if report.committed() {
            self.home.daemon = spec.successor.clone();
        }
        Ok(report)
    }

    async fn run(
        &mut self,
        config: &SupervisorConfig,
        spec: Option<&HandoffSpec>,
    ) -> Result<Report, SupervisorError> {
        let mut driver = Driver::new(config.clone());
        driver.engine.record(self.recordings.as_ref());
        let (report, incumbent) = task::run(
            driver,
            &self.home,
            config,
            spec,
            &self.observer,
            &self.rollback,
            &self.queue,
        )
        .instrument(Transcript::span(config))
        .await?;
        if report.committed() {
            self.retired = incumbent;
        }
        Ok(report)
    }
}

/// Short file work on a blocking thread.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SupervisorError> {
    let done = spawn_blocking(work).await;
    done.map_err(|gone| SupervisorError::Setup(gone.into()))
}
