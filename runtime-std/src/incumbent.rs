//! The incumbent on threads: [`Incumbent::serve`] runs the control loop on the thread that calls it,
//! and the daemon's hooks on a thread of their own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use handoff_core::incumbent::Phase;
use handoff_core::op::{self, OpId, PathOwner, Ticket};
use handoff_core::wire::{HandoffId, Message};
use handoff_core::{Cause, IncumbentConfig, IncumbentOp, IncumbentOutcome, Instant, Observation};

use crate::driver::{Call, Caller, Driver, Flow, Host, Links};
use crate::hook_thread::HookThread;
use crate::hooks::{Drainable, HookContext};
use crate::host::control::knock;
use crate::host::engine::{
    Accepted, drained, failed, incumbent_saw, listed, sealed, snapped, tried_lock, value,
};
use crate::host::{
    Accept, Clock, ControlError, ControlListener, DataDirLock, KeptListener, LockKeeper, Observer,
    identity, kept_listeners,
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
    control: PathBuf,
    listener: Option<ControlListener>,
    lock: LockKeeper,
    config: IncumbentConfig,
    allowed: Vec<u32>,
    observer: Observer<IncumbentEvent>,
    driver: Driver<handoff_core::Incumbent, SESSIONS>,
    hooks: HookThread,
    kept: Vec<KeptListener>,
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
        let mut incumbent = Self::prepare(control.as_ref(), keeper)?;
        incumbent.listen(Some(ControlListener::bind(control.as_ref())?));
        // Last, since it is not given back from here on, and nothing fails any more.
        incumbent.lock.keep(lock);
        Ok(incumbent)
    }

    /// All that can fail of an incumbent-to-be, but the control path: descriptors and threads.
    pub(crate) fn prepare(control: &Path, lock: LockKeeper) -> io::Result<Self> {
        let config = IncumbentConfig {
            identity: identity::this_process(&[]),
            bound: false,
            ..IncumbentConfig::default()
        };
        Ok(Self {
            control: control.to_path_buf(),
            listener: None,
            lock,
            driver: Driver::new(config.clone())?,
            config,
            allowed: Vec::new(),
            observer: Observer::none(),
            hooks: HookThread::start()?,
            kept: kept_listeners().to_vec(),
            probation: None,
        })
    }

    /// The control path leads to this listener; without one it is still to be bound.
    pub(crate) fn listen(&mut self, listener: Option<ControlListener>) {
        self.config.bound = listener.is_some();
        self.listener = listener;
    }

    /// The process began as a successor, and this waits for Commit.
    pub(crate) fn on_probation(mut self, probation: Control) -> Self {
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
        times.bound = self.config.bound;
        times.on_probation = self.config.on_probation;
        self.config = times;
        self
    }

    /// Be told of phases, lost sessions and troubles. Called on the control thread: be quick.
    #[must_use]
    pub fn with_observer(mut self, observer: impl FnMut(&IncumbentEvent) + Send + 'static) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    /// The generation under which the lock was taken: a fencing token.
    pub fn generation(&self) -> u64 {
        self.lock.generation()
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
            control,
            listener,
            lock,
            config,
            allowed,
            observer,
            mut driver,
            hooks,
            kept,
            probation,
        } = self;
        driver.engine.configure(IncumbentConfig {
            generation: lock.generation(),
            ..config
        });
        let mut host = IncumbentHost {
            drainable: Arc::new(drainable),
            hooks,
            snapshots: None,
            kept,
            running: None,
            caller: driver.caller(),
            clock: driver.engine.clock(),
            control,
            listener,
            lock,
            allowed,
            observer,
        };
        let flow = driver.run(&mut host);
        drop(probation);
        match flow {
            Flow::Done(IncumbentOutcome::Committed(id)) => Ok(Retirement::Committed(id)),
            Flow::Done(IncumbentOutcome::Superseded) => Ok(Retirement::Superseded),
            Flow::Done(IncumbentOutcome::Failed(cause)) => {
                Err(ServeError::CannotServe(Box::new(cause)))
            }
            Flow::Stopped => {
                // Once the lock is released a successor may be renaming its own socket into place.
                if host.lock.generation() != 0
                    && let Some(listener) = &host.listener
                    && let Err(error) = listener.file().unlink_if_ours()
                {
                    tracing::warn!(%error, "the control socket could not be removed");
                }
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

struct IncumbentHost<D> {
    drainable: Arc<D>,
    hooks: HookThread,
    /// Started when somebody asks how the daemon is.
    snapshots: Option<HookThread>,
    kept: Vec<KeptListener>,
    /// The hook that may be asked to stop.
    running: Option<(OpId, HookContext)>,
    caller: Caller,
    clock: Clock,
    control: PathBuf,
    listener: Option<ControlListener>,
    lock: LockKeeper,
    allowed: Vec<u32>,
    observer: Observer<IncumbentEvent>,
}

impl<D: Drainable> IncumbentHost<D> {
    fn context(&mut self, op: OpId, deadline: Instant) -> HookContext {
        let caller = self.caller.clone();
        let context = HookContext::new(self.clock.instant(deadline.as_nanos()))
            .with_progress(move |progress| caller.progress(progress));
        self.running = Some((op, context.clone()));
        context
    }

    fn drain(&mut self, ticket: Ticket<op::Drain>, deadline: Instant) {
        let context = self.context(ticket.id(), deadline);
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.hooks.run(
            move || drainable.drain(&context).map_err(|e| e.to_string()),
            move |result| caller.call(Call::Ended(drained(ticket, result))),
        );
    }

    fn seal(&mut self, ticket: Ticket<op::Seal>, deadline: Instant) {
        let context = self.context(ticket.id(), deadline);
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.hooks.run(
            move || drainable.seal(&context).map_err(|e| e.to_string()),
            move |result| caller.call(Call::Ended(sealed(ticket, result))),
        );
    }

    fn resume(&mut self, ticket: Ticket<op::Resume>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let generation = self.lock.generation();
        self.hooks.run(
            move || {
                drainable.generation(generation);
                drainable.resume().map_err(|e| e.to_string())?;
                tracing::info!(target: "handoff.resume", generation, "serving again");
                Ok(())
            },
            move |resumed| caller.call(Call::Ended(value(ticket, resumed))),
        );
    }

    fn confirm(&mut self, ticket: Ticket<op::Confirm>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.hooks.run(
            move || drainable.committed().map_err(|e| e.to_string()),
            move |confirmed| caller.call(Call::Ended(value(ticket, confirmed))),
        );
    }

    /// On a thread of its own, since a hook may be running. A daemon that does not answer keeps it,
    /// and is not asked again before it does.
    fn snapshot(&mut self, ticket: Ticket<op::Snapshot>, links: &mut Links) {
        if self.snapshots.is_none() {
            self.snapshots = HookThread::start().ok();
        }
        let Some(thread) = self.snapshots.as_mut().filter(|thread| !thread.is_busy()) else {
            return links.end(failed(ticket, "the daemon does not answer"));
        };
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        thread.run(
            move || Ok(drainable.snapshot()),
            move |taken| caller.call(Call::Ended(snapped(ticket, taken))),
        );
    }

    fn inspect(&self) -> Result<PathOwner, String> {
        match &self.listener {
            Some(listener) => listener.file().owner(),
            None => knock(&self.control),
        }
        .map_err(|e| e.to_string())
    }

    fn bind(&mut self) -> Result<(), String> {
        // A bind that comes too late must not take the path from whoever holds the lock by now.
        let bound = self
            .lock
            .while_held(|| ControlListener::bind(&self.control))
            .ok_or("the writer lock is not ours any more")?;
        self.listener = Some(bound.map_err(|e| e.to_string())?);
        Ok(())
    }
}

impl<D: Drainable> Host<handoff_core::Incumbent, SESSIONS> for IncumbentHost<D> {
    fn start(&mut self, op: IncumbentOp, links: &mut Links) {
        match op {
            IncumbentOp::Drain { ticket, deadline } => self.drain(ticket, deadline),
            IncumbentOp::Seal { ticket, deadline } => self.seal(ticket, deadline),
            IncumbentOp::Resume(ticket) => self.resume(ticket),
            IncumbentOp::ReleaseLock(ticket) => {
                self.lock.release();
                links.end(value(ticket, Ok(())));
            }
            IncumbentOp::TryLock(ticket) => links.end(tried_lock(ticket, self.lock.try_lock())),
            IncumbentOp::InspectPath(ticket) => {
                let owner = self.inspect();
                links.end(Box::new(move |feed| match owner {
                    Ok(owner) => feed(ticket.done(owner)),
                    Err(why) => feed(ticket.failed(&why)),
                }));
            }
            IncumbentOp::BindPath(ticket) => {
                let bound = self.bind();
                links.end(value(ticket, bound));
            }
            IncumbentOp::Confirm(ticket) => self.confirm(ticket),
            IncumbentOp::ListListeners(ticket) => links.end(listed(ticket, &self.kept)),
            IncumbentOp::Snapshot(ticket) => self.snapshot(ticket, links),
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        if let Message::HelloAck { version, .. } = message {
            tracing::debug!(version, "a supervisor has acknowledged");
        }
    }

    /// Handles to be sent are places in the list of listeners that are kept.
    fn descriptor(&self, handle: u32) -> Option<BorrowedFd<'_>> {
        let kept = self.kept.get(usize::try_from(handle).ok()?)?;
        Some(kept.fd.as_fd())
    }

    fn cancel(&mut self, op: OpId) {
        if let Some((_, context)) = self.running.as_ref().filter(|(running, _)| *running == op) {
            context.cancel();
        }
    }

    fn observe(&mut self, seen: IncumbentEvent) {
        incumbent_saw(&seen);
        self.observer.tell(&seen);
    }

    fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(ControlListener::as_fd)
    }

    fn accept(&mut self, links: &mut Links) -> Accepted {
        let Some(listener) = &mut self.listener else {
            return Accepted::Nothing;
        };
        match listener.accept(&self.allowed) {
            Accept::Accepted(stream, peer) => {
                Accepted::Link(links.adopt(stream), peer.pid.unwrap_or_default())
            }
            Accept::WouldBlock => Accepted::Nothing,
            Accept::Retry => Accepted::Again,
            Accept::Refused { uid } => {
                tracing::warn!(uid, "a peer of a foreign user was turned away");
                Accepted::Again
            }
            Accept::BackOff(error) => {
                tracing::warn!(%error, "cannot accept for now");
                Accepted::BackOff
            }
            Accept::Broken(error) => {
                tracing::error!(%error, "the control socket is broken; binding it again");
                self.listener = None;
                Accepted::Unbound
            }
        }
    }
}
