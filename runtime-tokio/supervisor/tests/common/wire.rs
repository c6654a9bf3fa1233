//! A peer that speaks the protocol by hand, and may break it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use handoff_std::core::wire::{HandoffId, Message, decode, encode};

use super::PATIENCE;

/// One frame's message, as bytes, and the version that it is of.
pub(crate) struct Payload(u16, Vec<u8>);

impl Payload {
    pub(crate) fn message(&self) -> Message<'_> {
        decode(self.0, &self.1).expect("a message")
    }
}

/// One end of a session.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    pub(crate) id: HandoffId,
    /// What it speaks once it has acknowledged.
    pub(crate) version: u16,
}

impl Peer {
    /// Adopts a stream; nothing is said yet.
    pub(crate) fn new(stream: UnixStream, id: u8) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            id: HandoffId::from_random([id; 16]),
            version: 1,
        }
    }

    /// Connects to an incumbent, and acknowledges its Hello in version 1, under a handoff id made of
    /// `id`.
    pub(crate) fn acknowledged(control: &Path, id: u8) -> Self {
        Self::speaking(1, control, id)
    }

    /// The same in this version.
    pub(crate) fn speaking(version: u16, control: &Path, id: u8) -> Self {
        Self::try_speaking(version, control, id).expect("a session")
    }

    /// The same, if anybody is there who has room for a session.
    pub(crate) fn try_speaking(version: u16, control: &Path, id: u8) -> Option<Self> {
        let mut peer = Self::new(UnixStream::connect(control).ok()?, id);
        assert!(matches!(peer.receive().ok()?.message(), Message::Hello(_)));
        let id = peer.id;
        peer.try_send(&Message::HelloAck { version, id }).ok()?;
        peer.version = version;
        Some(peer)
    }

    /// The same, and asks for a drain. It has not been answered yet.
    pub(crate) fn preparing(control: &Path, id: u8, deadline: Duration) -> Self {
        let mut peer = Self::acknowledged(control, id);
        peer.send(&Message::PrepareHandoff {
            id: peer.id,
            successor_pid: std::process::id(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap(),
            drain_grace_ms: u64::try_from(deadline.as_millis()).unwrap(),
        });
        peer
    }

    pub(crate) fn send(&mut self, message: &Message<'_>) {
        self.try_send(message).unwrap();
    }

    /// The same to somebody who may have had enough.
    pub(crate) fn try_send(&mut self, message: &Message<'_>) -> io::Result<()> {
        self.stream.write_all(&self.frame(message))
    }

    /// A message as this peer would send it.
    pub(crate) fn frame(&self, message: &Message<'_>) -> Vec<u8> {
        let mut room = vec![0; 4096];
        // Hello and HelloAck come before there is a version.
        let version = match message {
            Message::Hello(_) | Message::HelloAck { .. } => 1,
            _ => self.version,
        };
        let count = encode(version, message, &mut room).unwrap();
        room.truncate(count);
        room
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> io::Result<Payload> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let mut frame = vec![0; u32::from_le_bytes(header) as usize];
        self.stream.read_exact(&mut frame)?;
        let message = frame.split_off(2);
        Ok(Payload(u16::from_le_bytes([frame[0], frame[1]]), message))
    }

    /// The next message that is no heartbeat and no progress, or `None` at the end of the session.
    pub(crate) fn answer(&mut self) -> Option<Payload> {
        loop {
            let payload = self.receive().ok()?;
            match payload.message() {
                Message::Heartbeat { .. } | Message::SealProgress { .. } => {}
                _ => return Some(payload),
            }
        }
    }

    /// Asks for the seal, once it has drained.
    pub(crate) fn seal(&mut self) {
        let drained = self.answer().expect("an answer to PrepareHandoff");
        let message = drained.message();
        assert!(matches!(message, Message::Drained { .. }), "{message:?}");
        self.send(&Message::SealRequest { id: self.id });
    }
}

/// The pid that the Hello behind the control path names.
pub(crate) fn who_answers(control: &Path) -> Option<u32> {
    let stream = UnixStream::connect(control).ok()?;
    let mut peer = Peer::new(stream, 0);
    // A frozen one does not answer.
    let limit = Some(Duration::from_secs(2));
    peer.stream.set_read_timeout(limit).ok()?;
    match peer.receive().ok()?.message() {
        Message::Hello(hello) => Some(hello.pid),
        _ => None,
    }
}
