//! Frames at the limits of what is allowed, and of the room that there is.

use super::*;

/// Room for the largest frame.
const FULL_ROOM: usize = MAX_FRAME_LEN + HEADER_LEN;

#[test]
fn a_whole_frame_stays_until_it_is_cleared() {
    let frame = framed(1, &Message::Heartbeat { ts_ms: 3 });
    let (mut reader, mut room) = (FrameReader::new(), [0; 16]);
    assert!(reader.is_empty());
    assert_eq!(reader.frame(&room), None);
    let pushed = |consumed, began, complete| {
        Ok(Pushed {
            consumed,
            began,
            complete,
        })
    };
    assert_eq!(reader.push(&mut room, &[]), pushed(0, true, false));
    assert_eq!(reader.push(&mut room, &frame[..5]), pushed(5, true, false));
    assert!(!reader.is_empty());
    assert_eq!(reader.frame(&room), None);
    let rest = [&frame[5..], &frame].concat();
    let missing = frame.len() - 5;
    assert_eq!(reader.push(&mut room, &rest), pushed(missing, false, true));
    assert_eq!(reader.push(&mut room, &frame), pushed(0, false, true));
    let payload = &frame[6..];
    assert_eq!(
        reader.frame(&room),
        Some(Frame {
            version: 1,
            payload
        })
    );
    reader.clear();
    assert_eq!(reader, FrameReader::new());
    assert_eq!(reader.frame(&room), None);
    assert_eq!(
        reader.push(&mut room, &frame),
        pushed(frame.len(), true, true)
    );
}

#[test]
fn a_frame_needs_a_version_and_no_more() {
    let (mut reader, mut room) = (FrameReader::new(), [0; 6]);
    assert!(
        reader
            .push(&mut room, &[2, 0, 0, 0, 7, 1])
            .unwrap()
            .complete
    );
    let empty = Frame {
        version: 0x0107,
        payload: &[],
    };
    assert_eq!(reader.frame(&room), Some(empty));

    for len in [0, 1] {
        let mut reader = FrameReader::new();
        let error = FrameError::TooShort {
            len: usize::from(len),
        };
        assert_eq!(reader.push(&mut room, &[len, 0, 0, 0, 1]), Err(error));
        assert_eq!(reader.push(&mut room, &[1]), Err(error), "it stays refused");
        assert_eq!(reader.frame(&room), None);
    }
}

#[test]
fn the_limit_is_one_mebibyte_or_what_the_room_holds() {
    let refused = |room: usize, len: usize, limit: usize| {
        let (mut reader, mut room) = (FrameReader::new(), vec![0; room]);
        let header = u32::try_from(len).unwrap().to_le_bytes();
        assert!(reader.push(&mut room, &header[..3]).is_ok());
        let error = FrameError::TooLong { len, limit };
        assert_eq!(reader.push(&mut room, &header[3..]), Err(error));
    };
    refused(FULL_ROOM, MAX_FRAME_LEN + 1, MAX_FRAME_LEN);
    refused(FULL_ROOM + 100, MAX_FRAME_LEN + 1, MAX_FRAME_LEN);
    refused(FULL_ROOM - 1, MAX_FRAME_LEN, MAX_FRAME_LEN - 1);
    refused(FULL_ROOM, 0xffff_ffff, MAX_FRAME_LEN);
    refused(64, 61, 60);
    refused(4, 2, 0);
    for room in 0..4 {
        let error = FrameError::NoRoom { room };
        let mut reader = FrameReader::new();
        assert_eq!(reader.push(&mut vec![0; room], &[2]), Err(error));
    }
}

#[test]
fn a_frame_of_exactly_one_mebibyte_passes_both_ways() {
    // Everything but the text: version 2, number 1, id 17, length of the text 3.
    let mut text = "x".repeat(MAX_FRAME_LEN - 23);
    let id = HandoffId::from_bytes([1; 16]);
    let frame = framed(1, &Message::Abort { id, reason: &text });
    assert_eq!(frame.len(), FULL_ROOM);
    let (mut reader, mut room) = (FrameReader::new(), vec![0; FULL_ROOM]);
    for piece in frame.chunks(65_536) {
        assert_eq!(reader.push(&mut room, piece).unwrap().consumed, piece.len());
    }
    let payload = reader.frame(&room).unwrap().payload;
    assert_eq!(decode(2, payload), Ok(Message::Abort { id, reason: &text }));

    text.push('x');
    let message = Message::Abort { id, reason: &text };
    let error = EncodeError::TooLarge {
        len: MAX_FRAME_LEN + 1,
        limit: MAX_FRAME_LEN,
    };
    let mut out = vec![0; FULL_ROOM + 8];
    assert_eq!(encode(1, &message, &mut out), Err(error));
}

#[test]
fn a_list_may_fill_the_frame() {
    // One byte per element; besides them: version 2, number 1, id 17, count 3, fingerprint 32.
    let most = vec![1; MAX_FRAME_LEN - 55];
    let message = Message::SealComplete {
        id: HandoffId::from_bytes([1; 16]),
        revisions: Revisions::from(&most[..]),
        fingerprint: [2; 32],
    };
    let frame = framed(2, &message);
    assert_eq!(frame.len(), FULL_ROOM);
    assert_eq!(decode(2, &frame[6..]), Ok(message));
}

#[test]
fn a_message_needs_room_for_its_whole_frame() {
    let message = Message::Heartbeat { ts_ms: 300 };
    let needed = encoded_len(&message);
    assert_eq!(needed, 9);
    for room in 0..needed {
        let error = EncodeError::NoRoom { needed, room };
        assert_eq!(encode(1, &message, &mut vec![0; room]), Err(error));
    }
    let mut larger = [0xee; 12];
    assert_eq!(encode(1, &message, &mut larger), Ok(needed));
    assert_eq!(larger, [5, 0, 0, 0, 1, 0, 13, 0xac, 2, 0xee, 0xee, 0xee]);
}
