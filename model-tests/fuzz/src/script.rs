//! What can happen to a machine, written as bytes that a fuzzer can change and a person can make.

use handoff_core::Handles;
use serde::{Deserialize, Serialize};

/// One thing that happens. Links, messages and reports are named by numbers that are taken modulo
/// how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening<'a> {
    /// A process connects.
    Opened(u8),
    /// A peer sends these bytes.
    Bytes(u8, &'a [u8]),
    /// A peer sends a message.
    Said(u8, u8),
    /// So many of the lent bytes, modulo one more than there are, were written.
    Wrote(u8, u16),
    /// All of them were.
    WroteAll(u8),
    /// A peer is gone.
    Closed(u8),
    /// The operation started so many before the last ends, with a report that fits it.
    Ended(u8, u8),
    /// The same with any report, fit or not.
    EndedOddly(u8, u8),
    /// An operation that may never have been started ends.
    Foreign(u32, u8),
    /// The seal hook has come this far.
    Progress(u32),
    /// The control path is lost.
    Unbound,
    /// The driver sleeps exactly until the deadline.
    Slept,
    /// So many milliseconds pass.
    Passed(u32),
    /// The clock shows half as many nanoseconds, whatever it showed before. Half, since moments saturate:
    /// at the end of time, which for a clock of Unix time is in 2554, no deadline can be later than now.
    Jumped(u64),
    /// A deadline is reported that is not due.
    EarlyDeadline,
    /// An input as it was recorded, without its moment.
    Recorded(&'a [u8]),
    /// A peer sends these bytes, and descriptors with them.
    BytesWith(u8, &'a [u8], Handles),
    /// A peer sends messages one after the other. They arrive in two pieces: so many bytes, modulo one more
    /// than there are, with the descriptors; then the rest.
    Sent(u8, &'a [u8], u16, Handles),
    /// A peer sends a message in a version that its link does not speak.
    Misspoken(u8, u8),
    /// The probation of the process has ended.
    Judged(u8),
}

/// The happenings that bytes stand for. A byte that starts none is passed over.
pub fn happenings(mut bytes: &[u8]) -> impl Iterator<Item = Happening<'_>> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            if let Ok((happening, rest)) = postcard::take_from_bytes(bytes) {
                bytes = rest;
                return Some(happening);
            }
            bytes = &bytes[1..];
        }
        None
    })
}
