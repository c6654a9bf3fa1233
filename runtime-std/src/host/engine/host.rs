//! What an engine is given: the sockets as the runtime at hand has them, and who carries out the
//! operations.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use handoff_core::op::OpId;
use handoff_core::wire::Message;
use handoff_core::{LinkId, Observation, Role};

use super::Links;
use crate::host::descriptors::{self, Received, Wanted};

/// A connected, non-blocking Unix socket, as the runtime at hand has it.
pub trait Socket {
    /// Read what there is.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; otherwise the system's.
    fn receive(&self, room: &mut [u8], wanted: Wanted) -> io::Result<Received>;

    /// Write what the socket takes now; the descriptors go with the first byte.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; otherwise the system's. Nothing was sent then.
    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize>;
}

impl Socket for UnixStream {
    fn receive(&self, room: &mut [u8], wanted: Wanted) -> io::Result<Received> {
        descriptors::receive(self, room, wanted)
    }

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        descriptors::send(self, bytes, descriptors)
    }
}

/// For a loop that waits for a socket while another thread may close the link.
impl<S: Socket> Socket for Arc<S> {
    fn receive(&self, room: &mut [u8], wanted: Wanted) -> io::Result<Received> {
        (**self).receive(room, wanted)
    }

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        (**self).send(bytes, descriptors)
    }
}

/// What carries out a role's operations.
pub trait Host<R: Role<L>, const L: usize, S: Socket = UnixStream> {
    /// Start an operation; report its end through [`Links::end`] or [`Engine::end`](super::Engine::end).
    fn start(&mut self, op: R::Op, links: &mut Links<S>);
    /// An operation is no longer wanted.
    fn cancel(&mut self, op: OpId);
    /// Something was let be seen.
    fn observe(&mut self, seen: Observation<R::Phase>);
    /// A message came.
    fn message(&mut self, _: &Message<'_>) {}
    /// Whether descriptors are wanted that come with messages.
    const DESCRIPTORS: Wanted = Wanted::No;
    /// The descriptor that one of the handles to be sent stands for.
    fn descriptor(&self, _: u32) -> Option<BorrowedFd<'_>> {
        None
    }
    /// The listener, while there is one: for loops that poll descriptors.
    fn listener(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// The listener is ready: accept one connection.
    fn accept(&mut self, _: &mut Links<S>) -> Accepted {
        Accepted::Nothing
    }
}

/// What accepting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Nobody waits.
    Nothing,
    /// This one was no good; others may wait.
    Again,
    /// A connection, and the pid at its other end; 0 when unknown.
    Link(LinkId, u32),
    /// The control path no longer leads to a listener of ours.
    Unbound,
    /// Leave the listener alone for a while.
    BackOff,
}
