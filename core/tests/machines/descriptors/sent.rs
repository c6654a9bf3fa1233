//! Sending descriptors: with the first byte of their frame, once, and with no other frame.

use handoff_core::op::ListenersReport;
use handoff_core::wire::{HandoffId, Message, Names};
use handoff_core::{Action, Handles, Incumbent, IncumbentOp, Input, Step};

use super::{BEAT, ONE, TWO, listeners};
use crate::bench::{Bench, frame_of};
use crate::world::{ID, incumbent_config};

/// An incumbent whose session 1 was asked for its listeners.
fn asked() -> Bench<Incumbent, 8> {
    let mut o = Bench::<Incumbent, 8>::new(incumbent_config());
    o.input(Input::Opened { link: ONE, peer: 1 });
    o.hear(1, &Message::HelloAck { version: 2, id: ID });
    o.hear(1, &Message::ListenersRequest);
    o.takes = false;
    o
}

/// What one turn lends.
fn lent(o: &mut Bench<Incumbent, 8>, input: Input<'_>) -> Option<(Vec<u8>, Handles)> {
    let mut turn = o.machine.handle(o.now, input).expect("a legal input");
    let mut lent = None;
    loop {
        match turn.next() {
            Step::Do(Action::Send { bytes, handles, .. }) => {
                assert_eq!(lent, None, "lent once a turn");
                lent = Some((bytes.to_vec(), handles));
            }
            Step::Do(Action::Start(op)) => o.ops.push(op),
            Step::Do(_) => {}
            Step::Wait(_) | Step::Done(_) => return lent,
        }
    }
}

fn lists(o: &mut Bench<Incumbent, 8>) -> Option<(Vec<u8>, Handles)> {
    let report = ListenersReport {
        names: Names::from(&["http", "admin"][..]),
        handles: TWO,
    };
    let Some(IncumbentOp::ListListeners(ticket)) = o.ops.pop() else {
        panic!("{:?}", o.ops);
    };
    lent(o, Input::Completed(ticket.done(report)))
}

fn wrote(count: usize) -> Input<'static> {
    Input::Wrote { link: ONE, count }
}

fn hears(o: &mut Bench<Incumbent, 8>, message: &Message<'_>) -> Option<(Vec<u8>, Handles)> {
    let bytes = frame_of(2, message);
    let input = Input::Bytes {
        link: ONE,
        bytes: &bytes,
        handles: Handles::NONE,
    };
    lent(o, input)
}

#[test]
fn a_frame_with_descriptors_is_lent_by_itself_and_with_them() {
    let frame = frame_of(2, &listeners());
    let beat = frame_of(2, &Message::Heartbeat { ts_ms: 5000 });
    let abort = |o: &mut _| {
        hears(
            o,
            &Message::PrepareHandoff {
                id: ID,
                successor_pid: 1,
                deadline_ms: 1000,
                drain_grace_ms: 1000,
            },
        )
    };
    let mut o = asked();
    // A heartbeat is owed before it, and a refusal after it.
    assert_eq!(hears(&mut o, &BEAT), Some((beat.clone(), Handles::NONE)));
    assert_eq!(lists(&mut o), None, "one at a time");
    assert_eq!(abort(&mut o), None, "the drain starts");
    assert_eq!(hears(&mut o, &Message::Abort { id: ID, reason: "" }), None);
    assert_eq!(abort(&mut o), None, "refused");

    let enclosed = (frame.clone(), TWO);
    let rest = |at: usize| Some((beat[at..].to_vec(), Handles::NONE));
    assert_eq!(lent(&mut o, wrote(0)), rest(0));
    assert_eq!(lent(&mut o, wrote(2)), rest(2));
    assert_eq!(lent(&mut o, wrote(beat.len() - 2)), Some(enclosed.clone()));
    // Blocked: neither bytes nor descriptors have left.
    assert_eq!(lent(&mut o, wrote(0)), Some(enclosed));
    let (after, handles) = lent(&mut o, wrote(frame.len())).expect("Abort");
    assert_eq!((after[6], handles), (11, Handles::NONE));
    assert_eq!(lent(&mut o, wrote(after.len())), None);
}

#[test]
fn when_a_part_of_the_frame_has_left_its_descriptors_have() {
    let frame = frame_of(2, &listeners());
    for part in 1..frame.len() {
        let mut o = asked();
        assert_eq!(lists(&mut o), Some((frame.clone(), TWO)));
        let rest = Some((frame[part..].to_vec(), Handles::NONE));
        assert_eq!(lent(&mut o, wrote(part)), rest);
        assert_eq!(lent(&mut o, wrote(0)), rest);
        assert_eq!(lent(&mut o, wrote(frame.len() - part)), None);
        assert_eq!(o.input(wrote(0)), Vec::<String>::new());
    }
}

#[test]
fn more_may_not_be_reported_written_than_the_frame_that_was_lent() {
    let frame = frame_of(2, &listeners());
    let mut o = asked();
    lists(&mut o);
    hears(&mut o, &Message::StatusRequest);
    assert!(o.offer(wrote(frame.len() + 1)).is_err());
    assert!(o.offer(wrote(frame.len())).is_ok());
}

#[test]
fn a_second_frame_with_descriptors_waits_for_nobody_and_is_refused() {
    let mut o = asked();
    let frame = frame_of(2, &listeners());
    assert_eq!(lists(&mut o), Some((frame.clone(), TWO)));
    hears(&mut o, &Message::ListenersRequest);
    assert_eq!(lists(&mut o), None);
    let (bytes, handles) = lent(&mut o, wrote(frame.len())).expect("Abort");
    assert_eq!((bytes[6], handles), (11, Handles::NONE));
}

#[test]
fn a_link_that_is_being_closed_still_gets_them() {
    let mut o = asked();
    let frame = frame_of(2, &listeners());
    assert_eq!(lists(&mut o), Some((frame.clone(), TWO)));
    let id = HandoffId::from_bytes([9; 16]);
    assert!(o.hear(1, &Message::Commit { id }).is_empty(), "a violation");
    assert_eq!(lent(&mut o, wrote(0)), Some((frame.clone(), TWO)));
    assert_eq!(o.input(wrote(frame.len())), ["close 1"]);
}

#[test]
fn room_that_is_used_again_does_not_move_them_to_another_frame() {
    let mut o = asked();
    let frame = frame_of(2, &listeners());
    let beat = hears(&mut o, &BEAT).expect("an answer").0;
    assert_eq!(lists(&mut o), None);
    // The peer has read a part; what is left moves to the front when more is said.
    assert!(lent(&mut o, wrote(beat.len() - 1)).is_some());
    hears(&mut o, &Message::StatusRequest);
    let Some(IncumbentOp::Snapshot(ticket)) = o.ops.pop() else {
        panic!("{:?}", o.ops);
    };
    let status = ticket.done(handoff_core::op::SnapshotReport::default());
    assert_eq!(lent(&mut o, Input::Completed(status)), None);
    assert_eq!(lent(&mut o, wrote(1)), Some((frame.clone(), TWO)));
    let (after, handles) = lent(&mut o, wrote(frame.len())).expect("Status");
    assert_eq!((after[6], handles), (19, Handles::NONE));
}
