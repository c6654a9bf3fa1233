//! What other threads have to say to the loop.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use handoff_core::op::Verdict;

use crate::hooks::Progress;
use crate::host::calls::{self, Calls};
use crate::host::engine::Ended;

/// What reaches the loop from other threads.
pub(crate) enum Call {
    Ended(Ended),
    /// A hook has come further; how far is in the caller's `latest`.
    Progress,
    /// The probation of this process has ended.
    Probation(Verdict),
    Stop,
}

/// The loop, for callers that have a turn themselves.
pub(super) trait Inside: Send + Sync {
    /// Takes what is queued, if the loop is waiting. Returns whether it may go on waiting.
    fn hand_in(&self) -> bool;
}

/// Calls the loop from another thread.
#[derive(Clone)]
pub(crate) struct Caller {
    calls: calls::Caller<Call>,
    /// Filled once there is a loop that lets callers in.
    inside: Arc<OnceLock<Weak<dyn Inside>>>,
    /// Progress that the loop has not looked at yet.
    latest: Arc<Mutex<Option<Progress>>>,
}

impl Caller {
    /// A caller, and the loop's side of it.
    pub(super) fn new() -> io::Result<(Self, Calls<Call>)> {
        let calls = Calls::new()?;
        let caller = Self {
            calls: calls.caller(),
            inside: Arc::default(),
            latest: Arc::default(),
        };
        Ok((caller, calls))
    }

    pub(crate) fn call(&self, call: Call) {
        self.calls.call(call);
    }

    /// An operation has ended. This thread goes through what follows from that, unless another one has a
    /// turn with the machine just now.
    pub(crate) fn end(&self, ended: Ended) {
        if !self.calls.queue(Call::Ended(ended)) {
            return;
        }
        let inside = self.inside.get().and_then(Weak::upgrade);
        if !inside.is_some_and(|inside| inside.hand_in()) {
            self.calls.ring();
        }
    }

    /// Callers may have a turn with this loop.
    pub(super) fn let_in(&self, inside: Weak<dyn Inside>) {
        // One loop in all.
        let _ = self.inside.set(inside);
    }

    /// Reports progress. However often a hook does, one call at most is under way, and the last
    /// report counts.
    pub(crate) fn progress(&self, progress: Progress) {
        if self.latest().replace(progress).is_none() {
            self.call(Call::Progress);
        }
    }

    /// The progress that was reported last, once.
    pub(super) fn take_progress(&self) -> Option<Progress> {
        self.latest().take()
    }

    fn latest(&self) -> MutexGuard<'_, Option<Progress>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
