//! What carries out an incumbent's operations: its seat and its listeners here, its hooks as requests.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handoff_core::op::{OpId, Operation, Ticket};
use handoff_core::wire::Message;
use handoff_core::{IncumbentOp, Instant};
use handoff_std::host::engine::{
    Accepted, Host, Links, failed, incumbent_saw, listed, tried_lock, value,
};
use handoff_std::host::{Clock, KeptListener, Observer, Seat};
use handoff_std::{IncumbentEvent, SESSIONS};
use mio::{Interest, Registry};

use crate::answers::Answers;
use crate::hub::{DOOR, watch};
use crate::request::{Hook, Request, Scene};

pub(super) struct IncumbentHost {
    pub(super) seat: Seat,
    /// Where the control socket is registered.
    pub(super) registry: Arc<Registry>,
    pub(super) requests: VecDeque<Request>,
    pub(super) answers: Answers,
    pub(super) clock: Clock,
    pub(super) kept: Vec<KeptListener>,
    pub(super) allowed: Vec<u32>,
    pub(super) observer: Observer<IncumbentEvent>,
    /// The request that may be cancelled.
    pub(super) running: Option<(OpId, Arc<AtomicBool>)>,
}

/// The control path leads to a listener that has to be watched.
pub(crate) fn watch_door(seat: &Seat, registry: &Registry) -> io::Result<()> {
    match seat.listener() {
        Some(listener) => watch(registry, listener, DOOR, Interest::READABLE),
        None => Ok(()),
    }
}

impl IncumbentHost {
    fn ask<K: Operation>(&mut self, ticket: Ticket<K>, wrap: fn(Hook<K>) -> Request) {
        let scene = Scene {
            generation: self.seat.lock.generation(),
            ..Scene::default()
        };
        let hook = Hook::new(Some(ticket), scene, self.answers.clone());
        self.requests.push_back(wrap(hook));
    }

    fn ask_until<K: Operation>(
        &mut self,
        ticket: Ticket<K>,
        deadline: Instant,
        wrap: fn(Hook<K>) -> Request,
    ) {
        let scene = Scene {
            deadline: self.clock.instant(deadline.as_nanos()),
            ..Scene::default()
        };
        self.running = Some((ticket.id(), Arc::clone(&scene.cancelled)));
        let hook = Hook::new(Some(ticket), scene, self.answers.clone());
        self.requests.push_back(wrap(hook));
    }

    fn bind(&mut self) -> Result<(), String> {
        self.seat.bind()?;
        watch_door(&self.seat, &self.registry)
            .map_err(|e| format!("the control socket cannot be watched: {e}"))
    }
}

impl Host<handoff_core::Incumbent, SESSIONS> for IncumbentHost {
    fn start(&mut self, op: IncumbentOp, links: &mut Links) {
        match op {
            IncumbentOp::Drain { ticket, deadline } => {
                self.ask_until(ticket, deadline, Request::Drain);
            }
            IncumbentOp::Seal { ticket, deadline } => {
                self.ask_until(ticket, deadline, Request::Seal);
            }
            IncumbentOp::Resume(ticket) => self.ask(ticket, Request::Resume),
            IncumbentOp::Confirm(ticket) => self.ask(ticket, Request::Committed),
            IncumbentOp::Snapshot(ticket) => self.ask(ticket, Request::Snapshot),
            IncumbentOp::ReleaseLock(ticket) => {
                self.seat.lock.release();
                links.end(value(ticket, Ok(())));
            }
            IncumbentOp::TryLock(ticket) => {
                links.end(tried_lock(ticket, self.seat.lock.try_lock()));
            }
            IncumbentOp::InspectPath(ticket) => links.end(match self.seat.inspect() {
                Ok(owner) => Box::new(move |feed| feed(ticket.done(owner))),
                Err(why) => failed(ticket, why),
            }),
            IncumbentOp::BindPath(ticket) => {
                let bound = self.bind();
                links.end(value(ticket, bound));
            }
            IncumbentOp::ListListeners(ticket) => links.end(listed(ticket, &self.kept)),
        }
    }

    fn cancel(&mut self, op: OpId) {
        if let Some((_, told)) = self.running.as_ref().filter(|(running, _)| *running == op) {
            told.store(true, Ordering::Release);
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

    fn observe(&mut self, seen: IncumbentEvent) {
        incumbent_saw(&seen);
        self.observer.tell(&seen);
    }

    fn accept(&mut self, links: &mut Links) -> Accepted {
        self.seat
            .accept(&self.allowed, |socket| links.adopt(socket))
    }
}

impl Drop for IncumbentHost {
    fn drop(&mut self) {
        self.seat.leave();
    }
}
