//! The operations of all roles, for a loop of one's own: each is carried out at once, or comes back as a [`Work`]
//! for another thread.
//!
//! A daemon's are those of its [`Post`], a supervisor's those of [`Works`](super::supervise::Works). What a post does
//! at once touches files and never waits for anybody: the lock is tried, not waited for. A supervisor starts and
//! kills processes at once, since nobody else waits for it.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handoff_core::op::{self, OpId, Operation, Ticket};
use handoff_core::{
    Incumbent, IncumbentConfig, IncumbentOp, Input, Instant, LinkId, Role, SuccessorOp,
};

use super::calls::Caller;
use super::engine::{
    Accepted, drained, failed, listed, opened, sealed, snapped, tried_lock, value,
};
use super::roles::Call;
use super::{
    Clock, ControlListener, DataDirLock, LockKeeper, Seat, identity, kept_listeners, panic_text,
};
use crate::hooks::{Drainable, HookContext, HookError, Progress};
use crate::incumbent::SESSIONS;
use crate::successor::Readiness;

pub use super::engine::Ended;

/// The hooks of a daemon that may begin as a successor.
pub trait Startable: Drainable {
    /// Get ready, as far as it goes without the lock and the data.
    ///
    /// # Errors
    /// Whatever kept the daemon from it; the incumbent was not even asked to drain.
    fn warm_up(&self, cx: &HookContext) -> Result<(), HookError>;

    /// Open the data. The lock is held.
    ///
    /// # Errors
    /// Whatever kept the daemon from it; the incumbent comes back (`C8`).
    fn open(&self, cx: &HookContext) -> Result<Readiness, HookError>;
}

/// What carries out the operations of a role.
pub trait Carries<R: Role<L>, const L: usize> {
    /// Carry out an operation, or give it back as a work. `adopt` names the link that an operation has opened.
    fn carry(&mut self, op: R::Op, adopt: impl FnOnce(UnixStream) -> LinkId) -> Carried;

    /// A work is not wanted any more: ask it to stop.
    fn cancel(&mut self, _: OpId) {}

    /// The clock that moments of this role are read from.
    fn clock(&self) -> Clock;

    /// The moment it is.
    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock().now_nanos())
    }

    /// What connections come from, while there is anything that may be accepted from.
    fn listener(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Until when the listener is left alone; [`listener`](Self::listener) is to be looked at again then.
    fn rests(&self) -> Option<Instant> {
        None
    }

    /// How long to wait at most, with this deadline of the machine; `None`: for something to happen.
    fn left(&self, deadline: Option<Instant>) -> Option<Duration> {
        let until = deadline.into_iter().chain(self.rests()).min();
        Some(until?.since(self.now()))
    }

    /// Accept one connection, without waiting. Gives what is to be handed in, if anything. `adopt` names the link.
    fn accept(&mut self, _: impl FnOnce(UnixStream) -> LinkId) -> Option<Input<'static>> {
        None
    }

    /// The descriptor that a handle to be sent stands for.
    fn descriptor(&self, _: u32) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What became of an operation.
pub enum Carried {
    /// It is done: hand this in when the turn is over.
    Ended(Ended),
    /// Run this on another thread, and hand in what it gives.
    Work(Work),
}

/// What takes its time: runs to the end of an operation. A hook that panics has failed. Dropped without a run, it
/// ends by the machine's time limit.
pub type Work = Box<dyn FnOnce() -> Ended + Send>;

/// A daemon's place: its hooks, the writer lock and the control path.
pub struct Post<D> {
    daemon: Arc<D>,
    pub(super) clock: Clock,
    seat: Seat,
    /// Reports how far a seal has come.
    reporter: Option<Arc<Reporter>>,
    rests: Option<Instant>,
    /// Tells how the warm-up has ended, once it was begun.
    warm: Option<Receiver<Result<(), String>>>,
    /// The hook that may be asked to stop.
    running: Option<(OpId, HookContext)>,
}

impl<D: Drainable> Post<D> {
    /// A daemon's with this control path, without lock and path so far. Deadlines are moments of `clock`.
    pub fn new(daemon: Arc<D>, control: PathBuf, lock: LockKeeper, clock: Clock) -> Self {
        Self {
            daemon,
            clock,
            seat: Seat::new(control, lock),
            reporter: None,
            rests: None,
            warm: None,
            running: None,
        }
    }

