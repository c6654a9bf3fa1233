//! The sockets of a loop, and what came of the last steps.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

use handoff_core::LinkId;

use super::caller::Ended;

/// The open links, and what has ended since the machine was last asked.
#[derive(Default)]
pub(crate) struct Links {
    pub(super) open: BTreeMap<LinkId, Stream>,
    next: u32,
    pub(super) ended: VecDeque<Ended>,
    pub(super) wrote: VecDeque<(LinkId, usize)>,
}

pub(super) struct Stream {
    pub(super) socket: UnixStream,
    /// It took nothing the last time; wait until it does again.
    pub(super) blocked: bool,
}

impl Links {
    /// Adopt a non-blocking stream and name it.
    pub(crate) fn adopt(&mut self, socket: UnixStream) -> LinkId {
        let link = LinkId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(
            link,
            Stream {
                socket,
                blocked: false,
            },
        );
        link
    }

    /// An operation has ended.
    pub(crate) fn end(&mut self, ended: Ended) {
        self.ended.push_back(ended);
    }

    /// Write what the link takes now.
    pub(super) fn write(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(stream) = self.open.get_mut(&link) else {
            return;
        };
        match stream.socket.write(bytes) {
            Ok(count) => self.wrote.push_back((link, count)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => stream.blocked = true,
            Err(e) if e.kind() == ErrorKind::Interrupted => self.wrote.push_back((link, 0)),
            // The reading side finds out, after what the peer sent before.
            Err(_) => {}
        }
    }
}
