//! The successor's machine, and what carries out its operations.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use handoff_core::op::{self, OpId, Operation, Ticket};
use handoff_core::successor::Phase;
use handoff_core::wire::Message;
use handoff_core::{Observation, SuccessorOp, SuccessorOutcome};
use handoff_std::host::engine::{
    Host, Links, failed, successor_heard, successor_saw, tried_lock, value,
};
use handoff_std::host::{InheritedListeners, Seat};
use mio::Registry;

use super::{Begun, Serving, Step, Warming};
use crate::answers::Answers;
use crate::driver::Driver;
use crate::hub::{Hub, Wake};
use crate::incumbent::watch_door;
use crate::request::{Hook, Scene};

/// The successor's machine, which goes on beside the incumbent's until the probation has ended.
pub(crate) struct Probation {
    pub(super) driver: Driver<handoff_core::Successor, 1>,
    pub(super) host: SuccessorHost,
}

impl Probation {
    pub(crate) fn timeout(&mut self) -> Option<Duration> {
        self.driver.timeout()
    }

    pub(crate) fn turn(&mut self, hub: &Hub, wakes: &[Wake]) {
        self.driver.turn(&mut self.host, hub, wakes);
    }

    pub(crate) fn outcome(&self) -> Option<SuccessorOutcome> {
        self.driver.engine.outcome()
    }
}

/// What carries out a successor's operations: its seat here, and its hooks as steps.
pub(super) struct SuccessorHost {
    pub(super) seat: Seat,
    /// Where the control socket is registered.
    registry: Arc<Registry>,
    pub(super) steps: VecDeque<Step>,
    /// It is the incumbent, whatever becomes of its session.
    pub(super) serves: bool,
    /// The daemon was asked to warm up.
    asked: bool,
    /// How the warm-up went, once it has ended.
    warm: Arc<OnceLock<Result<(), String>>>,
    /// The lock was taken, before the daemon was warm: its supervisor did not wait, or is lost.
    begun: Option<Ticket<op::Open>>,
    /// Until it has begun.
    pub(super) listeners: InheritedListeners,
    answers: Answers,
    cancelled: Arc<AtomicBool>,
}

impl SuccessorHost {
    pub(super) fn new(
        seat: Seat,
        listeners: InheritedListeners,
        hub: &Hub,
        driver: &Driver<handoff_core::Successor, 1>,
    ) -> Self {
        Self {
            seat,
            registry: Arc::clone(hub.registry()),
            steps: VecDeque::new(),
            serves: false,
            asked: false,
            warm: Arc::default(),
            begun: None,
            listeners,
            answers: driver.answers.clone(),
            cancelled: Arc::default(),
        }
    }

    fn hook<K: Operation>(&self, ticket: Option<Ticket<K>>) -> Hook<K> {
        let scene = Scene {
            cancelled: Arc::clone(&self.cancelled),
            ..Scene::default()
        };
        Hook::new(ticket, scene, self.answers.clone())
    }

    fn warm_up(&mut self, ticket: Option<Ticket<op::WarmUp>>) {
        self.steps.push_back(Step::WarmUp(Warming {
            hook: self.hook(ticket),
            warm: Arc::clone(&self.warm),
        }));
    }

    /// Lets the daemon open its data, once it has the lock and is warm.
    pub(super) fn open_when_warm(&mut self) {
        let Some(warm) = self.warm.get() else { return };
        let Some(ticket) = self.begun.take() else {
            return;
        };
        match warm {
            Ok(()) => self.steps.push_back(Step::Open(Begun {
                hook: self.hook(Some(ticket)),
                generation: self.seat.lock.generation(),
                listeners: std::mem::take(&mut self.listeners),
            })),
            Err(why) => self.answers.end(failed(ticket, why)),
        }
    }

    fn publish(&mut self) -> Result<(), String> {
        self.seat.publish()?;
        watch_door(&self.seat, &self.registry).map_err(|e| {
            // One that nobody hears of is none; the incumbent binds the path anew.
            self.seat.unbind();
            format!("the control socket cannot be watched: {e}")
        })
    }
}

/// A daemon that gives up leaves no control path behind that leads to nobody.
impl Drop for SuccessorHost {
    fn drop(&mut self) {
        self.seat.leave();
    }
}

impl Host<handoff_core::Successor, 1> for SuccessorHost {
    fn start(&mut self, op: SuccessorOp, links: &mut Links) {
        match op {
            SuccessorOp::StagePath(ticket) => {
                let staged = self.seat.stage();
                links.end(value(ticket, staged));
            }
            SuccessorOp::WarmUp(ticket) => {
                self.asked = true;
                self.warm_up(Some(ticket));
            }
            SuccessorOp::TryLock(ticket) => {
                links.end(tried_lock(ticket, self.seat.lock.try_lock()));
            }
            SuccessorOp::Open(ticket) => {
                self.begun = Some(ticket);
                if !self.asked {
                    // The session was lost before HelloAck, and nobody else was left (`C3`).
                    self.warm_up(None);
                }
            }
            SuccessorOp::PublishPath(ticket) => {
                let published = self.publish();
                links.end(value(ticket, published));
            }
            SuccessorOp::Serve { ticket, .. } => {
                self.serves = true;
                self.steps.push_back(Step::Serve(Serving(())));
                links.end(value(ticket, Ok(())));
            }
        }
    }

    fn cancel(&mut self, _: OpId) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn message(&mut self, message: &Message<'_>) {
        successor_heard(message);
    }

    fn observe(&mut self, seen: Observation<Phase>) {
        successor_saw(&seen);
    }
}
