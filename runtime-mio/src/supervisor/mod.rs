//! The supervisor as a source of the user's poll: [`Supervisor`] holds the listeners and drives one
//! handoff at a time, in the turns of the user's loop.

mod task;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handoff_core::{SupervisorConfig, Task as Job};
use handoff_std::host::control::check_path;
use handoff_std::host::supervise::{BeforeClear, Household};
use handoff_std::host::{
    JournalFile, Observer, Process, Recordings, SpawnError, SpawnSpec, Spawned,
};
use handoff_std::{HandoffSpec, Report, RollbackHandle, SupervisorError, SupervisorEvent};

use self::task::Task;
use crate::hub::{Hub, source};

/// Holds a daemon's listeners and replaces its binary.
///
/// Register it with your `Registry`, under any token; begin a [`handoff`](Self::handoff) or a
/// [`recover`](Self::recover); and call in each turn of your loop [`timeout`](Self::timeout),
/// [`ready`](Self::ready) with each event, and [`turn`](Self::turn), which has the report in the end.
/// Children are watched by their pidfds, and no signal is needed.
///
/// ```no_run
/// use handoff_mio::{Daemon, HandoffSpec, SpawnSpec, Supervisor};
/// use mio::{Events, Interest, Poll, Token};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec = |binary: &str| SpawnSpec {
///     binary: binary.into(),
///     ..SpawnSpec::default()
/// };
/// let listener = std::net::TcpListener::bind("127.0.0.1:7000")?;
/// let mut supervisor = Supervisor::new("/run/web/control", "/var/lib/web", spec("/opt/web-1"))?
///     .with_listener("main", listener)
///     .with_journal("/run/web/journal");
///
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(16));
/// poll.registry().register(&mut supervisor, Token(0), Interest::READABLE)?;
/// supervisor.recover()?; // nobody serves yet, so the daemon is started
/// let mut upgrade = Some(HandoffSpec::new(spec("/opt/web-2")));
/// let mut daemons: Vec<Daemon> = Vec::new();
/// loop {
///     let timeouts = daemons.iter().map(Daemon::timeout).chain([supervisor.timeout()]);
///     poll.poll(&mut events, timeouts.flatten().min())?;
///     for event in &events {
///         supervisor.ready(event);
///     }
///     if let Some(report) = supervisor.turn() {
///         println!("{}", report.outcome);
///         if let Some(child) = report.child {
///             let mut daemon = Daemon::new(child);
///             poll.registry().register(&mut daemon, Token(1), Interest::READABLE)?;
///             daemons.push(daemon); // the one before it has left, or is about to
///         }
///         if let Some(spec) = upgrade.take() {
///             supervisor.handoff(&spec)?;
///         }
///     }
///     daemons.retain_mut(|daemon| matches!(daemon.try_wait(), Ok(None)));
/// }
/// # }
/// ```
///
/// # Dropping
///
/// What is under way is given up: the process that it had started is killed and reaped, which may take
/// a moment, and only then is the incumbent let go, which comes back (`C1`, `C2`). Where this would
/// leave nobody to serve, nothing is undone: once Commit is on its way, or when the incumbent is gone
/// and the successor has been told to begin, the successor stays.
pub struct Supervisor {
    hub: Hub,
    home: Household,
    observer: Observer<SupervisorEvent>,
    times: SupervisorConfig,
    recordings: Option<Recordings>,
    /// The incumbent of the last handoff that committed. It may still answer for a moment.
    retired: Option<Process>,
    rollback: RollbackHandle,
    task: Option<Box<Task>>,
    /// What becomes the daemon if the handoff commits.
    successor: Option<SpawnSpec>,
}

source!(Supervisor);

