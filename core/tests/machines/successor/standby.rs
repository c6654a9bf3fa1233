//! Warm standby, with either version.

use std::time::Duration;

use handoff_core::op::LockReport;
use handoff_core::wire::Message;
use handoff_core::{Input, SuccessorConfig, SuccessorOp};

use super::{
    BEGIN, New, TAKEN, abort, greeting, lock_answers, open_ends, serves_alone,
    serves_until_released, tries_in_vain, warming,
};
use crate::bench::{finish, frame_of};
use crate::world::{ID, successor_config};

const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };
pub(super) const ACK: Message<'_> = Message::HelloAck { version: 2, id: ID };

/// The supervisor speaks version 2.
fn warming_v2() -> New {
    let mut n = greeting();
    assert_eq!(n.hear(0, &ACK), ["start WarmUp"]);
    n
}

fn warm_up_ends(n: &mut New) -> Vec<String> {
    finish!(n, SuccessorOp::WarmUp(ticket) => ticket.done(()))
}

pub(super) fn standing_v2() -> New {
    let mut n = warming_v2();
    assert_eq!(warm_up_ends(&mut n), ["send 0 Standby"]);
    n
}

#[test]
fn the_hello_offers_both_versions_and_standby_is_said_when_the_daemon_is_warm() {
    let mut n = standing_v2();
    assert!(n.sent[0].contains("min: 1, max: 2"), "{}", n.sent[0]);
    assert!(n.sent[1].contains("Standby"), "{}", n.sent[1]);
    assert_eq!(n.waits_for(), ("Begin".into(), Duration::from_hours(1)));
    assert_eq!(n.hear(0, &BEGIN), ["start TryLock"]);
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
}

