//! What carries out an incumbent's operations: hooks as tasks, file work on blocking threads.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use handoff_core::op::{self, OpId, Operation, Ticket};
use handoff_core::wire::Message;
use handoff_core::{IncumbentOp, Instant};
use handoff_std::host::engine::{
    Accepted, Ended, Host, Links, drained, failed, incumbent_saw, listed, sealed, snapped,
    tried_lock, value,
};
use handoff_std::host::{Accept, Clock, ControlListener, KeptListener, Observer};
use handoff_std::{IncumbentEvent, SESSIONS};

use crate::driver::{Caller, Door, Stream, Watched};
use crate::hooks::{Drainable, HookContext};
use crate::seat::Seat;
use crate::task::{Tasks, blocking};

pub(super) struct IncumbentHost<D> {
    drainable: Arc<D>,
    seat: Seat,
    caller: Caller,
    clock: Clock,
    pub(super) kept: Vec<KeptListener>,
    pub(super) allowed: Vec<u32>,
    pub(super) observer: Observer<IncumbentEvent>,
    entrance: Entrance,
    /// The hook that may be asked to stop.
    running: Option<(OpId, HookContext)>,
    tasks: Tasks,
    /// The daemon has been asked how it is, and has not answered.
    snapping: Arc<AtomicBool>,
}

/// The control socket, as far as it can be accepted from.
enum Entrance {
    None,
    Open {
        listener: ControlListener,
        /// A duplicate of it.
        watched: Watched,
    },
    /// The runtime cannot watch it.
    Unwatched,
}

impl<D: Drainable> IncumbentHost<D> {
    pub(super) fn new(drainable: Arc<D>, seat: Seat, caller: Caller, clock: Clock) -> Self {
        Self {
            drainable,
            seat,
            caller,
            clock,
            kept: Vec::new(),
            allowed: Vec::new(),
            observer: Observer::none(),
            entrance: Entrance::None,
            running: None,
            tasks: Tasks::default(),
            snapping: Arc::default(),
        }
    }

    fn context(&mut self, op: OpId, deadline: Instant) -> HookContext {
        let caller = self.caller.clone();
        let deadline = self.clock.instant(deadline.as_nanos()).map(Into::into);
        let context =
            HookContext::new(deadline).with_progress(move |progress| caller.progress(progress));
        self.running = Some((op, context.clone()));
        context
    }

    fn drain(&mut self, ticket: Ticket<op::Drain>, deadline: Instant) {
        let context = self.context(ticket.id(), deadline);
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.tasks.run(
            async move { drainable.drain(&context).await.map_err(|e| e.to_string()) },
            move |result| caller.end(drained(ticket, result)),
        );
    }

    fn seal(&mut self, ticket: Ticket<op::Seal>, deadline: Instant) {
        let context = self.context(ticket.id(), deadline);
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.tasks.run(
            async move { drainable.seal(&context).await.map_err(|e| e.to_string()) },
            move |result| caller.end(sealed(ticket, result)),
        );
    }

    fn resume(&mut self, ticket: Ticket<op::Resume>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let generation = self.seat.generation();
        self.tasks.run(
            async move {
                drainable.generation(generation);
                drainable.resume().await.map_err(|e| e.to_string())?;
                tracing::info!(target: "handoff.resume", generation, "serving again");
                Ok(())
            },
            move |resumed| caller.end(value(ticket, resumed)),
        );
    }

    fn confirm(&mut self, ticket: Ticket<op::Confirm>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        self.tasks.run(
            async move { drainable.committed().await.map_err(|e| e.to_string()) },
            move |confirmed| caller.end(value(ticket, confirmed)),
        );
    }

    /// A daemon that does not answer is not asked again before it does.
    fn snapshot(&mut self, ticket: Ticket<op::Snapshot>) {
        if self.snapping.swap(true, Ordering::AcqRel) {
            return self
                .caller
                .end(failed(ticket, "the daemon does not answer"));
        }
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let snapping = Arc::clone(&self.snapping);
        self.tasks.run(
            async move { Ok(drainable.snapshot().await) },
            move |taken| {
                // Before the report: whoever hears it may ask again at once.
                snapping.store(false, Ordering::Release);
                caller.end(snapped(ticket, taken));
            },
        );
    }

