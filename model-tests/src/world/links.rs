//! Connections: what is written on one end is read at the other, also after a death.

use std::collections::VecDeque;

use handoff_core::wire::{MessageKind, decode};
use handoff_core::{Handles, Input, LinkId, Successor};

use super::{Body, Conn, Event, Frame, LINKS, SESSIONS, World};

impl World {
    /// The connection that a machine of a process calls so.
    pub(crate) fn conn_of(&mut self, at: usize, link: LinkId) -> Option<&mut Option<usize>> {
        let process = &mut self.processes[at];
        if link == Successor::CHANNEL {
            return Some(&mut process.channel);
        }
        let called = |slot: &&mut Option<usize>| slot.is_some_and(|conn| link_name(conn) == link);
        process.slots.iter_mut().find(called)
    }

    pub(crate) fn close(&mut self, at: usize, link: LinkId) {
        if let Some(conn) = self.conn_of(at, link).and_then(Option::take) {
            self.close_end(conn, at);
        }
    }

    pub(crate) fn close_end(&mut self, conn: usize, at: usize) {
        let conn = &mut self.conns[conn];
        for end in 0..2 {
            if conn.ends[end] == at {
                conn.open[end] = false;
                conn.unread[end].clear();
            }
        }
    }

    /// Puts bytes on a link; false when nobody is at its other end.
    pub(crate) fn transmit(
        &mut self,
        at: usize,
        link: LinkId,
        bytes: &[u8],
        handles: Handles,
    ) -> bool {
        let Some(number) = self.conn_of(at, link).and_then(|conn| *conn) else {
            return false;
        };
        let conn = &self.conns[number];
        let other = usize::from(conn.ends[0] == at);
        if !conn.open[other] {
            return false;
        }
        let to = conn.ends[other];
        let (mut rest, mut handles) = (bytes, handles);
        while let Some((header, body)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*header)).expect("small");
            let version = u16::from_le_bytes([body[0], body[1]]);
            let message =
                decode(version, &body[2..length]).expect("machines send what can be read");
            self.note(|world| Event::Sent {
                from: world.called(at),
                to: world.called(to),
                kind: message.kind().to_string(),
                message: format!("{message:?}"),
            });
            let frame = Frame {
                kind: message.kind(),
                id: message.id(),
                bytes: rest[..length + 4].into(),
                // They go with the first byte.
                handles: std::mem::take(&mut handles),
            };
            self.post(number, other, frame);
            rest = &body[length..];
        }
        true
    }

    /// A heartbeat says nothing beside other bytes that are still unread, and who has nothing else to read
    /// reads it at once. Without this the world of a frozen process would grow without end, and those
    /// of all the others would be many more.
    fn post(&mut self, conn: usize, end: usize, frame: Frame) {
        let Conn {
            ends,
            known,
            unread,
            ..
        } = &mut self.conns[conn];
        if frame.kind != MessageKind::Heartbeat {
            unread[end].push_back(frame);
        } else if unread[end].is_empty() {
            if known[end] && self.processes[ends[end]].life == super::Life::Running {
                self.beats.push((conn, end, frame.bytes));
            } else {
                unread[end].push_back(frame);
            }
        }
    }

    /// Delivers the heartbeats that are read at once.
    pub(crate) fn beat(&mut self) {
        while let Some((conn, end, bytes)) = self.beats.pop() {
            let Conn { ends, open, .. } = &self.conns[conn];
            let at = ends[end];
            if open[end] {
                let link = self.link_at(at, conn);
                let (bytes, handles) = (&bytes[..], Handles::NONE);
                let input = Input::Bytes {
                    link,
                    bytes,
                    handles,
                };
                self.link_input(at, link, input);
            }
        }
    }

    /// A new connection; its ends are known to their machines later.
    pub(crate) fn connect(&mut self, ends: [usize; 2], known: [bool; 2]) -> usize {
        self.conns.push(Conn {
            ends,
            open: [true; 2],
            known,
            unread: [VecDeque::new(), VecDeque::new()],
        });
        self.conns.len() - 1
    }

    pub(crate) fn readable(&self, at: usize, conn: usize) -> bool {
        let conn = &self.conns[conn];
        let Some(end) = (0..2).find(|end| conn.ends[*end] == at && conn.open[*end]) else {
            return false;
        };
        if !conn.known[end] {
            // Only an incumbent accepts; a link that an operation made is known by its report.
            return end == 0 && matches!(self.processes[at].body, Body::Incumbent(_));
        }
        !conn.unread[end].is_empty() || !conn.open[1 - end]
    }

    pub(crate) fn read(&mut self, at: usize, conn: usize) {
        let end = usize::from(self.conns[conn].ends[0] != at);
        if !self.conns[conn].known[end] {
            return self.accept(at, conn);
        }
        let link = self.link_at(at, conn);
        if let Some(frame) = self.conns[conn].unread[end].pop_front() {
            let input = Input::Bytes {
                link,
                bytes: &frame.bytes[..],
                handles: frame.handles,
            };
            return self.link_input(at, link, input);
        }
        self.link_input(at, link, Input::Closed { link });
    }

    /// What a process that has accepted a connection tells its machine.
    fn accept(&mut self, at: usize, conn: usize) {
        self.conns[conn].known[0] = true;
        // Beyond the last slot it waits until the machine has made room for it, or closed it.
        let slots = &mut self.processes[at].slots;
        let free = slots.iter().position(Option::is_none).unwrap_or(SESSIONS);
        slots[free] = Some(conn);
        let link = link_name(conn);
        self.input(at, Input::Opened { link, peer: 1 });
        let slots = &mut self.processes[at].slots;
        if let Some(late) = slots[SESSIONS].take()
            && let Some(free) = slots.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(late);
        }
    }

    /// What the machine that has a connection calls it.
    fn link_at(&self, at: usize, conn: usize) -> LinkId {
        if self.processes[at].channel == Some(conn) {
            Successor::CHANNEL
        } else {
            link_name(conn)
        }
    }
}

/// The name of a connection at the machines that hold it by a number.
pub(crate) fn link_name(conn: usize) -> LinkId {
    LinkId(LINKS + u32::try_from(conn).expect("few connections"))
}
