//! Frames: one message with its length and version in front.
//!
//! ```text
//! u32 frame_len      bytes after this field, 2 ..= 1 MiB      little-endian, as is
//! u16 version        any value                                the version
//! [u8]               one message; frame_len - 2 bytes
//! ```
//!
//! The memory belongs to the caller on both ways, so that a server can afford the frames of 1 MiB
//! that version 1 allows, and a small device need not.

use postcard::ser_flavors::Size;

use super::Message;

/// Bytes of the length field, which does not count itself.
pub const HEADER_LEN: usize = 4;

/// The least that the length field may say: a version and no message at all.
pub const MIN_FRAME_LEN: usize = VERSION_LEN;

/// The most that the length field may say, in bytes: 1 MiB.
pub const MAX_FRAME_LEN: usize = 1_048_576;

/// Bytes of the version field.
const VERSION_LEN: usize = 2;

/// Bytes before the message.
const PREFIX_LEN: usize = HEADER_LEN + VERSION_LEN;

/// Bytes of the whole frame that [`encode`] writes for this message, header included.
pub fn encoded_len(message: &Message<'_>) -> usize {
    // Counting cannot fail; a size that cannot be told would be too large for any room.
    postcard::serialize_with_flavor(message, Size::default())
        .unwrap_or(usize::MAX)
        .saturating_add(PREFIX_LEN)
}

/// Writes `message` as a whole frame to the front of `out`, and returns how many bytes that took.
///
/// # Errors
/// The frame is larger than `out`, or than any frame may be. What `out` holds is then unspecified,
/// and nothing of it may be sent.
pub fn encode(version: u16, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    let needed = encoded_len(message);
    let len = needed.saturating_sub(HEADER_LEN);
    let too_large = EncodeError::TooLarge {
        len,
        limit: MAX_FRAME_LEN,
    };
    if len > MAX_FRAME_LEN {
        return Err(too_large);
    }
    let header = u32::try_from(len).map_err(|_| too_large)?.to_le_bytes();

    let no_room = EncodeError::NoRoom {
        needed,
        room: out.len(),
    };
    let (header_out, rest) = out.split_first_chunk_mut().ok_or(no_room)?;
    let (version_out, payload_out) = rest.split_first_chunk_mut().ok_or(no_room)?;
    postcard::to_slice(message, payload_out).map_err(|_| no_room)?;
    *header_out = header;
    *version_out = version.to_le_bytes();
    Ok(needed)
}

/// Why a message could not be written as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    /// The caller's memory is too small.
    #[error("a frame of {needed} bytes does not fit into {room}; use a larger buffer")]
    NoRoom {
        /// Bytes of the whole frame.
        needed: usize,
        /// Bytes that there were.
        room: usize,
    },
    /// No frame may be that large; shorten the message.
    #[error("a frame of {len} bytes is over the limit of {limit}; shorten the message")]
    TooLarge {
        /// What the length field would have to say, in bytes.
        len: usize,
        /// [`MAX_FRAME_LEN`].
        limit: usize,
    },
}

/// A whole frame as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'b> {
    /// The version field. Peers may put anything into that of a Hello.
    pub version: u16,
    /// The bytes after it, for [`decode`](super::decode).
    pub payload: &'b [u8],
}

/// Collects the bytes of one frame at a time, in whatever pieces they arrive.
///
/// It holds a counter and nothing else; the bytes are in a `room` that the caller keeps, and passes
/// to every call, unchanged in between. A room of `MAX_FRAME_LEN + HEADER_LEN` bytes takes every
/// frame that the protocol allows; a smaller one lowers the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FrameReader {
    /// Bytes of the current frame in the room, header included.
    filled: usize,
}

/// What [`FrameReader::push`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bytes that were not consumed have to be pushed again"]
pub struct Pushed {
    /// How many bytes it took. The others belong to the next frame.
    pub consumed: usize,
    /// Whether the first of these bytes is the first of the frame.
    pub began: bool,
    /// Whether the frame is whole. It is then in [`FrameReader::frame`] until
    /// [`FrameReader::clear`], and nothing more is taken.
    pub complete: bool,
}

impl FrameReader {
    /// A reader before the first byte of a frame.
    pub const fn new() -> Self {
        Self { filled: 0 }
    }

    /// Takes bytes up to the end of the current frame.
    ///
    /// # Errors
    /// The frame is too short or too long; this shows with the fourth byte, before any of its
    /// content is taken. The session ends; the same error comes back until [`clear`](Self::clear).
    pub fn push(&mut self, room: &mut [u8], bytes: &[u8]) -> Result<Pushed, FrameError> {
        if room.len() < HEADER_LEN {
            return Err(FrameError::NoRoom { room: room.len() });
        }
        let began = self.is_empty();
        let in_header = self.fill(room, bytes, HEADER_LEN);
        let Some(end) = frame_end(room, self.filled)? else {
            return Ok(Pushed {
                consumed: in_header,
                began,
                complete: false,
            });
        };
        let in_body = self.fill(room, bytes.get(in_header..).unwrap_or_default(), end);
        Ok(Pushed {
            consumed: in_header.saturating_add(in_body),
            began,
            complete: self.filled >= end,
        })
    }

    /// Copies what is missing up to `end` from the front of `bytes`; returns how much it took.
    fn fill(&mut self, room: &mut [u8], bytes: &[u8], end: usize) -> usize {
        let missing = room.get_mut(self.filled..end).unwrap_or_default();
        let count = missing.len().min(bytes.len());
        for (to, from) in missing.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.filled = self.filled.saturating_add(count);
        count
    }

    /// The frame, once it is whole.
    pub fn frame<'b>(&self, room: &'b [u8]) -> Option<Frame<'b>> {
        let end = frame_end(room, self.filled).ok()??;
        let body = room.get(HEADER_LEN..end).filter(|_| self.filled >= end)?;
        let (version, payload) = body.split_first_chunk()?;
        Some(Frame {
            version: u16::from_le_bytes(*version),
            payload,
        })
    }

    /// Forgets the current frame; the next byte pushed is the first of another.
    pub const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Whether no byte of a frame is held. A link that ends while one is held ended inside a frame.
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// Where in `room` the frame ends, once the length field is there.
fn frame_end(room: &[u8], filled: usize) -> Result<Option<usize>, FrameError> {
    let Some(header) = room.first_chunk().filter(|_| filled >= HEADER_LEN) else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
    if len < MIN_FRAME_LEN {
        return Err(FrameError::TooShort { len });
    }
    let limit = room.len().saturating_sub(HEADER_LEN).min(MAX_FRAME_LEN);
    if len > limit {
        return Err(FrameError::TooLong { len, limit });
    }
    Ok(Some(len.saturating_add(HEADER_LEN)))
}

/// Why the bytes of a peer are not a frame; the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FrameError {
    /// There is not even place for a version.
    #[error("a frame says it has {len} bytes; 2 is the least")]
    TooShort {
        /// What the length field says, in bytes.
        len: usize,
    },
    /// It is larger than the protocol or the room allows.
    #[error("a frame says it has {len} bytes; {limit} is the limit here")]
    TooLong {
        /// What the length field says, in bytes.
        len: usize,
        /// [`MAX_FRAME_LEN`], or less in a smaller room.
        limit: usize,
    },
    /// The caller's room does not even hold the length field, so no frame can be received.
    #[error("a room of {room} bytes cannot hold a frame; 4 for the length field come first")]
    NoRoom {
        /// Bytes that there were.
        room: usize,
    },
}