impl Supervisor {
    /// A supervisor of the daemon behind `control` that keeps its data in `data_dir`. `daemon` is the
    /// binary that is started when nobody serves; a committed handoff replaces it.
    ///
    /// # Errors
    /// [`SupervisorError::Control`] when the control path is too long or names no file. Whether its
    /// directory is there is for the daemon to say. [`SupervisorError::Setup`] without descriptors.
    pub fn new(
        control: impl AsRef<Path>,
        data_dir: impl AsRef<Path>,
        daemon: SpawnSpec,
    ) -> Result<Self, SupervisorError> {
        check_path(control.as_ref())?;
        Ok(Self {
            hub: Hub::new()?,
            home: Household {
                control: control.as_ref().to_path_buf(),
                data_dir: data_dir.as_ref().to_path_buf(),
                daemon,
                listeners: Vec::new(),
                journal: None,
                before_clear: None,
            },
            observer: Observer::none(),
            times: SupervisorConfig::new(Job::Recover(None)),
            recordings: None,
            retired: None,
            rollback: RollbackHandle::default(),
            task: None,
            successor: None,
        })
    }

    /// Hand this listener to every daemon that is started, under this name. Otherwise as
    /// [`add_listener`](Self::add_listener).
    #[must_use]
    pub fn with_listener(mut self, name: impl Into<String>, listener: impl Into<OwnedFd>) -> Self {
        self.add_listener(name, listener);
        self
    }

    /// Hand this listener to every daemon that is started from the next task on, under this name.
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
    /// from the loop, so be quick.
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

    /// Be told what happens, as it happens. Called in [`turn`](Self::turn), inside the pause: be quick.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl FnMut(&SupervisorEvent) + Send + 'static,
    ) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// Record what happens in each task, for `handoff replay`. Without it nothing is recorded. A record
    /// is written in the turn that it is of.
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

    /// Start the daemon afresh, at once. It fails by itself if another process holds the writer lock.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left behind.
    pub fn cold_start(&self) -> Result<Spawned, SpawnError> {
        self.home.cold_start()
    }

    /// After a start or restart of the supervisor: begin to find out who serves, let a handoff that was
    /// in flight settle, and start the daemon if nobody does (`C9`).
    ///
    /// # Errors
    /// [`SupervisorError::Busy`]. What is found is in the report's outcome.
    pub fn recover(&mut self) -> Result<(), SupervisorError> {
        self.check_idle()?;
        let config = SupervisorConfig {
            task: Job::Recover(self.home.journaled()),
            ..self.times.clone()
        };
        self.begin(&config, None);
        Ok(())
    }

    /// Begin to replace the daemon's binary.
    ///
    /// # Errors
    /// [`SupervisorError`] when nothing was begun. How the handoff ends is in the report's outcome.
    pub fn handoff(&mut self, spec: &HandoffSpec) -> Result<(), SupervisorError> {
        self.check_idle()?;
        let config = spec.configure(&self.times, self.retired)?;
        self.begin(&config, Some(spec));
        Ok(())
    }

    /// A handle to send a successor on probation back with, from anywhere. It is good for every
    /// handoff of this supervisor, and wakes your poll.
    pub fn rollback_handle(&self) -> RollbackHandle {
        self.rollback.clone()
    }

    /// Whether a handoff or a recovery is under way.
    pub const fn is_busy(&self) -> bool {
        self.task.is_some()
    }

    const fn check_idle(&self) -> Result<(), SupervisorError> {
        if self.is_busy() {
            return Err(SupervisorError::Busy);
        }
        Ok(())
    }

    fn begin(&mut self, config: &SupervisorConfig, spec: Option<&HandoffSpec>) {
        self.successor = spec.map(|spec| spec.successor.clone());
        let mut task = Task::new(
            &self.home,
            config,
            spec,
            &self.observer,
            &self.rollback,
            &self.hub,
        );
        task.record(self.recordings.as_ref());
        self.task = Some(Box::new(task));
    }

    /// How long your poll may wait for it, if nothing happens; `None`: without end.
    pub fn timeout(&mut self) -> Option<Duration> {
        let task = self.task.as_mut()?;
        if self.hub.is_ready() {
            return Some(Duration::ZERO);
        }
        task.timeout()
    }

    /// Go on as far as it goes without waiting. Returns the report when the task has ended.
    pub fn turn(&mut self) -> Option<Report> {
        if !self.task.as_mut()?.turn(&mut self.hub) {
            return None;
        }
        let (report, incumbent) = self.task.take()?.report()?;
        let successor = self.successor.take();
        if report.committed() {
            self.retired = incumbent;
            self.home.daemon = successor.unwrap_or_else(|| self.home.daemon.clone());
        }
        Some(report)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abandon();
        }
    }
}
