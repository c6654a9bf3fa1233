//! The codec against `data/vectors.txt`: bytes that a published version 1 peer wrote, and those of
//! version 2, worked out by hand.

use handoff_core::wire::{
    DecodeError, FrameReader, HandoffId, Hello, Message, MessageKind, Names, Revisions, Side,
    StatusPhase, VersionRange, decode, encode,
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
    [version_1(), version_2()].concat()
}

fn version_1() -> Vec<(&'static str, Message<'static>)> {
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

fn version_2() -> Vec<(&'static str, Message<'static>)> {
    vec![
        (
            "hello_incumbent_v2",
            Message::Hello(Hello {
                versions: VersionRange { min: 1, max: 2 },
                ..hello(Side::Incumbent, 1234, &[])
            }),
        ),
        ("hello_ack_v2", Message::HelloAck { version: 2, id: ID }),
        ("commit_v2", Message::Commit { id: ID }),
        ("standby", Message::Standby { id: ID }),
        ("listeners_request", Message::ListenersRequest),
        (
            "listeners",
            Message::Listeners {
                names: Names::from(&["http", "admin"][..]),
            },
        ),
        ("status_request", Message::StatusRequest),
        (
            "status",
            Message::Status {
                phase: StatusPhase::Probation.number(),
                generation: 300,
                uptime_ms: 86_400_000,
                open_connections: 128,
                revisions: Revisions::from(&[7, 300][..]),
            },
        ),
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
fn every_message_is_in_the_file() {
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
            let expected = in_version(version, message);
            assert_eq!(decode(version, frame.payload), expected, "{name}");
        }

        // What was decoded still encodes, lists included.
        let mut out = [0; 256];
        let decoded = decode(2, frame.payload).expect(name);
        let len = encode(frame.version, &decoded, &mut out).expect(name);
        assert_eq!(&out[..len], vector.frame, "{name}");
    }
}

/// What a link of this version makes of the payload of this message.
fn in_version(version: u16, message: Message<'static>) -> Result<Message<'static>, DecodeError> {
    let number = message.kind().number();
    if version < 2 && number > 13 {
        return Err(DecodeError::Unknown { number, version });
    }
    Ok(message)
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
        assert_eq!(decode(1, &payload), in_version(1, message), "{name}");
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

#[test]
fn a_frame_cut_short_anywhere_is_not_complete() {
    for Vector { name, frame, .. } in vectors() {
        for len in 0..frame.len() {
            let (mut reader, mut room) = (FrameReader::new(), [0; 256]);
            let pushed = reader.push(&mut room, &frame[..len]).expect(name);
            assert_eq!((pushed.consumed, pushed.complete), (len, false), "{name}");
            assert_eq!(reader.frame(&room), None, "{name} at {len}");
        }
    }
}

#[test]
fn any_byte_after_the_message_is_one_too_many_for_version_2() {
    for (vector, (name, message)) in vectors().into_iter().zip(expected()) {
        let mut payload = vector.payload;
        payload.push(0);
        let last = payload.len() - 1;
        for byte in 0..=u8::MAX {
            payload[last] = byte;
            let ignored = in_version(1, message);
            assert_eq!(decode(1, &payload), ignored, "{name} and {byte}");
            let (message, extra) = (message.kind(), 1);
            let refused = DecodeError::Trailing { message, extra };
            assert_eq!(decode(2, &payload), Err(refused), "{name} and {byte}");
        }
    }
}

/// `bytes` with one bit changed, for every bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        (bit, flipped)
    })
}

#[test]
fn a_bit_flipped_in_a_payload_never_goes_unseen() {
    for (vector, (name, message)) in vectors().into_iter().zip(expected()) {
        for (bit, payload) in flips(&vector.payload) {
            let (first, second) = (decode(1, &payload), decode(2, &payload));
            if let Ok(read) = first {
                let new = match second {
                    Ok(second) => second,
                    Err(DecodeError::Trailing { message, extra }) => {
                        assert_eq!(message, read.kind(), "{name} at {bit}");
                        let whole = &payload[..payload.len() - extra];
                        decode(2, whole).expect(name)
                    }
                    Err(other) => panic!("{name} at {bit}: {other}"),
                };
                assert_eq!(new, read, "{name} at {bit}");
            } else if !matches!(first, Err(DecodeError::Unknown { .. })) {
                assert_eq!(second, first, "{name} at {bit}");
            }
            let Ok(read) = first.or(second) else { continue };
            assert_ne!(read, message, "{name} at {bit}");

            // What it says now is a message like any other, in the shortest spelling or an overlong
            // one; version 2 takes it if it is all that there is.
            let mut out = [0; 1024];
            let len = encode(1, &read, &mut out).expect(name);
            let again = &out[6..len];
            assert!(again.len() <= payload.len(), "{name} at {bit}");
            assert_eq!(decode(2, again), Ok(read), "{name} at {bit}");
        }
    }
}

#[test]
fn a_bit_flipped_before_the_payload_never_goes_unseen() {
    for Vector { name, frame, .. } in vectors() {
        let version = u16::from_le_bytes([frame[4], frame[5]]);
        for (bit, flipped) in flips(&frame[..6]) {
            let flipped = [&flipped[..], &frame[6..]].concat();
            let (mut reader, mut room) = (FrameReader::new(), [0; 256]);
            let pushed = reader.push(&mut room, &flipped);
            let read = reader.frame(&room);
            if bit >= 32 {
                let read = read.expect(name);
                assert_ne!(read.version, version, "{name} at {bit}");
                assert_eq!(read.payload, &frame[6..], "{name} at {bit}");
            } else if let Some(read) = read {
                // A shorter frame: its message is cut short.
                assert!(read.payload.len() < frame.len() - 6, "{name} at {bit}");
                assert!(decode(2, read.payload).is_err(), "{name} at {bit}");
            } else {
                // Refused, or bytes are missing that will be those of the next frame.
                assert!(pushed.is_ok_and(|pushed| !pushed.complete) || pushed.is_err());
            }
        }
    }
}