#[test]
fn heartbeats_are_sent_while_the_daemon_warms_up_if_the_supervisor_speaks_version_2() {
    let mut n = warming_v2();
    for _ in 0..5 {
        assert_eq!(n.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
        assert_eq!(n.sleep(), ["send 0 Heartbeat"]);
    }
    assert!(n.hear(0, &BEAT).is_empty(), "taken in silence");
    warm_up_ends(&mut n);
    assert_eq!(n.waits_for().0, "Begin", "none while it stands by");

    let n = warming();
    assert_eq!(n.waits_for(), ("Operation".into(), Duration::from_hours(1)));
}

#[test]
fn c7_a_warm_up_that_fails_is_said_with_the_reason_and_the_process_leaves() {
    for make in [warming, warming_v2] {
        let mut n = make();
        let acts = finish!(n, SuccessorOp::WarmUp(ticket) => ticket.failed("bad certificate"));
        assert_eq!(acts, ["send 0 Abort", "done"]);
        let said = n.sent.last().expect("Abort");
        assert!(said.contains("warm-up failed: bad certificate"), "{said}");
        assert!(n.end().contains("bad certificate"), "{}", n.end());
    }
}

#[test]
fn c7_a_warm_up_whose_ticket_is_lost_fails_when_it_is_late() {
    for version in [1, 2] {
        let mut n = New::new(SuccessorConfig {
            warmup: Duration::from_secs(3),
            ..successor_config()
        });
        finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
        n.hear(0, &Message::HelloAck { version, id: ID });
        n.ops.clear();
        let acts = n.pass(Duration::from_secs(3));
        let expected: &[_] = match version {
            1 => &["send 0 Abort", "done"],
            _ => &["send 0 Heartbeat", "send 0 Abort", "done"],
        };
        assert_eq!(acts, expected);
        assert!(n.end().contains("did not return: warm-up"), "{}", n.end());
    }
}

#[test]
fn c7_an_abort_while_the_daemon_warms_up_stops_it_and_ends_the_process() {
    for make in [warming, warming_v2] {
        let mut n = make();
        assert_eq!(n.hear(0, &abort()), ["cancel", "done"]);
        assert!(n.end().contains("changed my mind"), "{}", n.end());
    }
}

#[test]
fn c3_a_session_lost_while_the_daemon_warms_up_is_decided_by_the_lock() {
    let mut n = warming_v2();
    assert_eq!(n.lose(0), ["close 0", "start TryLock"]);
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    assert!(warm_up_ends(&mut n).is_empty(), "nobody waits for it");
    assert_eq!(open_ends(&mut n, true), ["start PublishPath"]);
    serves_alone(&mut n);

    let mut n = warming_v2();
    n.lose(0);
    let (took, acts) = tries_in_vain(&mut n);
    assert_eq!(took, Duration::from_secs(2));
    assert_eq!(acts, ["done"]);
}

#[test]
fn c3_a_session_lost_while_standing_by_is_decided_by_the_lock() {
    let mut n = standing_v2();
    assert_eq!(n.lose(0), ["close 0", "start TryLock"]);
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    assert_eq!(open_ends(&mut n, true), ["start PublishPath"]);
    serves_alone(&mut n);
}

#[test]
fn c3_a_supervisor_that_never_says_begin_counts_as_lost() {
    let mut n = New::new(SuccessorConfig {
        begin: Duration::from_secs(9),
        ..successor_config()
    });
    finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
    n.hear(0, &ACK);
    warm_up_ends(&mut n);
    assert_eq!(n.pass(Duration::from_secs(9)), ["start TryLock"]);
    assert!(n.has_seen("the supervisor has been silent"));
}

#[test]
fn version_1_may_say_begin_while_the_daemon_still_warms_up() {
    let mut n = warming();
    assert_eq!(n.hear(0, &BEGIN), ["start TryLock"]);
    assert!(warm_up_ends(&mut n).is_empty(), "that is the adapter's");
    assert!(lock_answers(&mut n, LockReport::Held).is_empty());
    n.sleep();
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    assert_eq!(
        open_ends(&mut n, true),
        ["send 0 Ready", "start PublishPath"]
    );
    serves_until_released(&mut n);
}

#[test]
fn a_warm_up_that_fails_after_begin_does_not_end_the_machine() {
    let mut n = warming();
    n.hear(0, &BEGIN);
    let acts = finish!(n, SuccessorOp::WarmUp(ticket) => ticket.failed("no upstream"));
    assert!(acts.is_empty(), "the open hook says what becomes of that");
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
}

#[test]
fn version_2_may_not_say_begin_before_standby() {
    let mut n = warming_v2();
    assert_eq!(n.hear(0, &BEGIN), ["close 0", "start TryLock"]);
    assert!(
        n.has_seen("Begin is not allowed while Warming"),
        "{:?}",
        n.seen
    );
    // It counts as lost, and the incumbent lives.
    let (_, acts) = tries_in_vain(&mut n);
    assert_eq!(acts, ["done"]);
}

#[test]
fn a_frame_of_version_1_on_a_link_of_version_2_ends_the_session() {
    let mut n = standing_v2();
    let acts = n.bytes(0, &frame_of(1, &BEGIN));
    assert_eq!(acts, ["close 0", "start TryLock"]);
    assert!(n.has_seen("a frame of version 1 on a session of version 2"));
}

#[test]
fn bytes_after_a_message_end_a_session_of_version_2_alone() {
    let extra = |version| {
        let mut frame = frame_of(version, &BEGIN);
        frame[0] += 1;
        frame.push(0);
        frame
    };
    let mut n = standing_v2();
    assert_eq!(n.bytes(0, &extra(2)), ["close 0", "start TryLock"]);
    assert!(n.has_seen("1 bytes too many after its last field"));
    let mut n = warming();
    assert_eq!(n.bytes(0, &extra(1)), ["start TryLock"]);
    assert!(!n.has_seen("lost"), "{:?}", n.seen);
}

#[test]
fn a_standby_that_is_not_read_delays_nothing() {
    let mut n = warming_v2();
    n.takes = false;
    assert_eq!(warm_up_ends(&mut n), ["send 0 Standby"]);
    assert_eq!(n.hear(0, &BEGIN), ["start TryLock"]);
    n.takes = true;
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    assert!(open_ends(&mut n, true).is_empty(), "Ready is behind it");
    let count = 4 + 2 + 1 + 17;
    let link = handoff_core::Successor::CHANNEL;
    let acts = n.input(Input::Wrote { link, count });
    assert_eq!(acts, ["send 0 Ready", "start PublishPath"]);
}

#[test]
fn messages_of_version_2_end_a_session_of_version_1() {
    for message in [
        Message::Standby { id: ID },
        Message::ListenersRequest,
        Message::StatusRequest,
    ] {
        let mut n = warming();
        assert_eq!(n.hear(0, &message), ["close 0", "start TryLock"]);
        assert!(
            n.has_seen("does not exist in version 1 of the protocol"),
            "{:?}",
            n.seen
        );
    }
    let mut n = standing_v2();
    assert_eq!(
        n.hear(0, &Message::StatusRequest),
        ["close 0", "start TryLock"]
    );
    assert!(n.has_seen("StatusRequest is not allowed while Standing"));
}
