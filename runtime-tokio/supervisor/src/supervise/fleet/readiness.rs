//! A descriptor whose readiness wakes a task.
//!
//! tokio's own type for this, `AsyncFd`, is only to be had with unsafe code. A `UnixStream` watches
//! whatever descriptor it is made of, and nothing is read from it here.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net;
use std::task::{Context, Poll};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Watches a descriptor.
pub(super) struct Readiness(UnixStream);

impl Readiness {
    /// Of a descriptor that it shares. It becomes non-blocking.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::owning(fd.try_clone_to_owned()?)
    }

    /// Of one that nobody else has. It becomes non-blocking.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn owning(fd: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        Ok(Self(UnixStream::from_std(net::UnixStream::from(fd))?))
    }

    /// Ready once it is to be looked at. The look must come after this.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.0.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => {
                // What comes after the look makes it ready anew.
                let cleared = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _ = self.0.try_io(Interest::READABLE, cleared);
                Poll::Ready(())
            }
            // The runtime shuts down.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}
