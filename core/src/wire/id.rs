//! The id that names one handoff in messages, logs and the journal.

use core::fmt;
use core::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A handoff id: a version 4 UUID, drawn by the supervisor once per handoff.
///
/// As text it is the usual UUID, `01234567-89ab-4cde-8f01-020304050607`. On the wire it is a length
/// byte, always 16, and 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandoffId([u8; 16]);

impl HandoffId {
    /// The id with exactly these bytes, whether or not they are a version 4 UUID.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A new id from 16 random bytes; the six bits that mark a version 4 UUID are overwritten.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for HandoffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            value >> 96,
            value >> 80 & 0xffff,
            value >> 64 & 0xffff,
            value >> 48 & 0xffff,
            value & 0xffff_ffff_ffff,
        )
    }
}

impl fmt::Debug for HandoffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a handoff id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "not a handoff id: expected a UUID with hyphens, such as 01234567-89ab-4cde-8f01-020304050607"
)]
pub struct ParseIdError;

impl FromStr for HandoffId {
    type Err = ParseIdError;

    /// Reads the 36 characters that `Display` writes; upper-case digits are fine too.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if text.len() != 36 {
            return Err(ParseIdError);
        }
        let mut value: u128 = 0;
        for (at, found) in text.chars().enumerate() {
            match (at, found) {
                (8 | 13 | 18 | 23, '-') => {}
                (8 | 13 | 18 | 23, _) => return Err(ParseIdError),
                (_, digit) => {
                    value = value << 4 | u128::from(digit.to_digit(16).ok_or(ParseIdError)?);
                }
            }
        }
        Ok(Self(value.to_be_bytes()))
    }
}

impl Serialize for HandoffId {
    /// As bytes in binary formats such as the wire, as text in formats that people read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for HandoffId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(IdVisitor)
        } else {
            deserializer.deserialize_bytes(IdVisitor)
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = HandoffId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a handoff id: 16 bytes, or a UUID as text")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<HandoffId, E> {
        bytes
            .try_into()
            .map(HandoffId)
            .map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HandoffId, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    const TEXT: &str = "01234567-89ab-4cde-8f01-020304050607";
    const ID: HandoffId = HandoffId::from_bytes([
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 2, 3, 4, 5, 6, 7,
    ]);

    #[test]
    fn text_is_a_lower_case_uuid_and_reads_back() {
        assert_eq!(ID.to_string(), TEXT);
        assert_eq!(std::format!("{ID:?}"), TEXT);
        assert_eq!(TEXT.parse(), Ok(ID));
        assert_eq!(TEXT.to_uppercase().parse(), Ok(ID));
        let zero = HandoffId::from_bytes([0; 16]);
        assert_eq!(zero.to_string(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "0123456789ab4cde8f01020304050607",
            "01234567-89ab-4cde-8f01-02030405060",
            "01234567-89ab-4cde-8f01-0203040506070",
            "01234567-89ab-4cde-8f010-20304050607",
            "01234567-89ab-4cde-8f01-02030405060g",
            "01234567-89ab-4cde-8f01-02030405060é",
            "+1234567-89ab-4cde-8f01-020304050607",
            "éééééééééééééééééé",
        ] {
            assert_eq!(text.parse::<HandoffId>(), Err(ParseIdError), "{text:?}");
        }
    }

    #[test]
    fn a_random_id_is_a_version_4_uuid() {
        let ones = HandoffId::from_random([0xff; 16]).to_string();
        assert_eq!(ones, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let zeros = HandoffId::from_random([0; 16]).to_string();
        assert_eq!(zeros, "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn on_the_wire_it_is_a_length_byte_and_16_bytes_and_no_other_length() {
        let mut out = [0; 17];
        postcard::to_slice(&ID, &mut out).unwrap();
        assert_eq!(out[0], 16);
        assert_eq!(&out[1..], ID.as_bytes());
        assert_eq!(postcard::from_bytes(&out), Ok(ID));
        for len in [0, 1, 15, 17, 36] {
            let mut bytes = [b'a'; 40];
            bytes[0] = len;
            assert!(postcard::from_bytes::<HandoffId>(&bytes).is_err(), "{len}");
        }
    }

    /// `ID` through serde; a formatter is a serializer for people.
    struct Shown;

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            ID.serialize(f)
        }
    }

    #[test]
    fn in_formats_for_people_it_is_text() {
        let text = StrDeserializer::<Error>::new(TEXT);
        assert_eq!(HandoffId::deserialize(text), Ok(ID));
        let nonsense = StrDeserializer::<Error>::new("nonsense");
        assert!(HandoffId::deserialize(nonsense).is_err());

        assert_eq!(Shown.to_string(), TEXT);
    }
}
