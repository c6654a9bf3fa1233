//! How other threads reach the loop: a channel for what they have to say, and a bell that wakes it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff_core::op::{Completion, Verdict};

use crate::hooks::Progress;

/// The end of an operation: owns what the completion borrows, and shows it when asked.
pub(crate) type Ended = Box<dyn FnOnce(&mut dyn FnMut(Completion<'_>)) + Send>;

/// What reaches the loop from other threads.
pub(crate) enum Call {
    Ended(Ended),
    /// A hook has come further; how far is in the caller's `latest`.
    Progress,
    /// The probation of this process has ended.
    Probation(Verdict),
    Stop,
}

/// Calls the loop from another thread.
#[derive(Clone)]
pub(crate) struct Caller {
    calls: Sender<Call>,
    bell: Arc<UnixStream>,
    /// Progress that the loop has not looked at yet.
    latest: Arc<Mutex<Option<Progress>>>,
}

impl Caller {
    /// A caller, and the loop's side of it: what is called, and the bell to poll.
    pub(super) fn new() -> io::Result<(Self, Receiver<Call>, UnixStream)> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ring.set_nonblocking(true)?;
        let (sender, calls) = mpsc::channel();
        let caller = Self {
            calls: sender,
            bell: Arc::new(ring),
            latest: Arc::default(),
        };
        Ok((caller, calls, bell))
    }

    pub(crate) fn call(&self, call: Call) {
        // A loop that has ended wants to hear nothing more; a full bell rings already.
        if self.calls.send(call).is_ok() {
            let _ = (&*self.bell).write(&[1]);
        }
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
