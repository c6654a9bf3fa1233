//! The successor's rules: `C3`, `C4`, `C5`, and what it does when it fails (`C8`). Its supervisor speaks
//! version 1 here, but for the modules.

mod probation;
mod standby;

use std::time::Duration;

use handoff_core::op::{LockReport, OpenReport};
use handoff_core::wire::{HandoffId, Message, Names, Revisions};
use handoff_core::{Input, Successor, SuccessorConfig, SuccessorOp};

use crate::bench::{Bench, finish};
use crate::world::{ID, successor_config};

type New = Bench<Successor, 1>;

const BEGIN: Message<'_> = Message::Begin { id: ID };
const SERVING: &str = "serving as generation 9, nobody is left to say Commit";
const TAKEN: LockReport = LockReport::Taken { generation: 9 };

fn abort() -> Message<'static> {
    let reason = "changed my mind";
    Message::Abort { id: ID, reason }
}

fn greeting() -> New {
    let mut n = New::new(successor_config());
    assert_eq!(n.ops.len(), 1);
    let acts = finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
    assert_eq!(acts, ["send 0 Hello"]);
    n
}

fn warming() -> New {
    let mut n = greeting();
    assert_eq!(n.machine.state().id(), None);
    let ack = Message::HelloAck { version: 1, id: ID };
    assert_eq!(n.hear(0, &ack), ["start WarmUp"]);
    assert_eq!(n.machine.state().id(), Some(ID));
    n
}

fn standing() -> New {
    let mut n = warming();
    let acts = finish!(n, SuccessorOp::WarmUp(ticket) => ticket.done(()));
    assert!(acts.is_empty(), "version 1 has no Standby");
    n
}

fn locking() -> New {
    let mut n = standing();
    assert_eq!(n.hear(0, &BEGIN), ["start TryLock"]);
    n
}

fn lock_answers(n: &mut New, report: LockReport) -> Vec<String> {
    finish!(n, SuccessorOp::TryLock(ticket) => ticket.done(report))
}

fn opening() -> New {
    let mut n = locking();
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    n
}

fn open_ends(n: &mut New, healthy: bool) -> Vec<String> {
    let report = OpenReport {
        listening_on: Names::from(&["http"][..]),
        healthy,
        revisions: Revisions::from(&[4, 5][..]),
    };
    finish!(n, SuccessorOp::Open(ticket) => ticket.done(report))
}

fn publish_ends(n: &mut New) -> Vec<String> {
    finish!(n, SuccessorOp::PublishPath(ticket) => ticket.done(()))
}

/// The path is published, and the session has not ended: it serves on probation until then.
fn serves_until_released(n: &mut New) {
    assert_eq!(publish_ends(n), ["start Serve"]);
    released(n);
}

/// The session ends, and so does the probation.
fn released(n: &mut New) {
    assert!(n.has_seen("Probation"), "{:?}", n.seen);
    assert_eq!(n.wait.and_then(|wait| wait.deadline), None);
    let acts = n.lose(0);
    assert_eq!(acts.last().map(String::as_str), Some("done"), "{acts:?}");
    assert_eq!(n.end(), SERVING);
}

/// The path is published, and the session has ended before: there is nobody to wait for.
fn serves_alone(n: &mut New) {
    assert_eq!(publish_ends(n), ["start Serve", "done"]);
    assert_eq!(n.end(), SERVING);
}

/// Tries for the lock, in vain, until the machine gives up; how long that took.
fn tries_in_vain(n: &mut New) -> (Duration, Vec<String>) {
    let start = n.now;
    loop {
        let acts = lock_answers(n, LockReport::Held);
        if !acts.is_empty() {
            return (n.now.since(start), acts);
        }
        assert_eq!(n.sleep(), ["start TryLock"]);
    }
}

#[test]
fn a_handoff_goes_step_by_step_and_the_path_is_published_after_ready() {
    let mut n = opening();
    assert_eq!(
        open_ends(&mut n, true),
        ["send 0 Ready", "start PublishPath"]
    );
    assert!(n.sent.last().is_some_and(|text| text.contains("[4, 5]")));
    serves_until_released(&mut n);
}

#[test]
fn a_control_socket_that_cannot_be_bound_is_found_before_anything_is_said() {
    let mut n = New::new(successor_config());
    let acts = finish!(n, SuccessorOp::StagePath(ticket) => ticket.failed("no space"));
    assert_eq!(acts, ["done"]);
    assert!(n.sent.is_empty());
}

