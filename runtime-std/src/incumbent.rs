//! The incumbent on threads: [`Incumbent::serve`] runs the control loop on the thread that calls it,
//! and the daemon's hooks on a thread of their own.

mod host;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use handoff_core::incumbent::Phase;
use handoff_core::wire::HandoffId;
use handoff_core::{Cause, IncumbentConfig, IncumbentOutcome, Observation};

use self::host::IncumbentHost;
use crate::driver::{Call, Caller, Driver, Flow};
use crate::hook_thread::HookThread;
use crate::hooks::Drainable;
use crate::host::{
    ControlError, ControlListener, DataDirLock, KeptListener, LockKeeper, Observer, Recordings,
    Seat, identity, kept_listeners,
};
use crate::successor::Control;

/// How many connections to the control socket are held at once.
pub const SESSIONS: usize = 8;

/// What an incumbent lets be seen, for logs and metrics.
pub type IncumbentEvent = Observation<Phase>;

/// Why [`Incumbent::serve`] returned: the process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// The handoff with this id was committed.
    Committed(HandoffId),
    /// Another process took over without a word, since the supervisor was gone (`C2`).
    Superseded,
    /// [`IncumbentHandle::stop`] was called. The control socket is removed, unless the lock was
    /// released to a successor already; otherwise the lock stays ours until the process ends.
    Stopped,
}

/// Why an incumbent cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The daemon could not be brought back after a handoff that was given up. End the process with
    /// an error: that frees the lock, and the supervisor starts the daemon afresh.
    #[error("the daemon cannot go on serving: {0}")]
    CannotServe(Box<Cause>),
}

/// A daemon that holds the writer lock and the control path, ready to be handed over.
pub struct Incumbent {
    seat: Seat,
    config: IncumbentConfig,
    allowed: Vec<u32>,
    observer: Observer<IncumbentEvent>,
    driver: Driver<handoff_core::Incumbent, SESSIONS>,
    hooks: HookThread,
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
    /// [`BindError`]; the lock is given back.
    pub fn bind(control: impl AsRef<Path>, lock: DataDirLock) -> Result<Self, BindError> {
        let keeper = LockKeeper::new(lock.data_dir());
        let mut incumbent = Self::prepare(Seat::new(control.as_ref().to_path_buf(), keeper))?;
        incumbent.seat.put(ControlListener::bind(control.as_ref())?);
        // Last, since it is not given back from here on, and nothing fails any more.
        incumbent.seat.lock.keep(lock);
        Ok(incumbent)
    }

    /// All that can fail of an incumbent-to-be, but the control path: descriptors and threads.
    pub(crate) fn prepare(seat: Seat) -> io::Result<Self> {
        let config = IncumbentConfig {
            identity: identity::this_process(&[]),
            ..IncumbentConfig::default()
        };
        Ok(Self {
            seat,
            driver: Driver::new(config.clone())?,
            config,
            allowed: Vec::new(),
            observer: Observer::none(),
            hooks: HookThread::start()?,
            kept: kept_listeners().to_vec(),
            recordings: None,
            probation: None,
        })
    }

    /// The process began as a successor, which sat there, and this waits for Commit.
    pub(crate) fn on_probation(mut self, seat: Seat, probation: Control) -> Self {
        self.seat = seat;
        self.config.on_probation = true;
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
        times.on_probation = self.config.on_probation;
        self.config = times;
        self
    }

    /// Be told of phases, lost sessions and troubles. Called on the control thread or on one of those that run
    /// hooks, never on two at a time: be quick.
    #[must_use]
    pub fn with_observer(mut self, observer: impl FnMut(&IncumbentEvent) + Send + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// Record what happens from [`serve`](Self::serve) on, for `handoff replay`. Without it nothing is
    /// recorded.
    #[must_use]
    pub fn with_recording(mut self, recordings: Recordings) -> Self {
        self.recordings = Some(recordings);
        self
    }

    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.seat.lock.generation()
    }

    /// A handle to stop the incumbent with, from any thread.
    pub fn handle(&self) -> IncumbentHandle {
        IncumbentHandle {
            caller: self.caller(),
        }
    }

    /// Answer supervisors until the daemon has been handed over or stopped, or cannot go on. Blocks.
    ///
    /// Whatever it returns, end the process soon: after a commit another process serves already.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve(self, drainable: impl Drainable) -> Result<Retirement, ServeError> {
        let Self {
            seat,
            config,
            allowed,
            observer,
            mut driver,
            hooks,
            kept,
            recordings,
            probation,
        } = self;
        driver.engine.configure(IncumbentConfig {
            generation: seat.lock.generation(),
            bound: seat.listener().is_some(),
            ..config
        });
        driver.engine.record(recordings.as_ref());
        let host = IncumbentHost {
            drainable: Arc::new(drainable),
            hooks,
            wakes: Vec::new(),
            snapshots: None,
            kept,
            running: None,
            caller: driver.caller(),
            clock: driver.engine.clock(),
            seat,
            allowed,
            observer,
        };
        let (flow, turn) = driver.run_shared(host);
        drop(probation);
        match flow {
            Flow::Done(IncumbentOutcome::Committed(id)) => Ok(Retirement::Committed(id)),
            Flow::Done(IncumbentOutcome::Superseded) => Ok(Retirement::Superseded),
            Flow::Done(IncumbentOutcome::Failed(cause)) => {
                Err(ServeError::CannotServe(Box::new(cause)))
            }
            Flow::Stopped => {
                turn.host.seat.leave();
                Ok(Retirement::Stopped)
            }
        }
    }
}

/// Why a control path could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// It cannot be bound.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The threads or descriptors of the control loop are not to be had.
    #[error("the control loop cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

/// Stops an [`Incumbent`] from another thread.
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
