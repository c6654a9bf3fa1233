//! Whether a process lives, to be polled where the system can and asked for where it cannot.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::{Process, Watch, Watching};

/// How often it is asked for where it cannot be polled.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A process that is watched.
#[derive(Debug)]
pub struct Life {
    process: Process,
    watch: Option<Watch>,
}

impl Life {
    /// Watch this process from now on.
    pub fn of(process: Process) -> Self {
        let watch = match process.watch() {
            Ok(Watching::Pollable(watch)) => Some(watch),
            // One that is dead, or that cannot be watched now, is asked for.
            Ok(Watching::Dead | Watching::Unsupported) | Err(_) => None,
        };
        Self { process, watch }
    }

    /// Which process it is.
    pub const fn process(&self) -> Process {
        self.process
    }

    /// What to poll for its end: readable from then on. `None`: there is nothing to poll.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// When to ask again, if there is nothing to poll.
    pub fn ask_at(&self, now: Instant) -> Option<Instant> {
        self.watch.is_none().then(|| now.checked_add(ASK_EVERY))?
    }

    /// Whether it is dead, reaped or not. Does not wait.
    pub fn is_over(&self) -> bool {
        match &self.watch {
            Some(watch) => watch.is_dead(),
            None => !self.process.is_alive(),
        }
    }
}
