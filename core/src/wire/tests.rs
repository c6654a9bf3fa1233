//! Frames and messages together: any message comes back as it was sent, however the bytes are
//! chopped; any other bytes are refused and never panic.

extern crate std;

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

mod limits;

/// The content of one message of any kind, owned; what a kind has no field for stays unused.
#[derive(Debug, Clone)]
struct Content {
    kind: MessageKind,
    id: HandoffId,
    side: Side,
    versions: VersionRange,
    short: u32,
    other_short: u32,
    long: u64,
    other_long: u64,
    flag: bool,
    bytes: Vec<u8>,
    text: String,
    other_text: String,
    names: Vec<String>,
    revisions: Vec<u64>,
    fingerprint: [u8; 32],
}

impl Content {
    /// The message, and its bytes as a frame.
    fn with_message<T>(&self, version: u16, test: impl FnOnce(&Message<'_>, &[u8]) -> T) -> T {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let message = self.message(&names);
        test(&message, &framed(version, &message))
    }

    fn message<'a>(&'a self, names: &'a [&'a str]) -> Message<'a> {
        let id = self.id;
        let revisions = Revisions::from(&self.revisions[..]);
        match self.kind {
            MessageKind::Hello => Message::Hello(Hello {
                side: self.side,
                pid: self.short,
                build_id: &self.bytes,
                versions: self.versions,
                capabilities: self.long,
            }),
            MessageKind::HelloAck => Message::HelloAck {
                version: self.versions.min,
                id,
            },
            MessageKind::PrepareHandoff => Message::PrepareHandoff {
                id,
                successor_pid: self.short,
                deadline_ms: self.long,
                drain_grace_ms: self.other_long,
            },
            MessageKind::Drained => Message::Drained {
                open_connections: self.short,
                accept_closed: self.flag,
            },
            MessageKind::SealRequest => Message::SealRequest { id },
            MessageKind::SealProgress => Message::SealProgress {
                sealed: self.short,
                total: self.other_short,
                revision: self.long,
            },
            MessageKind::SealComplete => Message::SealComplete {
                id,
                revisions,
                fingerprint: self.fingerprint,
            },
            MessageKind::SealFailed => Message::SealFailed {
                id,
                error: &self.text,
                partial_state: &self.other_text,
            },
            MessageKind::Begin => Message::Begin { id },
            MessageKind::Ready => Message::Ready {
                id,
                listening_on: Names::from(names),
                healthz_ok: self.flag,
                revisions,
            },
            MessageKind::Commit => Message::Commit { id },
            MessageKind::Abort => Message::Abort {
                id,
                reason: &self.text,
            },
            MessageKind::ResumeAfterAbort => Message::ResumeAfterAbort { id },
            MessageKind::Heartbeat => Message::Heartbeat { ts_ms: self.long },
            MessageKind::Standby => Message::Standby { id },
            MessageKind::ListenersRequest => Message::ListenersRequest,
            MessageKind::Listeners => Message::Listeners {
                names: Names::from(names),
            },
            MessageKind::StatusRequest => Message::StatusRequest,
            MessageKind::Status => Message::Status {
                phase: self.bytes.first().copied().unwrap_or_default(),
                generation: self.long,
                uptime_ms: self.other_long,
                open_connections: self.short,
                revisions,
            },
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    let scalars = (
        select(&MessageKind::ALL[..]),
        select(&[Side::Incumbent, Side::Successor][..]),
        any::<([u8; 16], [u16; 2], [u32; 2], [u64; 2], bool)>(),
    );
    let lists = (
        vec_of(any::<u8>(), 0..40),
        any::<(String, String)>(),
        vec_of(any::<String>(), 0..5),
        vec_of(any::<u64>(), 0..20),
        any::<[u8; 32]>(),
    );
    (scalars, lists).prop_map(|((kind, side, numbers), lists)| {
        let (id, [min, max], [short, other_short], [long, other_long], flag) = numbers;
        let (bytes, (text, other_text), names, revisions, fingerprint) = lists;
        Content {
            kind,
            id: HandoffId::from_bytes(id),
            side,
            versions: VersionRange { min, max },
            short,
            other_short,
            long,
            other_long,
            flag,
            bytes,
            text,
            other_text,
            names,
            revisions,
            fingerprint,
        }
    })
}

/// The message as a frame, in memory of exactly its size.
fn framed(version: u16, message: &Message<'_>) -> Vec<u8> {
    let mut out = vec![0; encoded_len(message)];
    let len = encode(version, message, &mut out).unwrap();
    assert_eq!(len, out.len());
    out
}

