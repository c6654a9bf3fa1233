//! A supervisor, as far as it can be heard.

use std::io;
use std::path::Path;

use handoff_core::wire::{FrameReader, HandoffId, Message, MessageKind, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub(super) const ID: HandoffId = HandoffId::from_bytes([7; 16]);

pub(super) struct Peer {
    stream: UnixStream,
    version: u16,
    heard: Vec<u8>,
}

impl Peer {
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self {
            stream: UnixStream::from_std(stream).unwrap(),
            version: 1,
            heard: Vec::new(),
        }
    }

    /// Connects, if somebody listens there.
    pub(super) async fn connect(control: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(control).await?,
            version: 1,
            heard: Vec::new(),
        })
    }

    pub(super) async fn say(&mut self, message: &Message<'_>) -> io::Result<()> {
        let mut room = [0; 128];
        let len = encode(self.version, message, &mut room).unwrap();
        self.stream.write_all(&room[..len]).await
    }

    /// Says `HelloAck` with version 2.
    pub(super) async fn acknowledge(&mut self) -> io::Result<()> {
        self.hear(MessageKind::Hello).await?;
        let ack = Message::HelloAck { version: 2, id: ID };
        self.say(&ack).await?;
        self.version = 2;
        Ok(())
    }

    /// Asks an incumbent to drain.
    pub(super) async fn prepare(&mut self) -> io::Result<()> {
        self.acknowledge().await?;
        self.say(&Message::PrepareHandoff {
            id: ID,
            successor_pid: 1,
            deadline_ms: 60_000,
            drain_grace_ms: 60_000,
        })
        .await
    }

    /// Waits for a message of this kind; others are passed over.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has left.
    pub(super) async fn hear(&mut self, wanted: MessageKind) -> io::Result<()> {
        while self.next().await? != wanted {}
        Ok(())
    }

    /// Waits for the answer to `PrepareHandoff`: whether it was drained, and not refused.
    pub(super) async fn drained(&mut self) -> io::Result<bool> {
        loop {
            match self.next().await? {
                MessageKind::Drained => return Ok(true),
                MessageKind::Abort => return Ok(false),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> io::Result<MessageKind> {
        loop {
            let mut reader = FrameReader::new();
            let mut room = [0; 4096];
            let pushed = reader.push(&mut room, &self.heard).unwrap();
            if pushed.complete {
                self.heard.drain(..pushed.consumed);
                let frame = reader.frame(&room).unwrap();
                return Ok(decode(self.version, frame.payload).unwrap().kind());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.heard.extend(&bytes[..count]),
            }
        }
    }

    /// Waits until the other side has left.
    pub(super) async fn left(&mut self) {
        let mut bytes = [0; 4096];
        while self.stream.read(&mut bytes).await.unwrap_or(0) > 0 {}
    }
}
