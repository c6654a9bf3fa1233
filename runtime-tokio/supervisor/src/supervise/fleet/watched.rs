//! A daemon whose end wakes the task that waits for it.

use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};
use std::time::Duration;

use super::super::daemon::Daemon;
use super::readiness::Readiness;

/// How often a process is looked at whose end nothing tells.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A daemon and its pidfd, on Linux. No SIGCHLD is needed for it, so none can be missed.
pub(super) struct Watched {
    daemon: Daemon,
    end: Option<Readiness>,
}

impl Watched {
    pub(super) fn new(daemon: Daemon) -> Self {
        let end = daemon.watch();
        let end = end.and_then(|watch| Readiness::owning(watch.into()).ok());
        Self { daemon, end }
    }

    /// Whether it has to be looked at every now and then.
    pub(super) const fn is_unwatched(&self) -> bool {
        self.end.is_none()
    }

    /// Ready when it is to be looked at.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.end {
            Some(end) => end.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Deref for Watched {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
