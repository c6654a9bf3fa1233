//! A link as its peer sees it: bytes and descriptors that must be frames.

use std::collections::HashSet;

use handoff_core::Handles;
use handoff_core::wire::{FrameReader, HEADER_LEN, MessageKind, decode};

/// Bytes of room that a link has each way: the least there may be, so that it fills up.
pub(crate) const ROOM: usize = 512;

/// A link as its peer sees it.
pub(crate) struct Peer {
    /// What the last `Send` lent and `Wrote` has not answered.
    lent: Vec<u8>,
    lent_handles: Handles,
    reader: FrameReader,
    room: [u8; ROOM],
    /// The descriptors that came with the frame that is being read.
    came: Handles,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            lent: Vec::new(),
            lent_handles: Handles::NONE,
            reader: FrameReader::new(),
            room: [0; ROOM],
            came: Handles::NONE,
        }
    }
}

impl Peer {
    /// A `Send` lends this. `kept` are the runs of descriptors that there are to be sent. Those of a
    /// frame go with all of that frame and nothing else: what came later would arrive under them.
    pub(crate) fn lend(&mut self, bytes: &[u8], handles: Handles, kept: &HashSet<Handles>) {
        assert!(!bytes.is_empty());
        if !handles.is_empty() {
            assert!(kept.contains(&handles), "{handles:?} are nobody's");
            let frame = bytes.first_chunk().map(|len| u32::from_le_bytes(*len));
            let frame = usize::try_from(frame.expect("a whole frame")).expect("small");
            assert_eq!(bytes.len(), frame + HEADER_LEN, "one frame alone");
        }
        self.lent = bytes.to_vec();
        self.lent_handles = handles;
    }

    /// How many bytes are lent.
    pub(crate) fn lent(&self) -> usize {
        self.lent.len()
    }

    /// So many of the lent bytes were written, and the descriptors with the first. Reads them: a frame after
    /// the other, each of them a message of the `spoken` version, with the descriptors that belong to it.
    /// Returns which messages.
    pub(crate) fn wrote(&mut self, count: usize, spoken: Option<u16>) -> Vec<MessageKind> {
        let lent = std::mem::take(&mut self.lent);
        let handles = std::mem::take(&mut self.lent_handles);
        let mut bytes = &lent[..count];
        if count > 0 && !handles.is_empty() {
            assert!(self.reader.is_empty(), "with the first byte of a frame");
            self.came = handles;
        }
        let mut said = Vec::new();
        while !bytes.is_empty() {
            let pushed = self
                .reader
                .push(&mut self.room, bytes)
                .expect("frames are sent");
            bytes = &bytes[pushed.consumed..];
            if let Some(frame) = self.reader.frame(&self.room) {
                let message = decode(frame.version, frame.payload).expect("messages are sent");
                let version = match message.kind() {
                    MessageKind::Hello => Some(1),
                    _ => spoken,
                };
                assert_eq!(Some(frame.version), version, "{message:?}");
                let came = std::mem::take(&mut self.came);
                assert_eq!(usize::try_from(came.count), Ok(message.descriptors()));
                said.push(message.kind());
                self.reader.clear();
            }
        }
        said
    }
}