    /// The post of a daemon that is started afresh: takes the writer lock and the control path.
    ///
    /// # Errors
    /// Another process has the lock, or the path cannot be bound.
    pub fn take(
        daemon: Arc<D>,
        control: PathBuf,
        data_dir: &Path,
        clock: Clock,
    ) -> Result<Self, HookError> {
        let lock = LockKeeper::new(data_dir);
        let taken = DataDirLock::acquire(data_dir)?;
        let listener = ControlListener::bind(&control)?;
        let mut post = Self::new(daemon, control, lock, clock);
        post.seat.put(listener);
        // Last, since it is not given back from here on.
        post.seat.lock.keep(taken);
        Ok(post)
    }

    /// How the incumbent on this post is set up: fills in its identity, generation and whether it is bound.
    #[must_use]
    pub fn configure(&self, times: &IncumbentConfig) -> IncumbentConfig {
        IncumbentConfig {
            identity: identity::this_process(&[]),
            bound: self.seat.listener().is_some(),
            generation: self.seat.lock.generation(),
            ..times.clone()
        }
    }

    /// The same daemon's post, for the incumbent that a successor has become.
    pub(super) fn hand_over(&mut self) -> Self {
        Self {
            daemon: Arc::clone(&self.daemon),
            clock: self.clock,
            seat: self.seat.hand_over(),
            reporter: None,
            rests: None,
            warm: None,
            running: None,
        }
    }

    /// How far a seal has come is reported to this loop.
    pub(super) fn report_to(&mut self, caller: Caller<Call>) {
        self.reporter = Some(Arc::new(Reporter {
            caller,
            last: Mutex::default(),
        }));
    }

    fn incumbent(&mut self, op: IncumbentOp) -> Carried {
        Carried::Ended(match op {
            IncumbentOp::Drain { ticket, deadline } => {
                let run = |daemon: &D, cx: &HookContext| daemon.drain(cx);
                return self.hook(ticket, Some(deadline), run, drained);
            }
            IncumbentOp::Seal { ticket, deadline } => {
                let run = |daemon: &D, cx: &HookContext| daemon.seal(cx);
                return self.hook(ticket, Some(deadline), run, sealed);
            }
            IncumbentOp::Resume(ticket) => {
                let generation = self.seat.lock.generation();
                let run = move |daemon: &D, _: &HookContext| {
                    daemon.generation(generation);
                    daemon.resume()
                };
                return self.hook(ticket, None, run, value);
            }
            IncumbentOp::Confirm(ticket) => {
                let run = |daemon: &D, _: &HookContext| daemon.committed();
                return self.hook(ticket, None, run, value);
            }
            IncumbentOp::Snapshot(ticket) => {
                let run = |daemon: &D, _: &HookContext| Ok(daemon.snapshot());
                return self.hook(ticket, None, run, snapped);
            }
            IncumbentOp::ReleaseLock(ticket) => {
                self.seat.lock.release();
                value(ticket, Ok(()))
            }
            IncumbentOp::TryLock(ticket) => tried_lock(ticket, self.seat.lock.try_lock()),
            IncumbentOp::InspectPath(ticket) => match self.seat.inspect() {
                Ok(owner) => Box::new(move |feed| feed(ticket.done(owner))),
                Err(why) => failed(ticket, why),
            },
            IncumbentOp::BindPath(ticket) => value(ticket, self.seat.bind()),
            IncumbentOp::ListListeners(ticket) => listed(ticket, kept_listeners()),
        })
    }

    fn hook<K: Operation + 'static, T: 'static>(
        &mut self,
        ticket: Ticket<K>,
        deadline: Option<Instant>,
        run: impl FnOnce(&D, &HookContext) -> Result<T, HookError> + Send + 'static,
        end: impl FnOnce(Ticket<K>, Result<T, String>) -> Ended + Send + 'static,
    ) -> Carried {
        let deadline = deadline.and_then(|at| self.clock.instant(at.as_nanos()));
        let (mut cx, daemon) = (HookContext::new(deadline), Arc::clone(&self.daemon));
        if let Some(reporter) = &self.reporter {
            let reporter = Arc::clone(reporter);
            cx = cx.with_progress(move |progress| reporter.report(progress));
        }
        // A snapshot runs beside the hook that matters.
        if K::NAME != op::Snapshot::NAME {
            self.running = Some((ticket.id(), cx.clone()));
        }
        Carried::Work(Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(|| run(&daemon, &cx)))
                .map_err(|panic| format!("panicked: {}", panic_text(&*panic)))
                .and_then(|done| done.map_err(|e| e.to_string()));
            end(ticket, done)
        }))
    }
}

