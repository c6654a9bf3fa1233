//! The successor's control thread, and what the daemon waits for on it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};

use handoff_core::op::{self, OpId, Operation, Ticket, Verdict};
use handoff_core::successor::Phase;
use handoff_core::wire::Message;
use handoff_core::{Observation, SuccessorOp, SuccessorOutcome};

use super::{Readiness, SuccessorError};
use crate::driver::{Call, Caller, Driver, Ended, Flow, Host, Links, Local, Stream, Wake};
use crate::host::Seat;
use crate::host::engine::{failed, opened, successor_heard, successor_saw, tried_lock, value};

/// What the control thread has reached.
pub(super) enum Milestone {
    Warming(Ticket<op::WarmUp>),
    Begun(Ticket<op::Open>),
    /// The daemon is the incumbent, and has the seat, with the control path if it could be had.
    Serving(Box<Seat>),
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

/// The daemon's end of the control thread. Dropping it ends the thread, and with it the session.
pub(crate) struct Control {
    caller: Caller,
    milestones: Receiver<Milestone>,
    cancelled: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts the thread. How the probation ends is told to `incumbent`.
    pub(super) fn start(
        driver: Driver<handoff_core::Successor, 1>,
        seat: Seat,
        incumbent: Caller,
    ) -> io::Result<Self> {
        let (report, milestones) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let caller = driver.caller();
        let host = SuccessorHost {
            seat,
            report,
            wakes: Vec::new(),
            cancelled: Arc::clone(&cancelled),
        };
        let thread = thread::Builder::new()
            .name("handoff-control".into())
            .spawn(move || {
                let (flow, mut turn) = driver.run_shared(host);
                let host = &mut turn.host;
                host.seat.unstage();
                let Flow::Done(outcome) = flow else {
                    return;
                };
                // Before the channel is closed: a supervisor that sees it closed may begin the next
                // handoff, which must not find a daemon that is still on probation.
                incumbent.call(Call::Probation(match outcome {
                    SuccessorOutcome::Serving { verdict, .. } => verdict,
                    SuccessorOutcome::Failed(_) => {
                        host.cancelled.store(true, Ordering::Release);
                        Verdict::Dismissed
                    }
                }));
                let _ = host.report.send(Milestone::Ended(Box::new(outcome)));
            })?;
        Ok(Self {
            caller,
            milestones,
            cancelled,
            thread: Some(thread),
        })
    }

    pub(super) fn next(&self) -> Result<Milestone, SuccessorError> {
        self.milestones
            .recv()
            .map_err(|_| io::Error::other("the control thread has ended").into())
    }

    /// What has been reached by now without waiting: the lock, if the supervisor did not wait for
    /// Standby.
    fn begun_already(&self) -> Result<Option<Ticket<op::Open>>, SuccessorError> {
        match self.milestones.try_recv() {
            Ok(Milestone::Begun(ticket)) => Ok(Some(ticket)),
            Ok(other) => Err(other.out_of_order()),
            // One that has ended says so at the next step.
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.caller.call(Call::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An operation that the daemon carries out on its own thread. Dropping it reports a failure.
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
        self.control.as_ref().is_none_or(Control::is_cancelled)
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
    pub(super) fn fail(&mut self, why: &str) {
        let Some(control) = self.control.take() else {
            return;
        };
        if let Some(ticket) = self.ticket.take() {
            control.caller.end(failed(ticket, why));
        }
        loop {
            if let Some(ticket) = self.begun.take() {
                control.caller.end(failed(ticket, why));
            }
            match control.milestones.recv() {
                Ok(Milestone::Begun(ticket)) => self.begun = Some(ticket),
                Ok(Milestone::Warming(_)) => {}
                Ok(Milestone::Serving(_) | Milestone::Ended(_)) | Err(_) => return,
            }
        }
    }
}

impl Awaited<op::WarmUp> {
    /// The daemon is warm.
    pub(super) fn warm(mut self) -> Result<(Control, Option<Ticket<op::Open>>), SuccessorError> {
        let begun = self.begun.take();
        let control = self.end(|ticket| value(ticket, Ok(())))?;
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
        self.fail(self.words);
    }
}

struct SuccessorHost {
    seat: Seat,
    report: Sender<Milestone>,
    wakes: Vec<Wake>,
    cancelled: Arc<AtomicBool>,
}

impl SuccessorHost {
    fn reached(&mut self, milestone: Milestone) {
        let report = self.report.clone();
        // A daemon that waits for nothing more has stopped the loop.
        self.wakes
            .push(Box::new(move || drop(report.send(milestone))));
    }
}

impl Local for SuccessorHost {
    fn wakes(&mut self) -> Vec<Wake> {
        std::mem::take(&mut self.wakes)
    }
}

impl Host<handoff_core::Successor, 1, Stream> for SuccessorHost {
    fn start(&mut self, op: SuccessorOp, links: &mut Links) {
        match op {
            SuccessorOp::StagePath(ticket) => {
                let staged = self.seat.stage();
                links.end(value(ticket, staged));
            }
            // The daemon warms up and opens its data on its own thread.
            SuccessorOp::WarmUp(ticket) => self.reached(Milestone::Warming(ticket)),
            SuccessorOp::TryLock(ticket) => {
                links.end(tried_lock(ticket, self.seat.lock.try_lock()));
            }
            SuccessorOp::Open(ticket) => self.reached(Milestone::Begun(ticket)),
            SuccessorOp::PublishPath(ticket) => {
                let published = self.seat.publish();
                links.end(value(ticket, published));
            }
            SuccessorOp::Serve { ticket, .. } => {
                let seat = Box::new(self.seat.hand_over());
                self.reached(Milestone::Serving(seat));
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