#[test]
fn c3_a_session_lost_before_begin_with_the_lock_free_leads_to_serving() {
    for make in [greeting, standing] {
        let mut n = make();
        assert_eq!(n.lose(0), ["close 0", "start TryLock"]);
        assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
        assert_eq!(open_ends(&mut n, true), ["start PublishPath"]);
        serves_alone(&mut n);
    }
}

#[test]
fn c3_a_session_lost_before_begin_with_the_lock_held_for_two_seconds_ends_the_process() {
    let mut n = standing();
    n.lose(0);
    let (took, acts) = tries_in_vain(&mut n);
    assert_eq!(took, Duration::from_secs(2));
    assert_eq!(acts, ["done"]);
    assert!(n.end().contains("held by another process"), "{}", n.end());
}

#[test]
fn c3_holds_from_the_first_moment() {
    let mut n = New::new(successor_config());
    assert_eq!(n.lose(0), ["close 0"]);
    let acts = finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
    assert_eq!(acts, ["start TryLock"]);
}

#[test]
fn c3_a_supervisor_that_never_acknowledges_counts_as_lost() {
    let mut n = greeting();
    assert_eq!(n.waits_for(), ("HelloAck".into(), Duration::from_secs(5)));
    assert_eq!(n.sleep(), ["start TryLock"]);
}

#[test]
fn c4_a_lock_still_held_after_begin_is_tried_for_the_grace_and_then_given_up_with_abort() {
    let mut n = locking();
    let (took, acts) = tries_in_vain(&mut n);
    assert_eq!(took, Duration::from_secs(2));
    assert_eq!(acts, ["send 0 Abort", "done"]);
    let mut n = locking();
    assert!(lock_answers(&mut n, LockReport::Held).is_empty());
    n.sleep();
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"], "it was dying");
}

#[test]
fn c5_a_session_lost_after_begin_changes_nothing_for_a_successor_that_gets_the_lock() {
    let mut n = locking();
    assert_eq!(n.lose(0), ["close 0"]);
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    assert_eq!(open_ends(&mut n, true), ["start PublishPath"]);
    serves_alone(&mut n);

    let mut n = opening();
    assert_eq!(n.lose(0), ["close 0"]);
    assert_eq!(open_ends(&mut n, true), ["start PublishPath"]);
    serves_alone(&mut n);
}

#[test]
fn c5_a_ready_that_nobody_reads_does_not_keep_the_successor_from_serving() {
    let mut n = opening();
    n.takes = false;
    assert_eq!(open_ends(&mut n, true), ["send 0 Ready"]);
    assert_eq!(n.waits_for(), ("Write".into(), Duration::from_secs(1)));
    assert_eq!(n.sleep(), ["start PublishPath"]);
    serves_until_released(&mut n);
}

#[test]
fn c5_a_path_that_cannot_be_published_is_left_to_the_incumbents_machine() {
    let mut n = opening();
    open_ends(&mut n, true);
    let acts = finish!(n, SuccessorOp::PublishPath(ticket) => ticket.failed("read-only"));
    assert_eq!(acts, ["start Serve"]);
    released(&mut n);
    let outcome = format!("{:?}", n.outcome);
    assert!(outcome.contains("published: false"), "{outcome}");
}

#[test]
fn c7_an_abort_before_begin_ends_the_process() {
    let mut n = standing();
    assert_eq!(n.hear(0, &abort()), ["done"]);
    assert!(n.end().contains("changed my mind"));
}

#[test]
fn c8_an_abort_while_the_data_is_opened_stops_it_and_ends_the_process() {
    let mut n = opening();
    assert_eq!(n.hear(0, &abort()), ["cancel", "done"]);
}

#[test]
fn c8_an_abort_while_the_lock_is_tried_for_ends_the_process() {
    let mut n = locking();
    assert_eq!(n.hear(0, &abort()), ["done"]);
    let mut n = locking();
    assert!(lock_answers(&mut n, LockReport::Held).is_empty());
    assert_eq!(n.hear(0, &abort()), ["done"], "between two tries");
    assert!(n.end().contains("changed my mind"), "{}", n.end());
}

#[test]
fn c8_an_abort_before_ready_is_known_to_be_written_ends_the_process() {
    let mut n = opening();
    n.takes = false;
    assert_eq!(open_ends(&mut n, true), ["send 0 Ready"]);
    assert_eq!(n.hear(0, &abort()), ["done"], "nothing is published");
    assert!(n.end().contains("changed my mind"), "{}", n.end());
}

#[test]
fn c8_a_successor_that_is_not_healthy_says_so_and_leaves() {
    let mut n = opening();
    assert_eq!(open_ends(&mut n, false), ["send 0 Ready", "done"]);
    assert!(
        n.sent
            .last()
            .is_some_and(|text| text.contains("healthz_ok: false"))
    );
    assert!(n.end().contains("not healthy"));
}

