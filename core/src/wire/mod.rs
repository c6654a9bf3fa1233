//! Frames and messages: bytes to values and back, and nothing else. No order of messages, no
//! timing and no roles are known here; this is section 4 of the protocol.
//!
//! Outgoing: [`encode`] writes one [`Message`] as a whole frame into the caller's memory.
//!
//! Incoming: [`FrameReader`] collects the bytes of one frame, however they are chopped, and
//! [`decode`] reads the message in it. What is decoded borrows from the frame, so no list and no
//! text has a bound of its own: the frame is the bound, and nothing is allocated.
//!
//! ```
//! use handoff_core::wire::{FrameReader, Message, decode, encode};
//!
//! let mut sent = [0; 64];
//! let len = encode(1, &Message::Heartbeat { ts_ms: 7 }, &mut sent)?;
//!
//! let (mut reader, mut room) = (FrameReader::new(), [0; 64]);
//! let pushed = reader.push(&mut room, &sent[..len])?;
//! assert!(pushed.complete);
//! let frame = reader.frame(&room).ok_or("not complete")?;
//! assert_eq!(decode(1, frame.payload)?, Message::Heartbeat { ts_ms: 7 });
//! reader.clear();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod frame;
mod id;
mod list;
mod message;
mod version;

#[cfg(test)]
mod tests;

pub use decode::{DecodeError, Fault, decode};
pub use frame::{
    EncodeError, Frame, FrameError, FrameReader, HEADER_LEN, MAX_FRAME_LEN, MIN_FRAME_LEN, Pushed,
    encode, encoded_len,
};
pub use id::{HandoffId, ParseIdError};
pub use list::{Iter, List, Names, Revisions};
pub use message::{Hello, Message, MessageKind, Never, Side, StatusPhase};
pub use version::{NoCommonVersion, VersionRange};
