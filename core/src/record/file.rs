//! The parts of a recording, from the first byte to the last.

use core::fmt;
use core::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::input::Fields;
use super::{Damage, Deed, DeedOf, NoRoom, Unreadable};
use crate::link::Storage;
use crate::machine::{Input, Party, Role};
use crate::time::Instant;

/// The number of the encoding; to be counted up when anything changes that a recording holds.
pub const FORMAT: u8 = 1;

/// Starts every recording; the number of the format follows.
const MAGIC: [u8; 7] = *b"handrec";

/// What follows.
mod kind {
    pub(super) const HANDED: u8 = 0;
    pub(super) const DEED: u8 = 1;
    pub(super) const FULL: u8 = 2;
}

/// Which machine was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header<'b> {
    /// Its role.
    pub party: Party,
    /// How many links it has room for.
    pub links: usize,
    /// The [`Storage::RX`] of each, in bytes.
    pub rx: usize,
    /// The [`Storage::TX`] of each, in bytes.
    pub tx: usize,
    /// Who recorded it, in the adapter's own terms.
    pub who: &'b [u8],
}

/// Writes the front of a recording to the front of `out`; returns how many bytes that took.
///
/// # Errors
/// It does not fit. 512 bytes are enough, and what `who` takes.
pub fn encode_header<R: Role<L>, S: Storage, const L: usize>(
    config: &R::Config,
    who: &[u8],
    out: &mut [u8],
) -> Result<usize, NoRoom> {
    let header = Header {
        party: R::PARTY,
        links: L,
        rx: S::RX,
        tx: S::TX,
        who,
    };
    put(&(MAGIC, FORMAT, header, config), out)
}

/// Writes an input, and the moment it is handed in, to the front of `out`; returns how many bytes that
/// took: one more than [`encode_input`](super::encode_input).
///
/// # Errors
/// It does not fit.
pub fn encode_handed(now: Instant, input: &Input<'_>, out: &mut [u8]) -> Result<usize, NoRoom> {
    put(&(kind::HANDED, now, input), out)
}

/// Writes a deed to the front of `out`; returns how many bytes that took: less than 300 beside bytes
/// that were sent.
///
/// # Errors
/// It does not fit.
pub fn encode_deed<C, P, Y, O>(deed: &Deed<'_, C, P, Y, O>, out: &mut [u8]) -> Result<usize, NoRoom>
where
    C: Serialize,
    P: Serialize,
    Y: Serialize,
    O: Serialize,
{
    put(&(kind::DEED, deed), out)
}

/// Writes that recording stops here, since it has reached its limit; returns how many bytes that took,
/// which is 1.
///
/// # Errors
/// It does not fit.
pub fn encode_full(out: &mut [u8]) -> Result<usize, NoRoom> {
    put(&kind::FULL, out)
}

fn put(what: &impl Serialize, out: &mut [u8]) -> Result<usize, NoRoom> {
    Ok(postcard::to_slice(what, out)?.len())
}

/// A recording whose front has been read.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'b> {
    /// Which machine was recorded.
    pub header: Header<'b>,
    bytes: &'b [u8],
    /// Where the configuration begins.
    at: usize,
}

impl<'b> Recording<'b> {
    /// Reads the front of a recording.
    ///
    /// # Errors
    /// [`Damage`]: the bytes are no recording, or one of another format.
    pub fn open(bytes: &'b [u8]) -> Result<Self, Damage> {
        let damage = |at, why| Damage { at, why };
        let rest = bytes
            .strip_prefix(&MAGIC)
            .ok_or_else(|| damage(0, Unreadable::Foreign))?;
        let rest = match rest.split_first() {
            Some((&FORMAT, rest)) => rest,
            Some((&other, _)) => {
                return Err(damage(MAGIC.len(), Unreadable::OtherFormat(other)));
            }
            None => return Err(damage(MAGIC.len(), Unreadable::CutShort)),
        };
        let mut fields = Fields { rest };
        let at = bytes.len().saturating_sub(rest.len());
        let header = fields.take().map_err(|why| damage(at, why))?;
        Ok(Self {
            header,
            bytes,
            at: bytes.len().saturating_sub(fields.rest.len()),
        })
    }

    /// The configuration of the machine, and all that happened to it, if it was one of this role with
    /// this number of links.
    ///
    /// # Errors
    /// [`Damage`]: it was another machine, or the configuration cannot be read.
    pub fn read<R: Role<L>, const L: usize>(
        &self,
    ) -> Result<(R::Config, Entries<'b, R, L>), Damage> {
        let damage = |why| Damage { at: self.at, why };
        if self.header.party != R::PARTY || self.header.links != L {
            return Err(damage(Unreadable::OtherMachine));
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut fields = Fields { rest };
        let config = fields.take().map_err(damage)?;
        let entries = Entries {
            bytes: self.bytes,
            at: self.bytes.len().saturating_sub(fields.rest.len()),
            role: PhantomData,
        };
        Ok((config, entries))
    }
}

/// What a recording holds after its front.
pub struct Entries<'b, R, const L: usize> {
    bytes: &'b [u8],
    at: usize,
    role: PhantomData<fn() -> R>,
}

/// A part of a recording.
pub enum Entry<'b, R: Role<L>, const L: usize> {
    /// This was handed in then.
    Handed(Instant, Input<'b>),
    /// The machine did this.
    Did(DeedOf<'b, R, L>),
    /// Recording has stopped at its limit; more has happened.
    Full,
}

impl<'b, R: Role<L>, const L: usize> Entries<'b, R, L> {
    /// Bytes before the next entry.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// [`Damage`]: what comes next is none, or not all of one. The place stays the same.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'b, R, L>>, Damage> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields { rest };
        let entry = entry(&mut fields).map_err(|why| Damage { at: self.at, why })?;
        self.at = self.bytes.len().saturating_sub(fields.rest.len());
        Ok(Some(entry))
    }
}

fn entry<'b, R: Role<L>, const L: usize>(
    fields: &mut Fields<'b>,
) -> Result<Entry<'b, R, L>, Unreadable> {
    Ok(match fields.take::<u8>()? {
        kind::HANDED => Entry::Handed(fields.take()?, fields.input()?),
        kind::DEED => Entry::Did(fields.take()?),
        kind::FULL => Entry::Full,
        other => return Err(Unreadable::Unknown(other.into())),
    })
}

impl<R, const L: usize> fmt::Debug for Entries<'_, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl<R: Role<L>, const L: usize> fmt::Debug for Entry<'_, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handed(now, input) => f.debug_tuple("Handed").field(now).field(input).finish(),
            Self::Did(deed) => f.debug_tuple("Did").field(deed).finish(),
            Self::Full => f.write_str("Full"),
        }
    }
}