/// How long a listener is left alone that could not be accepted from.
const REST: Duration = Duration::from_millis(100);

/// Between two reports of how far a seal has come, so that a busy hook does not fill the memory of a slow loop.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// Tells the loop how far a seal has come.
struct Reporter {
    caller: Caller<Call>,
    last: Mutex<Option<std::time::Instant>>,
}

impl Reporter {
    /// One that comes too soon after another is left out: what is reported at last is that the seal has ended.
    fn report(&self, progress: Progress) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < BETWEEN_REPORTS) {
            return;
        }
        *last = Some(std::time::Instant::now());
        self.caller.call(Call::Input(Input::Progress {
            sealed: progress.sealed,
            total: progress.total,
            revision: progress.revision,
        }));
    }
}

impl<D: Startable> Post<D> {
    pub(super) fn successor(&mut self, op: SuccessorOp) -> Carried {
        Carried::Ended(match op {
            SuccessorOp::StagePath(ticket) => value(ticket, self.seat.stage()),
            SuccessorOp::WarmUp(ticket) => {
                let (tell, warm) = mpsc::channel();
                self.warm = Some(warm);
                let run = move |daemon: &D, cx: &HookContext| {
                    let done = daemon.warm_up(cx);
                    // Nobody listens if the data is not to be opened.
                    let _ = tell.send(done.as_ref().map(drop).map_err(ToString::to_string));
                    done
                };
                return self.hook(ticket, None, run, value);
            }
            SuccessorOp::TryLock(ticket) => tried_lock(ticket, self.seat.lock.try_lock()),
            SuccessorOp::Open(ticket) => {
                // It may still run, or may not even have begun, if nobody waited for it.
                let warm = self.warm.take();
                let run = move |daemon: &D, cx: &HookContext| {
                    match warm {
                        Some(warm) => warm.recv().map_err(|_| "warm-up panicked")??,
                        None => daemon.warm_up(cx)?,
                    }
                    daemon.open(cx)
                };
                return self.hook(ticket, None, run, |ticket, done| match done {
                    Ok(readiness) => opened(ticket, readiness),
                    Err(why) => failed(ticket, why),
                });
            }
            SuccessorOp::PublishPath(ticket) => value(ticket, self.seat.publish()),
            SuccessorOp::Serve { ticket, .. } => value(ticket, Ok(())),
        })
    }
}

impl<D: Drainable> Carries<Incumbent, SESSIONS> for Post<D> {
    fn carry(&mut self, op: IncumbentOp, _: impl FnOnce(UnixStream) -> LinkId) -> Carried {
        self.incumbent(op)
    }

    fn cancel(&mut self, op: OpId) {
        if let Some((_, context)) = self.running.as_ref().filter(|(running, _)| *running == op) {
            context.cancel();
        }
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn listener(&self) -> Option<BorrowedFd<'_>> {
        let listener = self.seat.listener();
        listener.filter(|_| self.rests().is_none())
    }

    fn rests(&self) -> Option<Instant> {
        self.rests.filter(|at| *at > self.now())
    }

    fn accept(&mut self, adopt: impl FnOnce(UnixStream) -> LinkId) -> Option<Input<'static>> {
        if self.rests().is_some() {
            return None;
        }
        match self.seat.accept(&[], adopt) {
            Accepted::Link(link, peer) => Some(Input::Opened { link, peer }),
            Accepted::Nothing | Accepted::Again => None,
            Accepted::BackOff => {
                self.rests = Some(self.now().after(REST));
                None
            }
            Accepted::Unbound => {
                // A new listener may be no better.
                self.rests = Some(self.now().after(REST));
                Some(Input::Unbound)
            }
        }
    }

    /// Handles to be sent are places in the list of listeners that are kept.
    fn descriptor(&self, handle: u32) -> Option<BorrowedFd<'_>> {
        let kept = kept_listeners().get(usize::try_from(handle).ok()?)?;
        Some(kept.fd.as_fd())
    }
}
