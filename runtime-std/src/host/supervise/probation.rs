//! The watch over a successor on probation, on a thread of its own.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handoff_core::op::{self, OpId, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::health::HealthCheck;
use super::{RollbackHandle, Vigil};
use crate::host::Process;
use crate::host::engine::{Ended, value};

/// How long to wait where it cannot be polled.
const REST: Duration = Duration::from_millis(100);

/// The thread that watches, from the loop's side.
pub struct WatchThread {
    op: OpId,
    thread: JoinHandle<()>,
}

impl WatchThread {
    /// Watch `process` until then, and `report` the end.
    pub fn start(
        ticket: Ticket<op::WatchProbation>,
        process: Process,
        until: Option<Instant>,
        health: Option<HealthCheck>,
        handle: &RollbackHandle,
        report: impl Fn(Ended) + Clone + Send + 'static,
    ) -> Option<Self> {
        let op = ticket.id();
        match spawn(process, until, health, handle, report.clone()) {
            Ok((give, thread)) => {
                // The thread waits for it.
                let _ = give.send(ticket);
                Some(Self { op, thread })
            }
            Err(error) => {
                handle.close();
                let why = Err(format!("cannot be watched: {error}"));
                report(value(ticket, why));
                None
            }
        }
    }

    /// The operation that it carries out.
    pub const fn op(&self) -> OpId {
        self.op
    }

    /// Wait for its end, which was asked for.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the thread that watches a probation has panicked");
        }
    }
}

/// The ticket is given to a thread that is there: one that cannot be started would lose it.
fn spawn(
    process: Process,
    until: Option<Instant>,
    health: Option<HealthCheck>,
    handle: &RollbackHandle,
    report: impl Fn(Ended) + Send + 'static,
) -> io::Result<(Sender<Ticket<op::WatchProbation>>, JoinHandle<()>)> {
    let (give, tickets) = mpsc::channel();
    let mut vigil = Vigil::new(process, until, health, handle)?;
    let thread = thread::Builder::new()
        .name("handoff-probation".into())
        .spawn(move || {
            let Ok(ticket) = tickets.recv() else { return };
            let result = loop {
                let now = Instant::now();
                match vigil.look(now) {
                    Some(result) => break result,
                    None => sleep(&vigil, now),
                }
            };
            report(value(ticket, result));
        })?;
    Ok((give, thread))
}

/// Until something has happened, or is due.
fn sleep(vigil: &Vigil, now: Instant) {
    let timeout = vigil
        .due(now)
        // An hour at a time keeps every platform's limit.
        .map(|at| {
            at.saturating_duration_since(now)
                .min(Duration::from_hours(1))
        })
        .map(Timespec::try_from);
    let mut fds: Vec<PollFd<'_>> = vigil
        .fds()
        .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, timeout.and_then(Result::ok).as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(_) => thread::sleep(REST),
    }
}
