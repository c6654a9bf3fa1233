//! The successor's control task, and what the daemon waits for on it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use handoff_core::op::{self, OpId, Operation, Ticket, Verdict};
use handoff_core::successor::Phase;
use handoff_core::wire::Message;
use handoff_core::{Observation, SuccessorOp, SuccessorOutcome};
use handoff_std::host::StagedControl;
use handoff_std::host::engine::{
    Ended, Host, Links, failed, opened, successor_heard, successor_saw, tried_lock, value,
};
use handoff_std::{Readiness, SuccessorError};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::driver::{Call, Caller, Door, Driver, Flow, Stream};
use crate::seat::Seat;
use crate::task::blocking;

/// What the control task has reached.
pub(super) enum Milestone {
    Warming(Ticket<op::WarmUp>),
    Begun(Ticket<op::Open>),
    /// The daemon is the incumbent, with the control path if it could be had.
    Serving {
        published: bool,
    },
    Ended(Box<SuccessorOutcome>),
}

impl Milestone {
    /// Why this one ends a wait for another.
    pub(super) fn out_of_order(self) -> SuccessorError {
        match self {
            Self::Ended(outcome) => match *outcome {
                SuccessorOutcome::Failed(cause) => SuccessorError::GaveUp(Box::new(cause)),
                SuccessorOutcome::Serving { .. } => io::Error::other("out of order").into(),
            },
            _ => io::Error::other("out of order").into(),
        }
    }
}

/// The daemon's end of the control task. Dropping it ends the task, and with it the session.
pub(crate) struct Control {
    caller: Caller,
    milestones: UnboundedReceiver<Milestone>,
    cancelled: watch::Receiver<bool>,
}

impl Control {
    /// Starts the task. How the probation ends is told to `incumbent`.
    pub(super) fn start(
        mut driver: Driver<handoff_core::Successor, 1>,
        seat: Seat,
        incumbent: Caller,
    ) -> Self {
        let (report, milestones) = unbounded_channel();
        let (cancel, cancelled) = watch::channel(false);
        let caller = driver.caller();
        let mut host = SuccessorHost {
            seat,
            staged: Arc::default(),
            caller: caller.clone(),
            report,
            cancel,
        };
        tokio::spawn(async move {
            let Flow::Done(outcome) = driver.run(&mut host).await else {
                return;
            };
            // Before the channel is closed: a supervisor that sees it closed may begin the next
            // handoff, which must not find a daemon that is still on probation.
            incumbent.call(Call::Probation(match outcome {
                SuccessorOutcome::Serving { verdict, .. } => verdict,
                SuccessorOutcome::Failed(_) => {
                    host.cancel.send_replace(true);
                    Verdict::Dismissed
                }
            }));
            let _ = host.report.send(Milestone::Ended(Box::new(outcome)));
        });
        Self {
            caller,
            milestones,
            cancelled,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Milestone, SuccessorError> {
        let next = self.milestones.recv().await;
        next.ok_or_else(|| io::Error::other("the control task has ended").into())
    }

    /// What has been reached by now without waiting: the lock, if the supervisor did not wait for
    /// Standby.
    fn begun_already(&mut self) -> Result<Option<Ticket<op::Open>>, SuccessorError> {
        match self.milestones.try_recv() {
            Ok(Milestone::Begun(ticket)) => Ok(Some(ticket)),
            Ok(other) => Err(other.out_of_order()),
            // One that has ended says so at the next step.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
        }
    }

    /// Reports a failure.
    fn fail<K: Operation + 'static>(&self, ticket: Option<Ticket<K>>, why: &str) {
        if let Some(ticket) = ticket {
            self.caller.end(failed(ticket, why));
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Behind what was called before: a failure, whose last word is written when the task stops.
        self.caller.call(Call::Stop);
    }
}

/// An operation that the daemon carries out in its own task. Dropping it reports a failure.
pub(super) struct Awaited<K: Operation + 'static> {
    ticket: Option<Ticket<K>>,
    /// A later step that was reached already: the lock was taken before the daemon was warm.
    begun: Option<Ticket<op::Open>>,
    control: Option<Control>,
    /// What is said when it is dropped.
    words: &'static str,
}

impl<K: Operation + 'static> Awaited<K> {
    pub(super) const fn new(
        ticket: Option<Ticket<K>>,
        begun: Option<Ticket<op::Open>>,
        control: Control,
        words: &'static str,
    ) -> Self {
        Self {
            ticket,
            begun,
            control: Some(control),
            words,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        let control = self.control.as_ref();
        control.is_none_or(|control| *control.cancelled.borrow())
    }

    pub(super) async fn cancelled(&self) {
        if let Some(control) = &self.control {
            let mut cancelled = control.cancelled.clone();
            // A task that has ended without a word has given up as well.
            let _ = cancelled.wait_for(|told| *told).await;
        }
    }

    fn end(mut self, ended: impl FnOnce(Ticket<K>) -> Ended) -> Result<Control, SuccessorError> {
        let control = self.control.take();
        let control = control.ok_or_else(|| io::Error::other("this step was ended before"))?;
        if let Some(ticket) = self.ticket.take() {
            control.caller.end(ended(ticket));
        }
        Ok(control)
    }

    /// Reports a failure, and sees the machine to its end, so that its last word is written.
    pub(super) async fn give_up(mut self, why: &str) {
        let Some(mut control) = self.control.take() else {
            return;
        };
        control.fail(self.ticket.take(), why);
        control.fail(self.begun.take(), why);
        loop {
            match control.next().await {
                Ok(Milestone::Begun(ticket)) => control.fail(Some(ticket), why),
                Ok(Milestone::Warming(_)) => {}
                Ok(Milestone::Serving { .. } | Milestone::Ended(_)) | Err(_) => return,
            }
        }
    }
}

impl Awaited<op::WarmUp> {
    /// The daemon is warm.
    pub(super) fn warm(mut self) -> Result<(Control, Option<Ticket<op::Open>>), SuccessorError> {
        let begun = self.begun.take();
        let mut control = self.end(|ticket| value(ticket, Ok(())))?;
        match begun {
            Some(ticket) => Ok((control, Some(ticket))),
            None => control.begun_already().map(|begun| (control, begun)),
        }
    }
}

impl Awaited<op::Open> {
    /// The daemon is ready.
    pub(super) fn ready(self, readiness: Readiness) -> Result<Control, SuccessorError> {
        self.end(|ticket| opened(ticket, readiness))
    }
}

impl<K: Operation + 'static> Drop for Awaited<K> {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.fail(self.ticket.take(), self.words);
            control.fail(self.begun.take(), self.words);
        }
    }
}

