//! What an incumbent asks of its daemon, and the answers.
//!
//! A request is the daemon's to keep for as many turns of its loop as it takes; meanwhile the
//! supervisor has its heartbeats. It is answered once, by `done` or `failed`, from any thread.

use std::fmt::{Debug, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handoff_core::op::{self, Operation, Ticket};
use handoff_std::host::engine::{Ended, drained, failed, sealed, snapped, value};
use handoff_std::{DrainReport, Progress, Retirement, SealReport, Snapshot};

use crate::answers::Answers;

/// What the daemon is to do. No hook is asked for while another one is not answered, with two
/// exceptions: [`Snapshot`](Request::Snapshot) comes at any time, and a drain that is not answered
/// although it was cancelled does not keep [`Resume`](Request::Resume) waiting for ever.
#[derive(Debug)]
pub enum Request {
    /// Stop accepting, finish what is in flight, refuse new writes, and make every acknowledged write
    /// durable. Reads on open connections may go on.
    Drain(Drain),
    /// Flush and close the writer. The writer lock is released once this is done, and not before. A
    /// seal is never interrupted; one that is no longer wanted is undone by [`Resume`](Self::Resume).
    Seal(Seal),
    /// Open the writer again if the seal closed it, and accept again; also make listeners
    /// non-blocking again, since they are shared with a successor. Comes after every handoff that did
    /// not commit, whatever was reached, perhaps more than once.
    Resume(Resume),
    /// No older process can come back from here on: data may be migrated now. Comes once in a process
    /// that began as a successor. A failure is logged, and changes nothing.
    Committed(Committed),
    /// Say how the daemon is. Answer at once.
    Snapshot(Hook<op::Snapshot>),
    /// End the process, soon: after a commit another one serves already. It is the last request.
    Retire(Retirement),
}

/// [`Request::Drain`]. Dropped without an answer it has failed, as each of them has.
pub type Drain = Hook<op::Drain>;
/// [`Request::Seal`].
pub type Seal = Hook<op::Seal>;
/// [`Request::Resume`].
pub type Resume = Hook<op::Resume>;
/// [`Request::Committed`].
pub type Committed = Hook<op::Confirm>;

/// Why a request has failed that was dropped.
pub(crate) const NO_ANSWER: &str = "the daemon gave no answer";

/// One request, to be answered once. Dropping it says that it has failed.
#[must_use = "a request that is dropped has failed"]
pub struct Hook<K: Operation + 'static> {
    ticket: Option<Ticket<K>>,
    scene: Scene,
    answers: Answers,
}

/// What a request is about.
#[derive(Clone, Default)]
pub(crate) struct Scene {
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) generation: u64,
}

impl<K: Operation + 'static> Hook<K> {
    /// Without a ticket nobody but the loop waits for it.
    pub(crate) const fn new(ticket: Option<Ticket<K>>, scene: Scene, answers: Answers) -> Self {
        Self {
            ticket,
            scene,
            answers,
        }
    }

    /// It did not work. The text goes into the log and, as far as it fits, over the wire.
    pub fn failed(mut self, why: impl Display) {
        self.end(|ticket| failed(ticket, why.to_string()));
    }

    /// Whether it is not wanted any more: the handoff was given up. Always `false` for what cannot be
    /// given up.
    pub fn is_cancelled(&self) -> bool {
        self.scene.cancelled.load(Ordering::Acquire)
    }

    /// Ends it with what `end` makes of its ticket.
    pub(crate) fn end(&mut self, end: impl FnOnce(Ticket<K>) -> Ended) {
        match self.ticket.take() {
            Some(ticket) => self.answers.end(end(ticket)),
            None => self.answers.wake(),
        }
    }

    fn remaining_time(&self) -> Duration {
        self.scene.deadline.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }
}

impl<K: Operation + 'static> Drop for Hook<K> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.end(|ticket| failed(ticket, NO_ANSWER));
        }
    }
}

impl<K: Operation + 'static> Debug for Hook<K> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(K::NAME).finish_non_exhaustive()
    }
}

impl Hook<op::Drain> {
    /// When it should be done. Going on after it is allowed, but the supervisor will give the handoff
    /// up soon after.
    pub const fn deadline(&self) -> Option<Instant> {
        self.scene.deadline
    }

    /// Time left until [`deadline`](Self::deadline).
    pub fn remaining(&self) -> Duration {
        self.remaining_time()
    }

    /// The daemon has drained.
    pub fn done(mut self, report: DrainReport) {
        self.end(|ticket| drained(ticket, Ok(report)));
    }
}

impl Hook<op::Seal> {
    /// When it should be done.
    pub const fn deadline(&self) -> Option<Instant> {
        self.scene.deadline
    }

    /// Time left until [`deadline`](Self::deadline).
    pub fn remaining(&self) -> Duration {
        self.remaining_time()
    }

    /// Report how far it has come. The last report of a turn is sent on to the supervisor.
    pub fn progress(&self, progress: Progress) {
        self.answers.progress(progress);
    }

    /// The data is sealed.
    pub fn done(mut self, report: SealReport) {
        self.end(|ticket| sealed(ticket, Ok(report)));
    }
}

impl Hook<op::Resume> {
    /// The generation under which the writer lock is held: a fencing token. It is higher than every
    /// earlier one if the lock had been given back (`C2`), and the same as before if not (`C1`).
    pub const fn generation(&self) -> u64 {
        self.scene.generation
    }

    /// The daemon serves again.
    pub fn done(mut self) {
        self.end(|ticket| value(ticket, Ok(())));
    }
}

impl Hook<op::Confirm> {
    /// The daemon has taken it in.
    pub fn done(mut self) {
        self.end(|ticket| value(ticket, Ok(())));
    }
}

impl Hook<op::Snapshot> {
    /// This is how it is.
    pub fn done(mut self, snapshot: Snapshot) {
        self.end(|ticket| snapped(ticket, Ok(snapshot)));
    }
}
