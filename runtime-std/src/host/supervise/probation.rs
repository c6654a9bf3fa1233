//! The watch over a successor on probation, on a thread of its own: it serves already, while the
//! incumbent, sealed, could still come back (`C8`).
//!
//! The probation is there for a [`RollbackHandle`] from the moment the phase is entered. Whoever
//! takes it out of its place ends it: the thread at its end, or the loop, which wants it no more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handoff_core::op::{self, OpId, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::health::{HealthCheck, Runs};
use super::life::Life;
use crate::host::Process;
use crate::host::engine::{Ended, value};

/// How often it is asked whether a process lives that cannot be watched.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Sends a successor on probation back, from any thread. Made by
/// [`Supervisor::rollback_handle`](crate::Supervisor::rollback_handle).
#[derive(Clone, Default)]
pub struct RollbackHandle {
    current: Arc<Mutex<Option<Current>>>,
}

/// A probation that is under way.
#[derive(Default)]
struct Current {
    /// An operator's words, if one wants the successor back.
    order: Option<String>,
    /// Closing it wakes the thread.
    wake: Option<UnixStream>,
}

impl RollbackHandle {
    /// Give the successor on probation up, so that the incumbent comes back (`C8`). `why` becomes
    /// part of the report's reason. Returns whether there was one; how it ended is in the report.
    ///
    /// `false` says that nothing will be undone: no handoff is on probation, or no longer. An
    /// incumbent that is lost at this very moment cannot come back; the successor stays then.
    pub fn rollback(&self, why: &str) -> bool {
        let mut current = self.lock();
        let Some(current) = current.as_mut() else {
            return false;
        };
        // The first words stand.
        current.order.get_or_insert_with(|| why.to_owned());
        current.wake = None;
        true
    }

    /// A probation has begun.
    pub(super) fn open(&self) {
        *self.lock() = Some(Current::default());
    }

    /// It is over, or not wanted any more. Its thread, if there is one, ends soon.
    pub fn close(&self) {
        *self.lock() = None;
    }

    /// What the thread polls: it ends when the thread is to look around.
    fn wake(&self) -> io::Result<UnixStream> {
        let (here, there) = UnixStream::pair()?;
        if let Some(current) = self.lock().as_mut().filter(|now| now.order.is_none()) {
            current.wake = Some(there);
        }
        Ok(here)
    }

    /// Whether the thread is to come to its end.
    fn is_ordered(&self) -> bool {
        self.lock().as_ref().is_none_or(|now| now.order.is_some())
    }

    /// Ends the probation: with this result, unless somebody has decided otherwise.
    fn conclude(&self, result: Result<(), String>) -> Result<(), String> {
        match self.lock().take() {
            Some(Current { order: None, .. }) => result,
            Some(Current {
                order: Some(why), ..
            }) => Err(format!("sent back: {why}")),
            None => Err("not watched any more".into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        match spawn(process, until, health, handle.clone(), report.clone()) {
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
    handle: RollbackHandle,
    report: impl Fn(Ended) + Send + 'static,
) -> io::Result<(Sender<Ticket<op::WatchProbation>>, JoinHandle<()>)> {
    let (give, tickets) = mpsc::channel();
    let wake = handle.wake()?;
    let thread = thread::Builder::new()
        .name("handoff-probation".into())
        .spawn(move || {
            let Ok(ticket) = tickets.recv() else { return };
            let watcher = Watcher {
                process,
                successor: Life::of(process),
                until,
                runs: health.map(|check| Runs::new(check, process.pid)),
                handle: handle.clone(),
                wake,
            };
            let result = handle.conclude(watcher.watch());
            report(value(ticket, result));
        })?;
    Ok((give, thread))
}

struct Watcher {
    process: Process,
    successor: Life,
    /// `None`: without end.
    until: Option<Instant>,
    runs: Option<Runs>,
    handle: RollbackHandle,
    wake: UnixStream,
}

impl Watcher {
    /// Watches to the end. Whatever runs then is killed and reaped on return.
    fn watch(mut self) -> Result<(), String> {
        loop {
            if self.handle.is_ordered() {
                // What that means is known to whoever did it.
                return Ok(());
            }
            if self.successor.is_over() {
                return Err(format!("its process, pid {}, is dead", self.process.pid));
            }
            let now = Instant::now();
            let over = self.until.is_some_and(|until| until <= now);
            if let Some(runs) = &mut self.runs {
                runs.look(now)?;
                if !over {
                    runs.start_if_due(now)?;
                }
            }
            if over && !self.is_checking() {
                return Ok(());
            }
            self.sleep(now);
        }
    }

    fn is_checking(&self) -> bool {
        self.runs.as_ref().is_some_and(Runs::is_running)
    }

    /// Until something has happened, or is due.
    fn sleep(&self, now: Instant) {
        let checking = self.is_checking();
        let run = self.runs.as_ref().and_then(Runs::fd);
        let successor = self.successor.fd();
        let blind = successor.is_none() || (checking && run.is_none());

        let due = self.runs.as_ref().and_then(Runs::due);
        // A run that is under way is waited for, however late it is.
        let until = self.until.filter(|_| !checking);
        let left = due
            .into_iter()
            .chain(until)
            .min()
            .map(|at| at.saturating_duration_since(now));
        let ask = blind.then_some(ASK_EVERY);
        let timeout = left
            .into_iter()
            .chain(ask)
            .min()
            // An hour at a time keeps every platform's limit.
            .map(|left| Timespec::try_from(left.min(Duration::from_hours(1))));
        let mut fds: Vec<PollFd<'_>> = [Some(self.wake.as_fd()), successor, run]
            .into_iter()
            .flatten()
            .map(|fd: BorrowedFd<'_>| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, timeout.and_then(Result::ok).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => thread::sleep(ASK_EVERY),
        }
    }
}
