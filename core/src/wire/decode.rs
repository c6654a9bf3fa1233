//! A payload to a message, field by field, so that a refusal can say which field of which message
//! was wrong.

use postcard::take_from_bytes;
use serde::Deserialize;

use super::{Hello, List, Message, MessageKind};

/// Reads the message in `payload`, the bytes of a frame after its version field.
///
/// `version` decides which messages there are, and what becomes of bytes after the message: version 2
/// and above refuse them, everything below ignores them, as version 1 peers do. Pass the negotiated
/// version, and 1 before there is one: the version field of a Hello may say anything.
///
/// Numbers may be spelt with more varint bytes than they need; peers accept that too.
///
/// # Errors
/// The payload is not exactly one message of that version; the session ends.
pub fn decode(version: u16, payload: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (number, rest) = take_from_bytes::<u32>(payload).map_err(|error| DecodeError::Number {
        fault: error.into(),
    })?;
    let kind = MessageKind::from_number(version, number)
        .ok_or(DecodeError::Unknown { number, version })?;
    let mut fields = Fields { kind, rest };
    let message = fields.message()?;
    if version >= 2 && !fields.rest.is_empty() {
        return Err(DecodeError::Trailing {
            message: kind,
            extra: fields.rest.len(),
        });
    }
    Ok(message)
}

/// What is left of a payload while its fields are taken from the front, one after the other.
struct Fields<'a> {
    kind: MessageKind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn message(&mut self) -> Result<Message<'a>, DecodeError> {
        Ok(match self.kind {
            MessageKind::Hello => Message::Hello(Hello {
                side: self.take("side")?,
                pid: self.take("pid")?,
                build_id: self.take("build_id")?,
                versions: self.take("versions")?,
                capabilities: self.take("capabilities")?,
            }),
            MessageKind::HelloAck => Message::HelloAck {
                version: self.take("version")?,
                id: self.take("id")?,
            },
            MessageKind::PrepareHandoff => Message::PrepareHandoff {
                id: self.take("id")?,
                successor_pid: self.take("successor_pid")?,
                deadline_ms: self.take("deadline_ms")?,
                drain_grace_ms: self.take("drain_grace_ms")?,
            },
            MessageKind::Drained => Message::Drained {
                open_connections: self.take("open_connections")?,
                accept_closed: self.take("accept_closed")?,
            },
            MessageKind::SealRequest => Message::SealRequest {
                id: self.take("id")?,
            },
            MessageKind::SealProgress => Message::SealProgress {
                sealed: self.take("sealed")?,
                total: self.take("total")?,
                revision: self.take("revision")?,
            },
            MessageKind::SealComplete => Message::SealComplete {
                id: self.take("id")?,
                revisions: self.take_list("revisions")?,
                fingerprint: self.take("fingerprint")?,
            },
            MessageKind::SealFailed => Message::SealFailed {
                id: self.take("id")?,
                error: self.take("error")?,
                partial_state: self.take("partial_state")?,
            },
            MessageKind::Begin => Message::Begin {
                id: self.take("id")?,
            },
            MessageKind::Ready => Message::Ready {
                id: self.take("id")?,
                listening_on: self.take_list("listening_on")?,
                healthz_ok: self.take("healthz_ok")?,
                revisions: self.take_list("revisions")?,
            },
            MessageKind::Commit => Message::Commit {
                id: self.take("id")?,
            },
            MessageKind::Abort => Message::Abort {
                id: self.take("id")?,
                reason: self.take("reason")?,
            },
            MessageKind::ResumeAfterAbort => Message::ResumeAfterAbort {
                id: self.take("id")?,
            },
            MessageKind::Heartbeat => Message::Heartbeat {
                ts_ms: self.take("ts_ms")?,
            },
            MessageKind::Standby => Message::Standby {
                id: self.take("id")?,
            },
            MessageKind::ListenersRequest => Message::ListenersRequest,
            MessageKind::Listeners => Message::Listeners {
                names: self.take_list("names")?,
            },
            MessageKind::StatusRequest => Message::StatusRequest,
            MessageKind::Status => Message::Status {
                phase: self.take("phase")?,
                generation: self.take("generation")?,
                uptime_ms: self.take("uptime_ms")?,
                open_connections: self.take("open_connections")?,
                revisions: self.take_list("revisions")?,
            },
        })
    }

    #[inline]
    fn take<T: Deserialize<'a>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        self.advance(field, take_from_bytes(self.rest))
    }

    fn take_list<T: Deserialize<'a>>(
        &mut self,
        field: &'static str,
    ) -> Result<List<'a, T>, DecodeError> {
        self.advance(field, List::take_from(self.rest))
    }

    #[inline]
    fn advance<T>(
        &mut self,
        field: &'static str,
        taken: postcard::Result<(T, &'a [u8])>,
    ) -> Result<T, DecodeError> {
        match taken {
            Ok((value, rest)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(error) => Err(self.refuse(field, error)),
        }
    }

    #[cold]
    fn refuse(&self, field: &'static str, error: postcard::Error) -> DecodeError {
        DecodeError::Field {
            message: self.kind,
            field,
            fault: error.into(),
        }
    }
}

/// Why a payload is not a message. The peer is broken, or speaks a version that was
/// not agreed on; the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// The message number itself could not be read.
    #[error("undecodable message: its number {fault}")]
    Number {
        /// What is wrong with it.
        fault: Fault,
    },
    /// No message of the link's version has this number.
    #[error("message number {number} does not exist in version {version} of the protocol")]
    Unknown {
        /// The number.
        number: u32,
        /// The version that the link speaks.
        version: u16,
    },
    /// One field could not be read.
    #[error("undecodable {message}: field {field} {fault}")]
    Field {
        /// The message it was in.
        message: MessageKind,
        /// The field, by its name in [`Message`].
        field: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Bytes follow the message, which version 2 does not allow.
    #[error("undecodable {message}: {extra} bytes too many after its last field")]
    Trailing {
        /// The message.
        message: MessageKind,
        /// How many bytes follow it.
        extra: usize,
    },
}

/// What is wrong with one value in a payload. The texts go on after the value's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The payload ends before the value does.
    #[error("is cut short")]
    CutShort,
    /// An integer is too large for its field.
    #[error("is an integer out of range")]
    OutOfRange,
    /// A bool is neither 0 nor 1.
    #[error("is a bool that is neither 0 nor 1")]
    NotBool,
    /// A text is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The value is none that the field can have: an id of a length other than 16, or a side other
    /// than 0 and 1.
    #[error("has a value that it cannot have")]
    NotAllowed,
}

