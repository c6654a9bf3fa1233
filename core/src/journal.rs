//! The journal entry: what a restarted supervisor must know of a handoff that was in flight (`C9`).
//!
//! It has to survive the supervisor, not the machine, so it is written without waiting for a disk
//! and carries the boot id: after a reboot every process it names is gone.

use serde::{Deserialize, Serialize};

use crate::op::Process;
use crate::wire::HandoffId;

/// How far a handoff had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// PrepareHandoff is about to be sent.
    Prepared,
    /// Begin has been sent.
    Begun,
}

/// A handoff that was in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The handoff.
    pub id: HandoffId,
    /// How far it had come.
    pub stage: Stage,
    /// The incumbent.
    pub incumbent: Process,
    /// The successor.
    pub successor: Process,
}

/// A journal as it is stored: an [`Entry`] and what the host adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'a> {
    magic: [u8; 8],
    /// The boot that the processes belong to.
    pub boot: [u8; 16],
    /// What was in flight.
    pub entry: Entry,
    /// The successor's binary, as bytes of its path.
    pub binary: &'a [u8],
}

/// Starts every record; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"handoff\x01";

impl<'a> Record<'a> {
    /// A record to be stored.
    pub const fn new(boot: [u8; 16], entry: Entry, binary: &'a [u8]) -> Self {
        Self {
            magic: MAGIC,
            boot,
            entry,
            binary,
        }
    }

    /// Writes the record into `room` and returns the part that was used; `None` when it does not
    /// fit. A path of `n` bytes needs at most `n + 96`.
    pub fn encode<'r>(&self, room: &'r mut [u8]) -> Option<&'r [u8]> {
        postcard::to_slice(self, room).ok().map(|used| &*used)
    }

    /// Reads a record; `None` when it is not one, or of another format.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (record, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        (record.magic == MAGIC && rest.is_empty()).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        let entry = Entry {
            id: HandoffId::from_bytes([7; 16]),
            stage: Stage::Begun,
            incumbent: Process {
                pid: u32::MAX,
                start: u64::MAX,
            },
            successor: Process { pid: 1, start: 0 },
        };
        Record::new([9; 16], entry, b"/usr/bin/daemon")
    }

    #[test]
    fn a_record_comes_back_and_a_damaged_one_does_not() {
        let mut room = [0; 256];
        let bytes = record().encode(&mut room).expect("room enough");
        assert!(bytes.len() <= b"/usr/bin/daemon".len() + 96);
        assert_eq!(Record::decode(bytes), Some(record()));
        for cut in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        let mut longer = [0; 257];
        longer[..bytes.len()].copy_from_slice(bytes);
        assert_eq!(Record::decode(&longer[..=bytes.len()]), None);
        longer[7] = 2;
        assert_eq!(
            Record::decode(&longer[..bytes.len()]),
            None,
            "another format"
        );
        assert_eq!(record().encode(&mut [0; 8]), None);
    }
}
