//! How tasks and blocking threads reach the loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff_core::LinkId;
use handoff_core::op::Verdict;
use handoff_std::Progress;
use handoff_std::host::engine::{Ended, Links};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Stream;

/// What reaches the loop from elsewhere. There are never more of them than operations under way, and
/// a few.
pub(crate) enum Call {
    Ended(Ended),
    /// An operation has ended that opened a link, which the loop is to adopt.
    Linked(Adopt),
    /// A hook has come further; how far is in the caller's `latest`.
    Progress,
    /// The probation of this process has ended.
    Probation(Verdict),
    Stop,
}

/// Adopts a link that an operation has opened.
pub(crate) type Adopt = Box<dyn FnOnce(&mut Links<Stream>) -> Linked + Send>;

/// A link that an operation has opened.
pub(crate) struct Linked {
    /// `None` if it could not be adopted.
    pub(crate) link: Option<LinkId>,
    pub(crate) ended: Ended,
    /// Called when the machine does not want it any more.
    pub(crate) unwanted: Box<dyn FnOnce() + Send>,
}

/// Calls the loop, from anywhere, without waiting.
#[derive(Clone)]
pub(crate) struct Caller {
    calls: UnboundedSender<Call>,
    /// Progress that the loop has not looked at yet.
    latest: Arc<Mutex<Option<Progress>>>,
}

impl Caller {
    /// A caller, and the loop's side of it.
    pub(super) fn new() -> (Self, UnboundedReceiver<Call>) {
        let (sender, calls) = unbounded_channel();
        let caller = Self {
            calls: sender,
            latest: Arc::default(),
        };
        (caller, calls)
    }

    pub(crate) fn call(&self, call: Call) {
        // A loop that has ended wants to hear nothing more.
        let _ = self.calls.send(call);
    }

    pub(crate) fn end(&self, ended: Ended) {
        self.call(Call::Ended(ended));
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