impl From<postcard::Error> for Fault {
    fn from(error: postcard::Error) -> Self {
        match error {
            postcard::Error::DeserializeUnexpectedEnd => Self::CutShort,
            postcard::Error::DeserializeBadVarint => Self::OutOfRange,
            postcard::Error::DeserializeBadBool => Self::NotBool,
            postcard::Error::DeserializeBadUtf8 => Self::NotUtf8,
            // The visitors of `HandoffId` and `Side` refuse a value with a custom error; the other
            // variants belong to types and directions that are not used here.
            _ => Self::NotAllowed,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;
    use std::vec::Vec;

    use super::*;
    use crate::wire::StatusPhase;

    fn field(message: MessageKind, field: &'static str, fault: Fault) -> DecodeError {
        DecodeError::Field {
            message,
            field,
            fault,
        }
    }

    /// A payload that starts with a message number and an id.
    fn with_id(number: u8, rest: &[u8]) -> Vec<u8> {
        [&[number, 16][..], &[7; 16], rest].concat()
    }

    #[test]
    fn a_number_that_the_version_does_not_have() {
        let unknown = |version, number| Err(DecodeError::Unknown { number, version });
        for number in (14..=21).chain([22, 127]) {
            let byte = u8::try_from(number).unwrap();
            assert_eq!(decode(1, &[byte, 0, 0, 0]), unknown(1, number));
            assert_eq!(decode(0, &[byte, 0, 0, 0]), unknown(0, number));
        }
        for number in [15, 20, 21, 22, 127] {
            let byte = u8::try_from(number).unwrap();
            assert_eq!(decode(2, &[byte, 0, 0, 0]), unknown(2, number));
        }
        assert_eq!(
            decode(1, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            unknown(1, u32::MAX)
        );
    }

    #[test]
    fn a_number_that_cannot_be_read() {
        let number = |fault| Err(DecodeError::Number { fault });
        assert_eq!(decode(1, &[]), number(Fault::CutShort));
        assert_eq!(decode(1, &[0x80]), number(Fault::CutShort));
        assert_eq!(decode(1, &[0xff; 9]), number(Fault::OutOfRange));
    }

    #[test]
    fn the_error_names_the_message_and_the_field() {
        use MessageKind as Kind;

        for (payload, error) in [
            (
                Vec::from([0, 2]),
                field(Kind::Hello, "side", Fault::NotAllowed),
            ),
            (
                Vec::from([0, 0, 0xff, 0xff, 0xff, 0xff, 0x10]),
                field(Kind::Hello, "pid", Fault::OutOfRange),
            ),
            (
                Vec::from([0, 0, 1, 0, 1, 0xff, 0xff, 0x04, 0]),
                field(Kind::Hello, "versions", Fault::OutOfRange),
            ),
            (
                Vec::from([3, 0, 2]),
                field(Kind::Drained, "accept_closed", Fault::NotBool),
            ),
            (
                [&[4, 15][..], &[7; 16]].concat(),
                field(Kind::SealRequest, "id", Fault::NotAllowed),
            ),
            (
                [&[10, 17][..], &[7; 17]].concat(),
                field(Kind::Commit, "id", Fault::NotAllowed),
            ),
            (
                with_id(6, &[3, 1, 2]),
                field(Kind::SealComplete, "revisions", Fault::CutShort),
            ),
            (
                with_id(6, &[0, 1, 2]),
                field(Kind::SealComplete, "fingerprint", Fault::CutShort),
            ),
            (
                with_id(9, &[1, 1, 0xff, 1, 0]),
                field(Kind::Ready, "listening_on", Fault::NotUtf8),
            ),
            (
                with_id(9, &[0, 0xff, 0]),
                field(Kind::Ready, "healthz_ok", Fault::NotBool),
            ),
            (
                with_id(11, &[2, 0xc3, 0x28]),
                field(Kind::Abort, "reason", Fault::NotUtf8),
            ),
            (
                with_id(11, &[5, b'a']),
                field(Kind::Abort, "reason", Fault::CutShort),
            ),
        ] {
            assert_eq!(decode(1, &payload), Err(error), "{payload:?}");
        }
        let error = decode(1, &[3, 0, 2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "undecodable Drained: field accept_closed is a bool that is neither 0 nor 1"
        );
    }

    #[test]
    fn overlong_varints_are_accepted_everywhere() {
        assert_eq!(
            decode(1, &[0x83, 0x80, 0x00, 0x85, 0x80, 0x80, 0x00, 1]),
            Ok(Message::Drained {
                open_connections: 5,
                accept_closed: true
            })
        );
        let id_with_a_long_length = [&[0x8a, 0x00, 0x90, 0x00][..], &[7; 16]].concat();
        assert_eq!(
            decode(1, &id_with_a_long_length),
            decode(1, &with_id(10, &[]))
        );
    }

    #[test]
    fn bytes_after_the_message_are_for_version_1_to_ignore() {
        let beat = Ok(Message::Heartbeat { ts_ms: 5 });
        assert_eq!(decode(0, &[13, 5, 9, 9]), beat);
        assert_eq!(decode(1, &[13, 5, 9, 9]), beat);
        assert_eq!(decode(2, &[13, 5]), beat);
        let error = DecodeError::Trailing {
            message: MessageKind::Heartbeat,
            extra: 2,
        };
        assert_eq!(decode(2, &[13, 5, 9, 9]), Err(error));
        assert_eq!(decode(u16::MAX, &[13, 5, 9, 9]), Err(error));
    }

    #[test]
    fn numbers_and_kinds_agree() {
        for kind in MessageKind::ALL {
            let number = kind.number();
            assert_eq!(MessageKind::from_number(2, number), Some(kind));
            assert_eq!(MessageKind::from_number(0, number).is_some(), number < 14);
        }
        for phase in StatusPhase::ALL {
            assert_eq!(StatusPhase::from_number(phase.number()), Some(phase));
        }
        assert_eq!(StatusPhase::from_number(9), None);
        assert_eq!(MessageKind::PrepareHandoff.to_string(), "PrepareHandoff");
    }
}