struct SuccessorHost {
    seat: Seat,
    /// The control socket under its temporary name.
    staged: Arc<Mutex<Option<StagedControl>>>,
    caller: Caller,
    report: UnboundedSender<Milestone>,
    cancel: watch::Sender<bool>,
}

impl SuccessorHost {
    /// Binds on a blocking thread. It goes to its end even if the operation is given up.
    fn stage(&self, ticket: Ticket<op::StagePath>) {
        let (seat, slot) = (self.seat.clone(), Arc::clone(&self.staged));
        let caller = self.caller.clone();
        blocking(move || {
            let staged = seat.stage().map(|staged| {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(staged);
            });
            // Whoever hears it may rely on it that nothing is left here.
            drop((seat, slot));
            caller.end(value(ticket, staged));
        });
    }

    fn publish(&self) -> Result<(), String> {
        let slot = self.staged.lock();
        let staged = slot.unwrap_or_else(PoisonError::into_inner).take();
        let staged = staged.ok_or("no control socket was staged")?;
        self.seat.publish(staged)
    }
}

impl Host<handoff_core::Successor, 1, Stream> for SuccessorHost {
    fn start(&mut self, op: SuccessorOp, links: &mut Links<Stream>) {
        match op {
            SuccessorOp::StagePath(ticket) => self.stage(ticket),
            // The daemon warms up and opens its data in its own task.
            SuccessorOp::WarmUp(ticket) => drop(self.report.send(Milestone::Warming(ticket))),
            // A handful of system calls that wait for no other process, inside the pause, in which the daemon
            // has nothing else to do: a blocking thread would have to be woken for them, or started.
            SuccessorOp::TryLock(ticket) => {
                links.end(tried_lock(ticket, self.seat.try_lock()));
            }
            SuccessorOp::Open(ticket) => drop(self.report.send(Milestone::Begun(ticket))),
            SuccessorOp::PublishPath(ticket) => {
                let published = self.publish();
                links.end(value(ticket, published));
            }
            SuccessorOp::Serve {
                ticket, published, ..
            } => {
                drop(self.report.send(Milestone::Serving { published }));
                links.end(value(ticket, Ok(())));
            }
        }
    }

    fn cancel(&mut self, _: OpId) {
        self.cancel.send_replace(true);
    }

    fn message(&mut self, message: &Message<'_>) {
        successor_heard(message);
    }

    fn observe(&mut self, seen: Observation<Phase>) {
        successor_saw(&seen);
    }
}

impl Door for SuccessorHost {}
