//! What a daemon implements to be handed over: the hooks of [`Drainable`].
//!
//! Hooks run as tasks of their own, beside the control loop, so the loop goes on reading its sockets,
//! sends heartbeats, and notices an abort or a lost session while they work.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use handoff_std::{DrainReport, HookError, Progress, SealReport, Snapshot};
use tokio::sync::watch;
use tokio::time::Instant;

/// The daemon's own part of a handoff. Write each hook as an `async fn`:
///
/// ```
/// use handoff_tokio::{DrainReport, Drainable, HookContext, HookError, SealReport, blocking};
///
/// struct Daemon;
///
/// impl Drainable for Daemon {
///     async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
///         tokio::select! {
///             () = cx.cancelled() => Err("asked to stop".into()),
///             // ... wait until nothing is in flight any more
///             () = std::future::ready(()) => Ok(DrainReport::CLEAN),
///         }
///     }
///
///     async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
///         blocking(|| Ok(SealReport::default())).await // flush and close the files
///     }
///
///     async fn resume(&self) -> Result<(), HookError> {
///         Ok(())
///     }
/// }
/// ```
///
/// A hook that returns an error or panics has failed: the handoff is given up, [`resume`] is called
/// and the daemon keeps the writer lock (`C1`). No hook is called while another one is running,
/// with one exception: a drain that does not come back after it was asked to stop does not keep
/// [`resume`] waiting for ever. As long as it runs, no other handoff is begun, since the lock is not
/// released while a hook may still write.
///
/// A hook that blocks holds up a thread of the runtime, and with the current-thread flavour
/// everything: do such work through [`blocking`].
///
/// If the future of [`Incumbent::serve`](crate::Incumbent::serve) is dropped, a hook that runs is
/// dropped at its next await. What it had handed to [`blocking`] goes on to its end.
///
/// [`snapshot`](Drainable::snapshot) alone is called at any time, beside other hooks.
///
/// [`resume`]: Drainable::resume
pub trait Drainable: Send + Sync + 'static {
    /// Stop accepting, finish what is in flight, refuse new writes, and make every acknowledged
    /// write durable. Reads on open connections may go on.
    ///
    /// Listen to [`HookContext::cancelled`] in long waits: when the handoff is given up, the drain
    /// is asked to stop early.
    ///
    /// # Errors
    /// Whatever kept the daemon from draining; the handoff is then given up and `resume` follows.
    fn drain(
        &self,
        cx: &HookContext,
    ) -> impl Future<Output = Result<DrainReport, HookError>> + Send;

    /// Flush and close the writer. The library releases the writer lock once this has returned, and
    /// not before. A seal is never interrupted; one that is no longer wanted is undone by `resume`.
    ///
    /// # Errors
    /// Whatever kept the data from being sealed; the lock is kept and `resume` follows.
    fn seal(&self, cx: &HookContext) -> impl Future<Output = Result<SealReport, HookError>> + Send;

    /// Open the writer again if `seal` closed it, and accept again. Called after every handoff that
    /// did not commit, whatever was reached, perhaps more than once; so it must be idempotent.
    /// Make the listeners non-blocking again ([`nonblocking`](crate::nonblocking)): the flag is shared
    /// with a successor, which may have changed it.
    ///
    /// # Errors
    /// Whatever kept the daemon from serving again. It is tried a few times; then the process is
    /// told to leave, so that its supervisor can start it afresh.
    fn resume(&self) -> impl Future<Output = Result<(), HookError>> + Send;

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
    fn committed(&self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// A look at the daemon, for logs and for whoever asks for its status. Called beside other hooks,
    /// also in the middle of a drain: do not wait for them.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send {
        async { Snapshot::default() }
    }
}

/// For a daemon whose tasks share it.
impl<D: Drainable> Drainable for Arc<D> {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        (**self).drain(cx).await
    }

    async fn seal(&self, cx: &HookContext) -> Result<SealReport, HookError> {
        (**self).seal(cx).await
    }

    async fn resume(&self) -> Result<(), HookError> {
        (**self).resume().await
    }

    fn generation(&self, generation: u64) {
        (**self).generation(generation);
    }

    async fn committed(&self) -> Result<(), HookError> {
        (**self).committed().await
    }

    async fn snapshot(&self) -> Snapshot {
        (**self).snapshot().await
    }
}

/// A hook's view of the handoff it works for.
#[derive(Clone)]
pub struct HookContext {
    deadline: Option<Instant>,
    cancelled: watch::Sender<bool>,
    progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl HookContext {
    /// A context for a hook that should be done by `deadline`.
    pub fn new(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            cancelled: watch::Sender::new(false),
            progress: None,
        }
    }

    /// When the hook should be done. Going on after it is allowed, but the supervisor will give the
    /// handoff up soon after.
    pub const fn deadline(&self) -> Option<Instant> {
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
        *self.cancelled.borrow()
    }

    /// Wait until the hook is asked to stop early. Can be dropped and awaited again.
    pub async fn cancelled(&self) {
        // The sender is ours, so it does not go away.
        let _ = self.cancelled.subscribe().wait_for(|told| *told).await;
    }

    /// Ask the hook to stop early.
    pub fn cancel(&self) {
        self.cancelled.send_replace(true);
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

/// Do work of a hook that blocks (files, fsync, a database without async) on the runtime's threads
/// for such work. A panic in it is one of the hook.
///
/// Once begun it goes to its end, even if the hook is dropped meanwhile.
///
/// # Errors
/// Those of `work`, and one when the runtime shuts down.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HookError> + Send + 'static,
) -> Result<T, HookError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(error.into()),
        },
    }
}
