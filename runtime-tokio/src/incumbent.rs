//! The incumbent as a future: [`Incumbent::serve`] is the control loop, in the task that awaits it;
//! the daemon's hooks run as tasks of their own.

mod host;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use handoff_core::{IncumbentConfig, IncumbentOutcome};
use handoff_std::host::{
    ControlListener, KeptListener, LockKeeper, Observer, Recordings, identity, kept_listeners,
};
use handoff_std::{
    BindError, DataDirLock, IncumbentEvent, LockError, Retirement, SESSIONS, ServeError,
};
use tokio::task::spawn_blocking;

use self::host::IncumbentHost;
use crate::driver::{Call, Caller, Driver, Flow};
use crate::hooks::Drainable;
use crate::seat::{Seat, Sitter};
use crate::successor::Control;

/// Take the writer lock of a data directory without blocking the runtime: [`DataDirLock::acquire`] on
/// one of its threads for such work.
///
/// # Errors
/// [`LockError`]; in every case the lock is not held by this attempt.
pub async fn acquire_lock(data_dir: impl AsRef<Path>) -> Result<DataDirLock, LockError> {
    let path = data_dir.as_ref().to_path_buf();
    let taken = spawn_blocking(move || DataDirLock::acquire(&path)).await;
    taken.unwrap_or_else(|gone| {
        Err(LockError::Io {
            path: data_dir.as_ref().to_path_buf(),
            source: gone.into(),
        })
    })
}

/// A daemon that holds the writer lock and the control path, ready to be handed over.
///
/// Dropping it, or the future of [`serve`](Self::serve), ends its sessions and tasks and removes the
/// control path if it still leads here. **It does not give the writer lock back**: the daemon may
/// still write, so only a seal does, or the end of the process. Nor can this process take the lock
/// again.
pub struct Incumbent {
    driver: Driver<handoff_core::Incumbent, SESSIONS>,
    sitter: Sitter,
    config: IncumbentConfig,
    allowed: Vec<u32>,
    observer: Observer<IncumbentEvent>,
    kept: Vec<KeptListener>,
    recordings: Option<Recordings>,
    /// Waits for Commit, in a process that began as a successor. Dropping it ends the session.
    probation: Option<Control>,
}

impl Incumbent {
    /// Take the control path, for a process that was started afresh. A successor gets its incumbent
    /// from [`Begun::announce`](crate::Begun::announce).
    ///
    /// Bind it before the data is opened: a path that cannot be bound is then found first.
    ///
    /// # Errors
    /// [`BindError`]; the lock is given back. So it is when the future is dropped.
    pub async fn bind(control: impl AsRef<Path>, lock: DataDirLock) -> Result<Self, BindError> {
        let path = control.as_ref().to_path_buf();
        let bound = spawn_blocking(move || {
            let listener = ControlListener::bind(&path)?;
            Ok::<_, BindError>(NewlyBound {
                listener: Some(listener),
                lock: Some(lock),
            })
        });
        let mut bound = bound.await.map_err(std::io::Error::from)??;
        let (Some(listener), Some(lock)) = (bound.listener.take(), bound.lock.take()) else {
            return Err(std::io::Error::other("bound nothing").into());
        };
        let keeper = LockKeeper::new(lock.data_dir());
        keeper.keep(lock);
        let seat = Seat::new(control.as_ref(), keeper);
        seat.put(listener);
        let mut incumbent = Self::prepare(seat);
        incumbent.config.bound = true;
        Ok(incumbent)
    }

    /// An incumbent-to-be, but for the control path.
    pub(crate) fn prepare(seat: Seat) -> Self {
        let config = IncumbentConfig {
            identity: identity::this_process(&[]),
            bound: false,
            ..IncumbentConfig::default()
        };
        Self {
            driver: Driver::new(config.clone()),
            sitter: Sitter(seat),
            config,
            allowed: Vec::new(),
            observer: Observer::none(),
            kept: kept_listeners().to_vec(),
            recordings: None,
            probation: None,
        }
    }

    /// The process began as a successor, and this waits for Commit.
    pub(crate) fn on_probation(mut self, probation: Control, published: bool) -> Self {
        self.config.on_probation = true;
        self.config.bound = published;
        self.probation = Some(probation);
        self
    }

