//! What carries out an incumbent's operations: the daemon's hooks on their thread, its seat, the
//! listeners that are kept.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use handoff_core::op::{self, OpId, Ticket};
use handoff_core::wire::Message;
use handoff_core::{IncumbentOp, Instant};

use super::{IncumbentEvent, SESSIONS};
use crate::driver::{Caller, Host, Links, Local, Stream, Wake};
use crate::hook_thread::HookThread;
use crate::hooks::{Drainable, HookContext};
use crate::host::engine::{
    Accepted, drained, failed, incumbent_saw, listed, sealed, snapped, tried_lock, value,
};
use crate::host::{Clock, KeptListener, Observer, Seat};

pub(super) struct IncumbentHost<D> {
    pub(super) drainable: Arc<D>,
    pub(super) hooks: HookThread,
    /// Hooks whose threads are still to be told.
    pub(super) wakes: Vec<Wake>,
    /// Started when somebody asks how the daemon is.
    pub(super) snapshots: Option<HookThread>,
    pub(super) kept: Vec<KeptListener>,
    /// The hook that may be asked to stop.
    pub(super) running: Option<(OpId, HookContext)>,
    pub(super) caller: Caller,
    pub(super) clock: Clock,
    pub(super) seat: Seat,
    pub(super) allowed: Vec<u32>,
    pub(super) observer: Observer<IncumbentEvent>,
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
        let wake = self.hooks.run(
            move || drainable.drain(&context).map_err(|e| e.to_string()),
            move |result| caller.end(drained(ticket, result)),
        );
        self.wakes.extend(wake);
    }

    fn seal(&mut self, ticket: Ticket<op::Seal>, deadline: Instant) {
        let context = self.context(ticket.id(), deadline);
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let wake = self.hooks.run(
            move || drainable.seal(&context).map_err(|e| e.to_string()),
            move |result| caller.end(sealed(ticket, result)),
        );
        self.wakes.extend(wake);
    }

    fn resume(&mut self, ticket: Ticket<op::Resume>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let generation = self.seat.lock.generation();
        let wake = self.hooks.run(
            move || {
                drainable.generation(generation);
                drainable.resume().map_err(|e| e.to_string())?;
                tracing::info!(target: "handoff.resume", generation, "serving again");
                Ok(())
            },
            move |resumed| caller.end(value(ticket, resumed)),
        );
        self.wakes.extend(wake);
    }

    fn confirm(&mut self, ticket: Ticket<op::Confirm>) {
        let (drainable, caller) = (Arc::clone(&self.drainable), self.caller.clone());
        let wake = self.hooks.run(
            move || drainable.committed().map_err(|e| e.to_string()),
            move |confirmed| caller.end(value(ticket, confirmed)),
        );
        self.wakes.extend(wake);
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
        let wake = thread.run(
            move || Ok(drainable.snapshot()),
            move |taken| caller.end(snapped(ticket, taken)),
        );
        self.wakes.extend(wake);
    }
}

impl<D: Drainable> Host<handoff_core::Incumbent, SESSIONS, Stream> for IncumbentHost<D> {
    fn start(&mut self, op: IncumbentOp, links: &mut Links) {
        match op {
            IncumbentOp::Drain { ticket, deadline } => self.drain(ticket, deadline),
            IncumbentOp::Seal { ticket, deadline } => self.seal(ticket, deadline),
            IncumbentOp::Resume(ticket) => self.resume(ticket),
            IncumbentOp::ReleaseLock(ticket) => {
                self.seat.lock.release();
                links.end(value(ticket, Ok(())));
            }
            IncumbentOp::TryLock(ticket) => {
                links.end(tried_lock(ticket, self.seat.lock.try_lock()));
            }
            IncumbentOp::InspectPath(ticket) => {
                let owner = self.seat.inspect();
                links.end(Box::new(move |feed| match owner {
                    Ok(owner) => feed(ticket.done(owner)),
                    Err(why) => feed(ticket.failed(&why)),
                }));
            }
            IncumbentOp::BindPath(ticket) => {
                let bound = self.seat.bind();
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

    fn accept(&mut self, links: &mut Links) -> Accepted {
        self.seat
            .accept(&self.allowed, |socket| links.adopt(Arc::new(socket)))
    }
}

impl<D> Local for IncumbentHost<D> {
    fn wakes(&mut self) -> Vec<Wake> {
        std::mem::take(&mut self.wakes)
    }

    fn socket(&self) -> Option<Arc<UnixListener>> {
        self.seat.socket()
    }
}