    /// File work on a blocking thread. It goes to its end even if the operation is given up.
    fn on_seat<K: Operation + 'static>(
        &self,
        ticket: Ticket<K>,
        work: impl FnOnce(&Seat, Ticket<K>) -> Ended + Send + 'static,
    ) {
        let (seat, caller) = (self.seat.clone(), self.caller.clone());
        blocking(move || {
            let ended = work(&seat, ticket);
            // Whoever hears it may rely on it that nothing is left here.
            drop(seat);
            caller.end(ended);
        });
    }
}

impl<D: Drainable> Host<handoff_core::Incumbent, SESSIONS, Stream> for IncumbentHost<D> {
    fn start(&mut self, op: IncumbentOp, links: &mut Links<Stream>) {
        match op {
            IncumbentOp::Drain { ticket, deadline } => self.drain(ticket, deadline),
            IncumbentOp::Seal { ticket, deadline } => self.seal(ticket, deadline),
            IncumbentOp::Resume(ticket) => self.resume(ticket),
            // Two system calls that wait for nothing, inside the pause: a blocking thread would have to be
            // woken for them, or started.
            IncumbentOp::ReleaseLock(ticket) if self.seat.try_release() => {
                links.end(value(ticket, Ok(())));
            }
            IncumbentOp::ReleaseLock(ticket) => self.on_seat(ticket, |seat, ticket| {
                seat.release();
                value(ticket, Ok(()))
            }),
            IncumbentOp::TryLock(ticket) => {
                self.on_seat(ticket, |seat, ticket| tried_lock(ticket, seat.try_lock()));
            }
            IncumbentOp::InspectPath(ticket) => {
                self.on_seat(ticket, |seat, ticket| match seat.inspect() {
                    Ok(owner) => Box::new(move |feed| feed(ticket.done(owner))),
                    Err(why) => failed(ticket, why),
                });
            }
            IncumbentOp::BindPath(ticket) => {
                self.on_seat(ticket, |seat, ticket| value(ticket, seat.bind()));
            }
            IncumbentOp::Confirm(ticket) => self.confirm(ticket),
            IncumbentOp::ListListeners(ticket) => links.end(listed(ticket, &self.kept)),
            IncumbentOp::Snapshot(ticket) => self.snapshot(ticket),
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

    fn accept(&mut self, links: &mut Links<Stream>) -> Accepted {
        let (listener, watched) = match &mut self.entrance {
            Entrance::None => return Accepted::Nothing,
            Entrance::Open { listener, watched } => (listener, watched),
            Entrance::Unwatched => {
                self.entrance = Entrance::None;
                return Accepted::Unbound;
            }
        };
        // The runtime hears from the error that nobody is left, and waits for more.
        let accepted = watched.read_io(|| match listener.accept(&self.allowed) {
            Accept::WouldBlock => Err(io::Error::from(ErrorKind::WouldBlock)),
            accepted => Ok(accepted),
        });
        let Ok(accepted) = accepted else {
            return Accepted::Nothing;
        };
        match accepted {
            Accept::WouldBlock => Accepted::Nothing,
            Accept::Retry => Accepted::Again,
            Accept::Accepted(stream, peer) => match Stream::new(stream) {
                Ok(stream) => Accepted::Link(links.adopt(stream), peer.pid.unwrap_or_default()),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be watched");
                    Accepted::BackOff
                }
            },
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
                self.entrance = Entrance::None;
                Accepted::Unbound
            }
        }
    }
}

impl<D: Drainable> Door for IncumbentHost<D> {
    fn poll_door(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(listener) = self.seat.take_fresh() {
            let watched = listener.as_fd().try_clone_to_owned().and_then(Watched::new);
            self.entrance = match watched {
                Ok(watched) => Entrance::Open { listener, watched },
                Err(error) => {
                    tracing::error!(%error, "the control socket cannot be watched");
                    Entrance::Unwatched
                }
            };
        }
        match &self.entrance {
            Entrance::None => Poll::Pending,
            Entrance::Open { watched, .. } => watched.poll_read(cx),
            Entrance::Unwatched => Poll::Ready(()),
        }
    }
}
