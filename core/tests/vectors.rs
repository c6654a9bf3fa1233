//! The codec against `data/vectors.txt`: bytes that a published version 1 peer wrote.

use handoff_core::wire::{
    DecodeError, FrameReader, HandoffId, Hello, Message, MessageKind, Names, Revisions, Side,
    VersionRange, decode, encode,
};

const FILE: &str = include_str!("data/vectors.txt");

const ID: HandoffId = HandoffId::from_bytes([
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 2, 3, 4, 5, 6, 7,
]);

/// One entry of the file, beside its description.
struct Vector {
    name: &'static str,
    frame: Vec<u8>,
    version: u16,
    payload: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let entries: Vec<_> = FILE.split("\n\n").filter_map(vector).collect();
    assert_eq!(entries.len(), expected().len(), "entries in the file");
    entries
}

/// Reads one entry; `None` for the file's heading.
fn vector(entry: &'static str) -> Option<Vector> {
    let line = |label: &str| entry.lines().find_map(|line| line.strip_prefix(label));
    let name = line("name:")?.trim();
    let frame = bytes(line("frame:").expect(name));
    let parts = line("  length=").expect(name);
    let (length, parts) = parts.split_once(" version=").expect(name);
    let (version, payload) = parts.split_once(" payload:").expect(name);
    assert_eq!(length.parse(), Ok(frame.len() - 4), "{name}");
    Some(Vector {
        name,
        frame,
        version: version.parse().expect(name),
        payload: bytes(payload),
    })
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hexadecimal
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect(hexadecimal))
        .collect()
}

fn hello(side: Side, pid: u32, build_id: &[u8]) -> Hello<'_> {
    Hello {
        side,
        pid,
        build_id,
        versions: VersionRange::V1,
        capabilities: 0,
    }
}

fn seal_complete(revisions: &[u64], fingerprint: [u8; 32]) -> Message<'_> {
    Message::SealComplete {
        id: ID,
        revisions: Revisions::from(revisions),
        fingerprint,
    }
}

fn ready<'a>(names: &'a [&'a str], healthz_ok: bool, revisions: &'a [u64]) -> Message<'a> {
    Message::Ready {
        id: ID,
        listening_on: Names::from(names),
        healthz_ok,
        revisions: Revisions::from(revisions),
    }
}

/// What each entry means, by name, in the order of the file.
fn expected() -> Vec<(&'static str, Message<'static>)> {
    const BUILD_ID: [u8; 20] = bytes_from(0xa0);
    vec![
        (
            "hello_incumbent",
            Message::Hello(hello(Side::Incumbent, 1234, &BUILD_ID)),
        ),
        (
            "hello_successor_empty_build",
            Message::Hello(hello(Side::Successor, 1, &[])),
        ),
        (
            "hello_max_ints",
            Message::Hello(Hello {
                versions: VersionRange {
                    min: 0,
                    max: u16::MAX,
                },
                capabilities: u64::MAX,
                ..hello(Side::Successor, u32::MAX, &[0xff])
            }),
        ),
        ("hello_ack", Message::HelloAck { version: 1, id: ID }),
        (
            "prepare_handoff",
            Message::PrepareHandoff {
                id: ID,
                successor_pid: 4321,
                deadline_ms: 300_000,
                drain_grace_ms: 60_000,
            },
        ),
        (
            "drained_clean",
            Message::Drained {
                open_connections: 0,
                accept_closed: true,
            },
        ),
        (
            "drained_300_open",
            Message::Drained {
                open_connections: 300,
                accept_closed: false,
            },
        ),
        ("seal_request", Message::SealRequest { id: ID }),
        (
            "seal_progress",
            Message::SealProgress {
                sealed: 3,
                total: 128,
                revision: 16384,
            },
        ),
        (
            "seal_complete",
            seal_complete(&[0, 127, 128, u64::MAX], bytes_from(0xe0)),
        ),
        ("seal_complete_no_shards", seal_complete(&[], [0; 32])),
        (
            "seal_failed",
            Message::SealFailed {
                id: ID,
                error: "disk full",
                partial_state: "shard 3",
            },
        ),
        ("begin", Message::Begin { id: ID }),
        ("ready", ready(&["resp", "http"], true, &[7, 300])),
        ("ready_empty", ready(&[], false, &[])),
        ("commit", Message::Commit { id: ID }),
        (
            "abort",
            Message::Abort {
                id: ID,
                reason: "drain timeout",
            },
        ),
        (
            "abort_utf8",
            Message::Abort {
                id: ID,
                reason: "naïve ✓",
            },
        ),
        ("resume_after_abort", Message::ResumeAfterAbort { id: ID }),
        (
            "heartbeat",
            Message::Heartbeat {
                ts_ms: 1_700_000_000_000,
            },
        ),
        ("heartbeat_zero", Message::Heartbeat { ts_ms: 0 }),
    ]
}

/// `first`, `first + 1` and so on.
const fn bytes_from<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [first; N];
    let mut at = 1;
    while at < N {
        bytes[at] = bytes[at - 1].wrapping_add(1);
        at += 1;
    }
    bytes
}

#[test]
fn every_message_of_version_1_is_in_the_file() {
    let expected = expected();
    for kind in MessageKind::ALL {
        assert!(
            expected.iter().any(|(_, message)| message.kind() == kind),
            "{kind}"
        );
    }
}

#[test]
fn encoding_gives_the_bytes_of_the_file() {
    for (vector, (name, message)) in vectors().iter().zip(expected()) {
        assert_eq!(vector.name, name);
        let mut out = [0; 256];
        let len = encode(vector.version, &message, &mut out).expect(name);
        assert_eq!(&out[..len], vector.frame, "{name}");
    }
}

#[test]
fn decoding_gives_the_messages() {
    for (vector, (name, message)) in vectors().iter().zip(expected()) {
        assert_eq!(vector.name, name);
        let (mut reader, mut room) = (FrameReader::new(), [0; 256]);
        let pushed = reader.push(&mut room, &vector.frame).expect(name);
        assert_eq!(
            (pushed.consumed, pushed.complete),
            (vector.frame.len(), true),
            "{name}"
        );
        let frame = reader.frame(&room).expect(name);
        assert_eq!(frame.version, vector.version, "{name}");
        assert_eq!(frame.payload, vector.payload, "{name}");
        for version in [0, 1, 2] {
            assert_eq!(decode(version, frame.payload), Ok(message), "{name}");
        }

        // What was decoded still encodes, lists included.
        let mut out = [0; 256];
        let decoded = decode(1, frame.payload).expect(name);
        let len = encode(frame.version, &decoded, &mut out).expect(name);
        assert_eq!(&out[..len], vector.frame, "{name}");
    }
}

#[test]
fn a_payload_cut_short_anywhere_is_refused() {
    for Vector { name, payload, .. } in vectors() {
        for len in 0..payload.len() {
            for version in [1, 2] {
                assert!(decode(version, &payload[..len]).is_err(), "{name} at {len}");
            }
        }
    }
}

#[test]
fn bytes_after_the_message_are_ignored_by_version_1_and_refused_by_version_2() {
    for (vector, (name, message)) in vectors().into_iter().zip(expected()) {
        let mut payload = vector.payload;
        payload.extend([0, 0xff, 1]);
        assert_eq!(decode(1, &payload), Ok(message), "{name}");
        assert_eq!(
            decode(2, &payload),
            Err(DecodeError::Trailing {
                message: message.kind(),
                extra: 3
            }),
            "{name}"
        );
    }
}
