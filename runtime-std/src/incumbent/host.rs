//! What carries out an incumbent's operations: the daemon's hooks on their thread, the lock, the control
//! path, the listeners that are kept.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use handoff_core::op::{self, OpId, PathOwner, Ticket};
use handoff_core::wire::Message;
use handoff_core::{IncumbentOp, Instant};

use super::{IncumbentEvent, SESSIONS};
use crate::driver::{Call, Caller, Host, Links};
use crate::hook_thread::HookThread;
use crate::hooks::{Drainable, HookContext};
use crate::host::control::knock;
use crate::host::engine::{
    Accepted, drained, failed, incumbent_saw, listed, sealed, snapped, tried_lock, value,
};
use crate::host::{Accept, Clock, ControlListener, KeptListener, LockKeeper, Observer};

pub(super) struct IncumbentHost<D> {
    pub(super) drainable: Arc<D>,
    pub(super) hooks: HookThread,
    /// Started when somebody asks how the daemon is.
    pub(super) snapshots: Option<HookThread>,
    pub(super) kept: Vec<KeptListener>,
    /// The hook that may be asked to stop.
    pub(super) running: Option<(OpId, HookContext)>,
    pub(super) caller: Caller,
    pub(super) clock: Clock,
    pub(super) control: PathBuf,
    pub(super) listener: Option<ControlListener>,
    pub(super) lock: LockKeeper,
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
