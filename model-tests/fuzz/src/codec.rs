//! Bytes to values and back: frames, messages and recorded inputs.

use handoff_core::record::{decode_input, encode_input};
use handoff_core::wire::{self, FrameReader, HEADER_LEN, Message, StatusPhase};

/// Room for the frames that the fuzzer makes.
const ROOM: usize = 4096;

/// Reads a stream of frames in pieces and decodes each payload by the rules of versions 1 and 2. The
/// first byte says how the stream is cut; the whole stream is decoded as one payload besides.
pub fn decode(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else {
        return;
    };
    payload(stream);

    let whole = frames(stream, stream.len().max(1));
    assert_eq!(frames(stream, usize::from(*piece).max(1)), whole);
    for (_, bytes) in &whole {
        payload(bytes);
    }
}

/// The frames of a stream, up to the first that is refused.
fn frames(stream: &[u8], piece: usize) -> Vec<(u16, Vec<u8>)> {
    let (mut reader, mut room) = (FrameReader::new(), [0; ROOM]);
    let mut found = Vec::new();
    for mut bytes in stream.chunks(piece) {
        while !bytes.is_empty() {
            let first = reader.is_empty();
            let Ok(pushed) = reader.push(&mut room, bytes) else {
                assert_eq!(reader.frame(&room), None);
                return found;
            };
            assert!(pushed.consumed > 0 && pushed.consumed <= bytes.len());
            assert_eq!(pushed.began, first);
            bytes = &bytes[pushed.consumed..];
            assert!(pushed.complete || bytes.is_empty());
            let frame = reader.frame(&room);
            assert_eq!(frame.is_some(), pushed.complete);
            if let Some(frame) = frame {
                found.push((frame.version, frame.payload.to_vec()));
                reader.clear();
            }
        }
    }
    found
}

/// What decodes is written again and decodes the same. Of the messages that both versions have, version 2
/// is no laxer than version 1; the others version 1 does not know.
fn payload(bytes: &[u8]) {
    let (first, second) = (wire::decode(1, bytes), wire::decode(2, bytes));
    match second {
        Ok(message) if message.kind().since() == 1 => assert_eq!(first, second),
        Ok(message) => {
            assert!(first.is_err(), "{message:?} in version 1");
            comes_back(2, &message, bytes);
        }
        Err(_) => {}
    }
    if let Ok(message) = first {
        comes_back(1, &message, bytes);
        comes_back(2, &message, bytes);
    }
}

fn comes_back(version: u16, message: &Message<'_>, bytes: &[u8]) {
    let mut room = vec![0; wire::encoded_len(message)];
    let len = wire::encode(version, message, &mut room).expect("room enough");
    assert_eq!(len, room.len());
    let again = &room[HEADER_LEN + 2..];
    assert!(again.len() <= bytes.len(), "the shortest spelling");
    let read = wire::decode(version, again).expect("ours");
    assert_eq!(read, *message);
    assert_eq!(read.kind(), message.kind());
    assert_eq!(read.descriptors(), message.descriptors());
    if let Message::Status { phase, .. } = read
        && let Some(known) = StatusPhase::from_number(phase)
    {
        assert_eq!(known.number(), phase);
    }
    let _ = format!("{message:?}");
}

/// Reads a record: what decodes is written again and decodes the same.
pub fn record(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok((now, input, used)) = decode_input(rest) {
        assert!(used > 0 && used <= rest.len());
        let mut room = vec![0; used];
        let len = encode_input(now, &input, &mut room).expect("the shortest spelling");
        assert_eq!(decode_input(&room[..len]), Ok((now, input, len)));
        let _ = format!("{input:?}");
        rest = &rest[used..];
    }
}