#[test]
fn c8_data_that_cannot_be_opened_is_said_with_the_reason() {
    let mut n = opening();
    let acts = finish!(n, SuccessorOp::Open(ticket) => ticket.failed("bad checksum"));
    assert_eq!(acts, ["send 0 Abort", "done"]);
    assert!(
        n.sent
            .last()
            .is_some_and(|text| text.contains("bad checksum"))
    );
}

#[test]
fn heartbeats_are_sent_while_the_data_is_opened_and_taken_in_silence() {
    const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };
    let mut n = standing();
    assert!(n.hear(0, &BEAT).is_empty());
    n.hear(0, &BEGIN);
    assert!(n.hear(0, &BEAT).is_empty());
    lock_answers(&mut n, TAKEN);
    for _ in 0..5 {
        assert_eq!(n.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
        assert_eq!(n.sleep(), ["send 0 Heartbeat"]);
    }
}

#[test]
fn a_supervisor_that_breaks_the_protocol_counts_as_lost() {
    let other = HandoffId::from_bytes([8; 16]);
    let mut n = standing();
    let acts = n.hear(0, &Message::Begin { id: other });
    assert_eq!(acts, ["close 0", "start TryLock"]);
    assert!(n.has_seen(&format!("handoff id {other} instead of {ID}")));

    let mut n = greeting();
    let acts = n.hear(0, &Message::HelloAck { version: 3, id: ID });
    assert_eq!(acts, ["close 0", "start TryLock"]);
    assert!(n.has_seen("ours 1..=2, theirs 3..=3"));

    let mut n = greeting();
    assert_eq!(n.hear(0, &BEGIN), ["close 0", "start TryLock"]);
    assert!(n.has_seen("Begin is not allowed while Greeting"));
}

#[test]
fn a_completion_of_an_older_attempt_is_absorbed() {
    let mut n = New::new(SuccessorConfig {
        host_limit: Duration::from_secs(1),
        ..successor_config()
    });
    finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
    assert_eq!(n.lose(0), ["close 0", "start TryLock"]);
    let Some(SuccessorOp::TryLock(old)) = n.ops.pop() else {
        panic!("{:?}", n.ops);
    };
    assert_eq!(n.pass(Duration::from_millis(1005)), ["start TryLock"]);
    assert!(n.input(Input::Completed(old.done(TAKEN))).is_empty());
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
}

#[test]
fn c8_a_report_that_fits_into_no_frame_is_an_open_that_failed_unless_nobody_is_to_read_it() {
    const MANY: &[u64] = &[u64::MAX; 150];
    let too_large = OpenReport {
        listening_on: Names::default(),
        healthy: true,
        revisions: Revisions::from(MANY),
    };
    let mut n = opening();
    let acts = finish!(n, SuccessorOp::Open(ticket) => ticket.done(too_large));
    assert_eq!(acts, ["send 0 Abort", "done"]);
    assert!(n.end().contains("does not fit into a frame"), "{}", n.end());

    let mut n = opening();
    n.lose(0);
    let acts = finish!(n, SuccessorOp::Open(ticket) => ticket.done(too_large));
    assert_eq!(acts, ["start PublishPath"]);
    serves_alone(&mut n);
}

#[test]
fn a_lost_ticket_of_open_is_a_failed_handoff_and_one_of_publish_is_not() {
    let mut n = New::new(SuccessorConfig {
        patience: Duration::from_secs(3),
        ..successor_config()
    });
    finish!(n, SuccessorOp::StagePath(ticket) => ticket.done(()));
    n.lose(0);
    lock_answers(&mut n, TAKEN);
    n.ops.clear();
    assert_eq!(n.pass(Duration::from_secs(3)), ["done"]);
    assert!(
        n.end().contains("a hook did not return: open"),
        "{}",
        n.end()
    );

    let mut n = opening();
    open_ends(&mut n, true);
    n.ops.clear();
    assert_eq!(n.sleep(), ["start Serve"]);
    released(&mut n);
}

#[test]
fn the_reason_for_leaving_is_the_first_one() {
    let mut n = opening();
    n.takes = false;
    let acts = finish!(n, SuccessorOp::Open(ticket) => ticket.failed("bad checksum"));
    assert_eq!(acts, ["send 0 Abort"]);
    assert_eq!(n.hear(0, &abort()), ["done"]);
    assert!(n.end().contains("bad checksum"), "{}", n.end());
}
