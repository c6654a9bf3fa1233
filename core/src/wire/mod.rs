//! Frames and messages: bytes to values and back.
