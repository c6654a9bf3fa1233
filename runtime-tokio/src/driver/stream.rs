//! Sockets that the runtime watches.

use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use handoff_std::host::descriptors::{self, Received, Wanted};
use handoff_std::host::engine::Socket;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A descriptor of which the runtime says when it is ready.
///
/// tokio's own type for this, `AsyncFd`, is only to be had with unsafe code. A `UnixStream` watches
/// any non-blocking descriptor as well, as long as nothing is read or written through it.
pub(crate) struct Watched(UnixStream);

impl Watched {
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        UnixStream::from_std(descriptor.into()).map(Self)
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        fine(&self.0.poll_read_ready(cx))
    }

    /// Does something that reads. `WouldBlock` says that nothing is left to be read.
    pub(crate) fn read_io<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.try_io(Interest::READABLE, read)
    }
}

/// A link's socket.
#[derive(Clone)]
pub(crate) struct Stream(Arc<UnixStream>);

impl Stream {
    /// Has the runtime watch a non-blocking stream.
    pub(crate) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        UnixStream::from_std(stream).map(Arc::new).map(Self)
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        fine(&self.0.poll_read_ready(cx))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        fine(&self.0.poll_write_ready(cx))
    }

    /// Does something that reads. `WouldBlock` says that nothing is left to be read.
    pub(crate) fn read_io<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.try_io(Interest::READABLE, read)
    }
}

/// The runtime fails only when it shuts down, and then nobody is polled again.
fn fine(ready: &Poll<io::Result<()>>) -> Poll<()> {
    match ready {
        Poll::Ready(Ok(())) => Poll::Ready(()),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
    }
}

impl Socket for Stream {
    /// Straight from the socket: what has arrived counts, whether the runtime knows of it or not.
    fn receive(&self, room: &mut [u8], wanted: Wanted) -> io::Result<Received> {
        descriptors::receive(&*self.0, room, wanted)
    }

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let send = || descriptors::send(&*self.0, bytes, descriptors);
        match send() {
            // Once more, for the runtime to learn that the socket is full, and to wait.
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.0.try_io(Interest::WRITABLE, send),
            done => done,
        }
    }
}
