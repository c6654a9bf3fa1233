//! Whether a process lives, to be polled where the system can and asked for where it cannot.

use std::os::fd::{AsFd, BorrowedFd};

use crate::host::{Process, Watch, Watching};

/// A process that is watched.
pub(super) struct Life {
    process: Process,
    watch: Option<Watch>,
}

impl Life {
    pub(super) fn of(process: Process) -> Self {
        let watch = match process.watch() {
            Ok(Watching::Pollable(watch)) => Some(watch),
            // One that is dead, or that cannot be watched now, is asked for.
            Ok(Watching::Dead | Watching::Unsupported) | Err(_) => None,
        };
        Self { process, watch }
    }

    /// What to poll for its end; `None`: ask now and then.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is dead, reaped or not.
    pub(super) fn is_over(&self) -> bool {
        match &self.watch {
            Some(watch) => watch.is_dead(),
            None => !self.process.is_alive(),
        }
    }
}
