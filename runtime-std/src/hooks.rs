//! What a daemon implements to be handed over: the hooks of [`Drainable`].
//!
//! The hooks run on a thread of their own, beside the control loop, so the loop goes on reading
//! its sockets, sends heartbeats, and notices an abort or a lost session while they work.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why a hook failed. Anything that is an error will do; its text goes into the log and, as far as
/// it fits, over the wire.
pub type HookError = Box<dyn Error + Send + Sync>;

/// The daemon's own part of a handoff.
///
/// A hook that returns an error or panics has failed: the handoff is given up, [`resume`] is called
/// and the daemon keeps the writer lock (`C1`). No hook is called while another one is running,
/// with one exception: a drain that does not come back after it was asked to stop does not keep
/// [`resume`] waiting for ever. As long as it runs, no other handoff is begun, since the lock is not
/// released while a hook may still write.
///
/// [`snapshot`](Drainable::snapshot) alone is called on a thread of its own, at any time.
///
/// [`resume`]: Drainable::resume
pub trait Drainable: Send + Sync + 'static {
    /// Stop accepting, finish what is in flight, refuse new writes, and make every acknowledged
    /// write durable. Reads on open connections may go on.
    ///
    /// Look at [`HookContext::is_cancelled`] in long waits: when the handoff is given up, the drain
    /// is asked to stop early.
    ///
    /// # Errors
    /// Whatever kept the daemon from draining; the handoff is then given up and `resume` follows.
    fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError>;

    /// Flush and close the writer. The library releases the writer lock once this has returned, and
    /// not before. A seal is never interrupted; one that is no longer wanted is undone by `resume`.
    ///
    /// # Errors
    /// Whatever kept the data from being sealed; the lock is kept and `resume` follows.
    fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError>;

    /// Open the writer again if `seal` closed it, and accept again. Called after every handoff that
    /// did not commit, whatever was reached, perhaps more than once; so it must be idempotent.
    /// Restore the descriptor flags that the runtime needs (`O_NONBLOCK` is shared with a successor
    /// through the listener).
    ///
    /// # Errors
    /// Whatever kept the daemon from serving again. It is tried a few times; then the process is
    /// told to leave, so that its supervisor can start it afresh.
    fn resume(&self) -> Result<(), HookError>;

    /// The generation under which the writer lock is held: a fencing token, to be stamped on what is
    /// written outside the data directory. Called before every `resume`. It is higher than every
    /// earlier one if the lock had been given back (`C2`), and the same as before if not (`C1`).
    fn generation(&self, generation: u64) {
        let _ = generation;
    }

    /// No older process can come back from here on, so the data may be changed in ways that an older
    /// version could not read: the migration goes here. Called once in a process that began as a
    /// successor: after Commit, or some seconds after the supervisor was lost or if it speaks version 1.
    /// A process that was started afresh is free from the beginning, and is not called.
    ///
    /// A handoff that is asked for while it runs waits for it.
    ///
    /// # Errors
    /// Are logged, and change nothing: the daemon serves on.
    fn committed(&self) -> Result<(), HookError> {
        Ok(())
    }

    /// A look at the daemon, for whoever asks for its status. Called beside other hooks,
    /// also in the middle of a drain: do not wait for them.
    fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }
}

/// For a daemon whose threads share it.
impl<D: Drainable> Drainable for Arc<D> {
    fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        (**self).drain(cx)
    }

    fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        (**self).seal(cx)
    }

    fn resume(&self) -> Result<(), HookError> {
        (**self).resume()
    }

    fn generation(&self, generation: u64) {
        (**self).generation(generation);
    }

    fn committed(&self) -> Result<(), HookError> {
        (**self).committed()
    }

    fn snapshot(&self) -> Snapshot {
        (**self).snapshot()
    }
}

/// What [`Drainable::drain`] reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections still open, for reading.
    pub open_connections: u32,
    /// Whether the daemon has stopped accepting.
    pub accept_closed: bool,
}

impl DrainReport {
    /// Nothing is open and nothing is accepted any more.
    pub const CLEAN: Self = Self {
        open_connections: 0,
        accept_closed: true,
    };
}

/// What [`Drainable::seal`] reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealReport {
    /// The last revision of each shard, in the daemon's own numbering.
    pub revisions: Vec<u64>,
    /// A fingerprint of the sealed data, in the daemon's own terms; zeroes when it has none.
    pub fingerprint: [u8; 32],
}

/// What [`Drainable::snapshot`] reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections open now.
    pub open_connections: u32,
    /// The last revision of each shard.
    pub revisions: Vec<u64>,
}

/// How far a seal has come; sent to the supervisor as it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Shards sealed so far.
    pub sealed: u32,
    /// Shards there are.
    pub total: u32,
    /// The last revision sealed.
    pub revision: u64,
}

/// A hook's view of the handoff it works for.
#[derive(Clone)]
pub struct HookContext {
    deadline: Option<Instant>,
    cancelled: Arc<Cancelled>,
    progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

#[derive(Debug, Default)]
struct Cancelled {
    flag: AtomicBool,
    lock: Mutex<()>,
    told: Condvar,
}

impl HookContext {
    /// A context for a hook that should be done by `deadline`.
    pub fn new(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            cancelled: Arc::default(),
            progress: None,
        }
    }

    /// When the hook should be done. Going on after it is allowed, but the supervisor will give the
    /// handoff up soon after.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time left until [`deadline`](Self::deadline); zero once it has passed, and the largest
    /// duration when there is none.
    pub fn remaining(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Whether the hook has been asked to stop early.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.flag.load(Ordering::Acquire)
    }

    /// Wait until the hook is asked to stop, but no longer than `timeout`. Returns whether it was.
    pub fn wait_cancelled(&self, timeout: Duration) -> bool {
        let guard = self
            .cancelled
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (_guard, _) = self
            .cancelled
            .told
            .wait_timeout_while(guard, timeout, |()| !self.is_cancelled())
            .unwrap_or_else(PoisonError::into_inner);
        self.is_cancelled()
    }

    /// Ask the hook to stop early.
    pub fn cancel(&self) {
        let _guard = self
            .cancelled
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.cancelled.flag.store(true, Ordering::Release);
        self.cancelled.told.notify_all();
    }

    /// Have progress reported to `report`.
    #[must_use]
    pub fn with_progress(mut self, report: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(report));
        self
    }

    /// Report how far the seal has come. It is sent on to the supervisor, unless an earlier report is
    /// still on its way; so it may be called as often as is convenient.
    pub fn progress(&self, progress: Progress) {
        if let Some(report) = &self.progress {
            report(progress);
        }
    }
}

impl fmt::Debug for HookContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookContext")
            .field("deadline", &self.deadline)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
