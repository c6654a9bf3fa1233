//! The way back into a loop, for whoever carries out what it has asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff_std::Progress;
use handoff_std::host::engine::Ended;
use mio::Waker;

/// Where answers are put. Clones lead to the same loop, from any thread.
#[derive(Clone)]
pub(crate) struct Answers {
    inbox: Arc<Mutex<Inbox>>,
    waker: Arc<Waker>,
}

/// Answers that the loop has not taken yet.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) ended: Vec<Ended>,
    /// The last report of a hook counts.
    pub(crate) progress: Option<Progress>,
}

impl Answers {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self {
            inbox: Arc::default(),
            waker,
        }
    }

    /// An operation has ended.
    pub(crate) fn end(&self, ended: Ended) {
        self.put(ended);
        self.wake();
    }

    /// The same, in the loop itself, which will take it in this turn.
    pub(crate) fn put(&self, ended: Ended) {
        self.lock().ended.push(ended);
    }

    /// A hook has come this far.
    pub(crate) fn progress(&self, progress: Progress) {
        // Whoever has not taken the last report was woken for it.
        if self.lock().progress.replace(progress).is_none() {
            self.wake();
        }
    }

    /// All that has come.
    pub(crate) fn take(&self) -> Inbox {
        std::mem::take(&mut *self.lock())
    }

    /// Have the loop look around.
    pub(crate) fn wake(&self) {
        // The answer is found at the next turn, whatever brings it about.
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "a loop cannot be woken for an answer");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
