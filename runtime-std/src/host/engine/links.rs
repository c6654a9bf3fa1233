//! The sockets of a loop, and what came of the last steps.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use handoff_core::{Handles, LinkId};

use super::{Ended, Socket};

/// The open links, and what has ended since the machine was last asked.
pub struct Links<S: Socket = UnixStream> {
    open: BTreeMap<LinkId, Stream<S>>,
    next: u32,
    /// The number of the next descriptor that arrives.
    next_handle: u32,
    pub(super) ended: VecDeque<Ended>,
    pub(super) wrote: VecDeque<(LinkId, usize)>,
}

struct Stream<S> {
    socket: S,
    /// It took nothing the last time; wait until it does again.
    blocked: bool,
    /// Descriptors that arrived on it and that nobody has taken.
    descriptors: Vec<(u32, OwnedFd)>,
}

impl<S: Socket> Default for Links<S> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            next: 0,
            next_handle: 0,
            ended: VecDeque::new(),
            wrote: VecDeque::new(),
        }
    }
}

impl<S: Socket> Links<S> {
    /// Adopt a non-blocking stream and name it.
    pub fn adopt(&mut self, socket: S) -> LinkId {
        let link = LinkId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(
            link,
            Stream {
                socket,
                blocked: false,
                descriptors: Vec::new(),
            },
        );
        link
    }

    /// An operation has ended.
    pub fn end(&mut self, ended: Ended) {
        self.ended.push_back(ended);
    }

    /// Every open link: its name, its socket, and whether it is waited for until it takes bytes again.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &S, bool)> {
        let all = self.open.iter();
        all.map(|(link, stream)| (*link, &stream.socket, stream.blocked))
    }

    /// The socket of an open link.
    pub fn socket(&self, link: LinkId) -> Option<&S> {
        self.open.get(&link).map(|stream| &stream.socket)
    }

    /// Take descriptors that arrived, in order, from the link that they came on.
    pub fn take(&mut self, handles: Handles) -> Vec<OwnedFd> {
        let mut taken = Vec::new();
        for stream in self.open.values_mut() {
            let wanted = |(number, _): &mut (u32, OwnedFd)| handles.numbers().contains(number);
            taken.extend(stream.descriptors.extract_if(.., wanted));
        }
        taken
            .into_iter()
            .map(|(_, descriptor)| descriptor)
            .collect()
    }

    pub(super) fn names(&self) -> Vec<LinkId> {
        self.open.keys().copied().collect()
    }

    pub(super) fn close(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    /// Returns whether it was blocked.
    pub(super) fn unblock(&mut self, link: LinkId) -> bool {
        let stream = self.open.get_mut(&link);
        stream.is_some_and(|stream| std::mem::take(&mut stream.blocked))
    }

    /// Names descriptors that arrived.
    pub(super) fn name(&mut self, count: usize) -> Handles {
        let first = self.next_handle;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.next_handle = first.wrapping_add(count);
        Handles { first, count }
    }

    /// Keep descriptors with the link that they came on, until they are taken or it is closed.
    pub(super) fn hold(&mut self, link: LinkId, handles: Handles, came: &mut Vec<OwnedFd>) {
        if let Some(stream) = self.open.get_mut(&link) {
            stream
                .descriptors
                .extend(handles.numbers().zip(came.drain(..)));
        }
    }

    /// Write what the link takes now, and the descriptors with the first byte.
    pub(super) fn write(&mut self, link: LinkId, bytes: &[u8], with: &[BorrowedFd<'_>]) {
        let Some(stream) = self.open.get_mut(&link) else {
            return;
        };
        match stream.socket.send(bytes, with) {
            Ok(count) => self.wrote.push_back((link, count)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => stream.blocked = true,
            Err(e) if e.kind() == ErrorKind::Interrupted => self.wrote.push_back((link, 0)),
            // It is shut, so the reading side finds out, after what the peer sent before.
            Err(_) => {}
        }
    }
}
