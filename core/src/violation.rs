//! What a peer can do wrong. Each ends its session, and only that.

use crate::handles::Handles;
use crate::wire::{DecodeError, FrameError, HandoffId, MessageKind, NoCommonVersion, Side};

/// What the peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame of a forbidden length.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A message that cannot be decoded.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A message that the state of the session does not allow.
    #[error("{kind} is not allowed while {state}")]
    Unexpected {
        /// The message.
        kind: MessageKind,
        /// The phase it came in.
        state: &'static str,
    },
    /// A message of another handoff.
    #[error("handoff id {found} instead of {expected}")]
    WrongId {
        /// The session's id.
        expected: HandoffId,
        /// The message's id.
        found: HandoffId,
    },
    /// A peer in the wrong role.
    #[error("the peer says it is {0:?}")]
    WrongSide(Side),
    /// A peer that is not the process it should be.
    #[error("the peer says it is pid {found}, but pid {expected} was started")]
    WrongPid {
        /// The process that was started.
        expected: u32,
        /// The process that the Hello names.
        found: u32,
    },
    /// Descriptors where none belong, or not as many as belong to the message.
    #[error("{found} with a frame to which another number of them belongs")]
    Descriptors {
        /// What came.
        found: Handles,
    },
    /// No protocol version in common.
    #[error("{0}")]
    NoCommonVersion(#[from] NoCommonVersion),
    /// A frame of another version than the negotiated one.
    #[error("a frame of version {found} on a session of version {expected}")]
    WrongVersion {
        /// The negotiated version.
        expected: u16,
        /// The frame's version.
        found: u16,
    },
}