/// Pushes `bytes` in pieces of the given sizes, over and over, and returns every whole frame.
fn read_all(bytes: &[u8], sizes: &[usize]) -> Result<Vec<(u16, Vec<u8>)>, FrameError> {
    let (mut reader, mut room) = (FrameReader::new(), vec![0; 4096]);
    let (mut frames, mut rest) = (Vec::new(), bytes);
    for &size in sizes.iter().cycle() {
        let piece = &rest[..size.min(rest.len())];
        let pushed = reader.push(&mut room, piece)?;
        rest = &rest[pushed.consumed..];
        let frame = reader.frame(&room);
        assert_eq!(frame.is_some(), pushed.complete);
        assert!(pushed.complete || pushed.consumed == piece.len());
        if let Some(frame) = frame {
            frames.push((frame.version, frame.payload.to_vec()));
            reader.clear();
        } else if rest.is_empty() {
            assert!(reader.is_empty(), "the bytes end inside a frame");
            break;
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was_sent(
        content in content(),
        version in prop_oneof![0_u16..4, any::<u16>()],
    ) {
        content.with_message(version, |message, frame| {
            let frames = read_all(frame, &[frame.len()]).unwrap();
            let [(found, payload)] = &frames[..] else { panic!("{frames:?}") };
            prop_assert_eq!(*found, version);
            let number = content.kind.number();
            if version < 2 && number > 13 {
                let unknown = DecodeError::Unknown { number, version };
                prop_assert_eq!(decode(version, payload), Err(unknown));
                return Ok(());
            }
            let decoded = decode(version, payload).unwrap();
            prop_assert_eq!(&decoded, message);
            prop_assert_eq!(decoded.kind(), content.kind);
            prop_assert_eq!(decoded.id(), message.id());
            prop_assert_eq!(framed(version, &decoded), frame);
            Ok(())
        })?;
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_chopped(
        contents in vec_of(content(), 1..5),
        sizes in vec_of(1_usize..60, 1..20),
    ) {
        let mut stream = Vec::new();
        let mut sent = Vec::new();
        for (version, content) in (0..).zip(&contents) {
            content.with_message(version, |_, frame| {
                stream.extend_from_slice(frame);
                sent.push((version, frame[6..].to_vec()));
            });
        }
        prop_assert_eq!(&read_all(&stream, &sizes).unwrap(), &sent);
        prop_assert_eq!(&read_all(&stream, &[1]).unwrap(), &sent);
        prop_assert_eq!(&read_all(&stream, &[stream.len()]).unwrap(), &sent);
    }

    #[test]
    fn a_message_cut_short_is_refused(content in content(), at: Index) {
        content.with_message(2, |_, frame| {
            let payload = &frame[6..];
            let cut_short = &payload[..at.index(payload.len())];
            prop_assert!(decode(1, cut_short).is_err());
            prop_assert!(decode(2, cut_short).is_err());
            Ok(())
        })?;
    }

    #[test]
    fn bytes_after_a_message_are_ignored_by_version_1_and_refused_by_version_2(
        content in content(),
        extra in vec_of(any::<u8>(), 1..9),
    ) {
        content.with_message(2, |message, frame| {
            let payload = [&frame[6..], &extra].concat();
            let kind = message.kind();
            let trailing = DecodeError::Trailing { message: kind, extra: extra.len() };
            prop_assert_eq!(decode(2, &payload), Err(trailing));
            if kind.since() == 1 {
                prop_assert_eq!(decode(1, &payload), Ok(*message));
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_damaged_message_does_not_panic(content in content(), at: Index, byte: u8) {
        let mut payload = content.with_message(2, |_, frame| frame[6..].to_vec());
        let at = at.index(payload.len());
        payload[at] = byte;
        for version in [1, 2] {
            if let Ok(message) = decode(version, &payload) {
                // Whatever it says now, it can be looked at and sent on.
                let again = framed(version, &message);
                prop_assert_eq!(decode(version, &again[6..]), Ok(message));
                let _ = format!("{message:?}");
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(
        number in 0_u8..24,
        bytes in vec_of(any::<u8>(), 0..200),
        version in 0_u16..4,
        room in 0_usize..64,
    ) {
        let _ = decode(version, &bytes);
        let _ = decode(version, &[&[number], &bytes[..]].concat());
        let _ = decode(version, &[&[number, 16][..], &[0; 16], &bytes].concat());

        let (mut reader, mut room) = (FrameReader::new(), vec![0; room]);
        for piece in bytes.chunks(7) {
            let _ = reader.push(&mut room, piece);
            let _ = reader.frame(&room);
        }
        let _ = reader.frame(&bytes);
    }
}
