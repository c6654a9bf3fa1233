//! The lists in messages: revisions and listener names.
//!
//! A message that we write lends a slice. A message that was decoded has no slice to lend, since
//! its elements are still varints and length-prefixed texts: it keeps the encoded bytes, which were
//! validated on the way in, and decodes them again while they are looked at. So a list of any
//! length costs no memory of its own.

use core::fmt;

use postcard::take_from_bytes;
use serde::{Deserialize, Serialize, Serializer};

/// One revision per shard of the daemon's state.
pub type Revisions<'a> = List<'a, u64>;

/// Names of listeners.
pub type Names<'a> = List<'a, &'a str>;

/// A list in a message: a slice that the sender lends (`From<&[T]>`), or the bytes of a decoded
/// message. Both compare, print and encode by their content alone.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Slice(&'a [T]),
    /// `len` elements are at the front of `bytes`, checked; what follows them is not ours.
    Encoded {
        len: usize,
        bytes: &'a [u8],
    },
}

impl<T> List<'_, T> {
    /// How many elements it has.
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Slice(slice) => slice.len(),
            Source::Encoded { len, .. } => len,
        }
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Deserialize<'a>> List<'a, T> {
    /// Validates the list at the front of `bytes`; returns it and the bytes after it.
    pub(crate) fn take_from(bytes: &'a [u8]) -> postcard::Result<(Self, &'a [u8])> {
        let (len, bytes) = take_from_bytes::<usize>(bytes)?;
        // Every element takes a byte or more, so a count that cannot be true fails here, at once.
        if len > bytes.len() {
            return Err(postcard::Error::DeserializeUnexpectedEnd);
        }
        let mut rest = bytes;
        for _ in 0..len {
            (_, rest) = take_from_bytes::<T>(rest)?;
        }
        Ok((Self(Source::Encoded { len, bytes }), rest))
    }
}

impl<'a, T: Copy + Deserialize<'a>> List<'a, T> {
    /// The elements, in order.
    pub const fn iter(&self) -> Iter<'a, T> {
        Iter(self.0)
    }
}

impl<T> Default for List<'_, T> {
    /// The empty list.
    fn default() -> Self {
        Self(Source::Slice(&[]))
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        Self(Source::Slice(slice))
    }
}

impl<'a, T: Copy + Deserialize<'a>> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Copy + Deserialize<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Copy + Deserialize<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Copy + Deserialize<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Copy + Deserialize<'a> + Serialize> Serialize for List<'a, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The elements of a [`List`].
#[derive(Clone)]
pub struct Iter<'a, T>(Source<'a, T>);

impl<'a, T: Copy + Deserialize<'a>> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Source::Slice(slice) => slice.split_off_first().copied(),
            Source::Encoded { len, bytes } => {
                *len = len.checked_sub(1)?;
                // It was validated by `take_from`, so this succeeds.
                let (element, rest) = take_from_bytes(bytes).ok()?;
                *bytes = rest;
                Some(element)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = List(self.0).len();
        (len, Some(len))
    }
}

impl<'a, T: Copy + Deserialize<'a>> ExactSizeIterator for Iter<'a, T> {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::vec::Vec;

    use super::*;

    const END: postcard::Error = postcard::Error::DeserializeUnexpectedEnd;

    #[test]
    fn a_decoded_list_equals_the_slice_it_came_from() {
        let slice: &[u64] = &[0, 127, 128, u64::MAX];
        let lent = Revisions::from(slice);
        let mut out = [0; 32];
        let bytes = postcard::to_slice(&lent, &mut out).unwrap();
        let (decoded, rest) = Revisions::take_from(bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!(decoded, lent);
        assert!(!decoded.is_empty());
        assert_eq!(decoded.len(), 4);
        assert_eq!(decoded.iter().len(), 4);
        assert_eq!(decoded.iter().collect::<Vec<_>>(), slice);
        assert_eq!(format!("{decoded:?}"), format!("{slice:?}"));

        let mut again = [0; 32];
        assert_eq!(postcard::to_slice(&decoded, &mut again).unwrap(), bytes);
    }

    #[test]
    fn what_follows_a_list_is_not_part_of_it() {
        let (names, rest) = Names::take_from(b"\x02\x01a\x02bc\x01d").unwrap();
        assert_eq!(names, Names::from(&["a", "bc"][..]));
        assert_eq!(rest, b"\x01d");
        let (empty, rest) = Names::take_from(b"\x00\x01d").unwrap();
        assert!(empty.is_empty());
        assert_eq!(empty, Names::default());
        assert_eq!(rest, b"\x01d");
    }

    #[test]
    fn lists_that_differ_are_not_equal() {
        let (a, _) = Revisions::take_from(&[2, 1, 2]).unwrap();
        assert_ne!(a, Revisions::from(&[1, 3][..]));
        assert_ne!(a, Revisions::from(&[1][..]));
        assert_ne!(a, Revisions::from(&[1, 2, 3][..]));
        // An overlong varint is another spelling of the same content.
        let (b, _) = Revisions::take_from(&[2, 0x81, 0x00, 2]).unwrap();
        assert_eq!(a, b);
    }

    #[test]
    fn a_count_that_cannot_be_true_fails_at_once() {
        let mut bytes = [0; 16];
        for count in [7, 1 << 20, 1 << 31, u64::from(u32::MAX)] {
            let used = postcard::to_slice(&count, &mut bytes).unwrap().len();
            assert_eq!(Revisions::take_from(&bytes[..used + 6]).err(), Some(END));
            assert_eq!(Names::take_from(&bytes[..used + 6]).err(), Some(END));
        }
        for count in [1 << 60, u64::MAX] {
            let used = postcard::to_slice(&count, &mut bytes).unwrap().len();
            assert!(Revisions::take_from(&bytes[..used + 6]).is_err());
        }
    }

    #[test]
    fn every_element_is_checked() {
        assert_eq!(Revisions::take_from(&[]).err(), Some(END));
        assert_eq!(Revisions::take_from(&[2, 1, 0x80]).err(), Some(END));
        assert!(Revisions::take_from(&[0xff; 30]).is_err());
        assert_eq!(Names::take_from(b"\x02\x01a\x05bcd").err(), Some(END));
        assert_eq!(
            Names::take_from(b"\x02\x01a\x01\xff").err(),
            Some(postcard::Error::DeserializeBadUtf8)
        );
    }
}
