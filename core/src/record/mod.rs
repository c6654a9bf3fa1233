//! Record and replay: what happened to a machine and what it did, as bytes that can be kept and
//! repeated.
//!
//! A machine reads no clock and draws no random numbers, so a fresh one that is given the same
//! configuration and the same inputs at the same moments does the same, bit for bit. An adapter that
//! records appends to a file, for each input, the input and the [`Deed`]s of its turn. [`replay`] hands
//! the inputs to a fresh machine of today, and compares what that does with what was done then: a run
//! that went wrong can be looked at step by step, and a recording that is kept becomes a test.
//!
//! | part | how often | written by | read by |
//! |---|---|---|---|
//! | [`Header`] and the role's configuration | once, first | [`encode_header`] | [`Recording::open`] |
//! | an input and its moment | once per turn | [`encode_handed`] | [`Entries`] |
//! | a deed | for each step of the turn; the last one [ends](Deed::ends_turn) it | [`encode_deed`] | [`Entries`] |
//! | a mark that recording stopped at its limit | at most once, last | [`encode_full`] | [`Entries`] |
//!
//! ```
//! use handoff_core::record::{
//!     Deed, Ending, Recording, Watcher, DeedOf, encode_deed, encode_handed, encode_header, replay,
//! };
//! use handoff_core::{Inline, Input, Instant, Step, Successor, SuccessorConfig, SuccessorMachine};
//!
//! struct Print;
//! impl Watcher<Successor, 1> for Print {
//!     fn did(&mut self, _then: Option<&DeedOf<'_, Successor, 1>>, now: &DeedOf<'_, Successor, 1>) {
//!         println!("{now:?}");
//!     }
//! }
//!
//! let (config, now) = (SuccessorConfig::default(), Instant::from_nanos(7));
//! let mut file = [0; 4096];
//! let mut used = encode_header::<Successor, Inline, 1>(&config, b"an example", &mut file)?;
//!
//! let mut machine = SuccessorMachine::<Inline>::new(config);
//! used += encode_handed(now, &Input::Start, &mut file[used..])?;
//! let mut turn = machine.handle(now, Input::Start)?;
//! loop {
//!     let step = turn.next();
//!     used += encode_deed(&Deed::of(&step), &mut file[used..])?;
//!     if !matches!(step, Step::Do(_)) {
//!         break;
//!     }
//! }
//!
//! let recording = Recording::open(&file[..used])?;
//! let replayed = replay::<Successor, Inline, 1>(&recording, &mut Print)?;
//! assert_eq!(replayed.ending, Ending::Whole);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of an input of bytes only those are recorded that the turn consumed ([`taken`]), since the others are
//! handed in again. A recording holds all that was said to the machine and by it; keep it from
//! readers whom that does not concern.
//!
//! A recording may end anywhere, as a file does whose writer was killed: what comes before is good, and
//! [`Ending::Torn`] says so. The encoding is that of this build's types, under one number for all of
//! them ([`FORMAT`]): it has to be counted up when one of them changes, and recordings of another
//! number are refused.

mod deed;
mod file;
mod input;
mod replay;

use serde::Serializer;

pub use self::deed::{Deed, DeedOf};
pub use self::file::{
    Entries, Entry, FORMAT, Header, Recording, encode_deed, encode_full, encode_handed,
    encode_header,
};
pub use self::input::{decode_input, encode_input, taken};
pub use self::replay::{Ending, Replayed, Watcher, replay};
use crate::wire::Fault;

/// The room for a part of a recording is too small; nothing may be kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("it does not fit into the room given for it; use a larger buffer")]
pub struct NoRoom;

impl From<postcard::Error> for NoRoom {
    fn from(_: postcard::Error) -> Self {
        Self
    }
}

/// Where bytes are not a recording, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("at byte {at}: {why}")]
pub struct Damage {
    /// Bytes before the part that cannot be read.
    pub at: usize,
    /// What is wrong with it.
    pub why: Unreadable,
}

/// Why bytes are not a recording, or not a recorded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// They end within something, as a file does whose writer was killed.
    #[error("the record is cut short; what comes before is good")]
    CutShort,
    /// A value cannot be read.
    #[error("not a record of this build: a value {0}")]
    Damaged(Fault),
    /// Nothing has this number.
    #[error("not a record of this build: {0} stands where the kind of what follows is expected")]
    Unknown(u32),
    /// They do not begin as a recording does.
    #[error("this is no recording of a handoff")]
    Foreign,
    /// A recording of a build that writes another format.
    #[error(
        "a recording of format {0}, and this build reads format {FORMAT}; use the build that wrote it"
    )]
    OtherFormat(u8),
    /// The recording of another role, or of a machine with another number of links or other rooms.
    #[error("a recording of another kind of machine than it is read as")]
    OtherMachine,
    /// An input before the turn of the last one has ended, or a deed outside of a turn.
    #[error("what stands here does not belong here")]
    Misplaced,
}

impl From<postcard::Error> for Unreadable {
    fn from(error: postcard::Error) -> Self {
        match Fault::from(error) {
            Fault::CutShort => Self::CutShort,
            fault => Self::Damaged(fault),
        }
    }
}

/// Serialises bytes as a whole, not one by one.
pub(crate) fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}