    pub(crate) fn caller(&self) -> Caller {
        self.driver.caller()
    }

    /// Keep this listener, too, for a supervisor that comes back or takes charge. What the process
    /// inherited is kept anyway.
    #[must_use]
    pub fn with_kept_listener(
        mut self,
        name: impl Into<String>,
        listener: impl Into<OwnedFd>,
    ) -> Self {
        self.kept.push(KeptListener {
            name: name.into(),
            fd: Arc::new(listener.into()),
        });
        self
    }

    /// Say this build id in Hello. At most 64 bytes are used.
    #[must_use]
    pub fn with_build_id(mut self, build_id: &[u8]) -> Self {
        self.config.identity = identity::this_process(build_id);
        self
    }

    /// Let peers with these user ids in, besides our own and root's.
    #[must_use]
    pub fn with_allowed_uids(mut self, uids: impl IntoIterator<Item = u32>) -> Self {
        self.allowed = uids.into_iter().collect();
        self
    }

    /// Change the times that the protocol leaves to the caller. `identity`, `bound`, `generation` and
    /// `on_probation` are kept as they are.
    #[must_use]
    pub fn with_times(mut self, mut times: IncumbentConfig) -> Self {
        times.identity = self.config.identity;
        times.bound = self.config.bound;
        times.on_probation = self.config.on_probation;
        self.config = times;
        self
    }

    /// Be told of phases, lost sessions and troubles. Called from the control loop: be quick, and do
    /// not block.
    #[must_use]
    pub fn with_observer(mut self, observer: impl FnMut(&IncumbentEvent) + Send + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// Record what happens from [`serve`](Self::serve) on, for `handoff replay`. Without it nothing is
    /// recorded. The file is written from the control loop, and never waited for the disk.
    #[must_use]
    pub fn with_recording(mut self, recordings: Recordings) -> Self {
        self.recordings = Some(recordings);
        self
    }

    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.sitter.0.generation()
    }

    /// A handle to stop the incumbent with, from anywhere.
    pub fn handle(&self) -> IncumbentHandle {
        IncumbentHandle {
            caller: self.caller(),
        }
    }

    /// Answer supervisors until the daemon has been handed over or stopped, or cannot go on.
    ///
    /// Whatever it returns, end the process soon: after a commit another process serves already.
    /// Runs on a tokio runtime with I/O and time enabled, of either flavour.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(self, drainable: impl Drainable) -> Result<Retirement, ServeError> {
        let Self {
            mut driver,
            sitter,
            config,
            allowed,
            observer,
            kept,
            recordings,
            probation,
        } = self;
        driver.engine.configure(IncumbentConfig {
            generation: sitter.0.generation(),
            ..config
        });
        driver.engine.record(recordings.as_ref());
        let mut host = IncumbentHost::new(
            Arc::new(drainable),
            sitter.0.clone(),
            driver.caller(),
            driver.engine.clock(),
        );
        host.kept = kept;
        host.allowed = allowed;
        host.observer = observer;
        let flow = driver.run(&mut host).await;
        drop(probation);
        match flow {
            Flow::Done(IncumbentOutcome::Committed(id)) => Ok(Retirement::Committed(id)),
            Flow::Done(IncumbentOutcome::Superseded) => Ok(Retirement::Superseded),
            Flow::Done(IncumbentOutcome::Failed(cause)) => {
                Err(ServeError::CannotServe(Box::new(cause)))
            }
            Flow::Stopped => Ok(Retirement::Stopped),
        }
    }
}

/// What a bind has taken, until somebody has it. The path first, then the lock.
struct NewlyBound {
    listener: Option<ControlListener>,
    lock: Option<DataDirLock>,
}

impl Drop for NewlyBound {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener
            && let Err(error) = listener.file().unlink_if_ours()
        {
            tracing::warn!(%error, "the control socket could not be removed");
        }
    }
}

/// Stops an [`Incumbent`] from another task or thread.
#[derive(Clone)]
pub struct IncumbentHandle {
    caller: Caller,
}

impl IncumbentHandle {
    /// Have [`Incumbent::serve`] return. Call it when the daemon shuts down for good.
    pub fn stop(&self) {
        self.caller.call(Call::Stop);
    }
}
