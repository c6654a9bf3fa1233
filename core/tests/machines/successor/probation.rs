//! Serving on probation, with either version: who ends it, and how.

use handoff_core::op::Verdict;
use handoff_core::wire::Message;
use handoff_core::{SuccessorOp, SuccessorOutcome};

use super::standby::standing_v2;
use super::{BEGIN, New, TAKEN, abort, lock_answers, open_ends, opening, publish_ends, released};
use crate::bench::finish;
use crate::world::ID;

const COMMIT: Message<'_> = Message::Commit { id: ID };

fn opening_v2() -> New {
    let mut n = standing_v2();
    assert_eq!(n.hear(0, &BEGIN), ["start TryLock"]);
    assert_eq!(lock_answers(&mut n, TAKEN), ["start Open"]);
    n
}

fn publishing_v2() -> New {
    let mut n = opening_v2();
    assert_eq!(
        open_ends(&mut n, true),
        ["send 0 Ready", "start PublishPath"]
    );
    n
}

fn on_probation() -> New {
    let mut n = publishing_v2();
    assert_eq!(publish_ends(&mut n), ["start Serve"]);
    n
}

fn serves(n: &New, verdict: Verdict) {
    let serving = SuccessorOutcome::Serving {
        generation: 9,
        published: true,
        verdict,
    };
    assert_eq!(n.outcome, Some(serving));
}

#[test]
fn it_serves_at_once_and_waits_for_commit_without_a_deadline() {
    let mut n = on_probation();
    let Some(SuccessorOp::Serve {
        generation,
        published,
        ..
    }) = n.ops.last()
    else {
        panic!("{:?}", n.ops);
    };
    assert_eq!((*generation, *published), (9, true));
    assert_eq!(n.wait.and_then(|wait| wait.deadline), None);
    assert!(n.hear(0, &Message::Heartbeat { ts_ms: 1 }).is_empty());
    assert!(finish!(n, SuccessorOp::Serve { ticket, .. } => ticket.done(())).is_empty());
    assert_eq!(n.hear(0, &COMMIT), ["done"]);
    serves(&n, Verdict::Committed);
    assert_eq!(n.end(), "serving as generation 9, committed");
}

#[test]
fn c5_a_session_lost_on_probation_leaves_it_serving() {
    let mut n = on_probation();
    assert_eq!(n.lose(0), ["close 0", "done"]);
    serves(&n, Verdict::Orphaned);
}

#[test]
fn c8_an_abort_on_probation_ends_the_process() {
    let mut n = on_probation();
    assert_eq!(n.hear(0, &abort()), ["done"]);
    assert!(matches!(n.outcome, Some(SuccessorOutcome::Failed(_))));
    assert!(n.end().contains("changed my mind"), "{}", n.end());
}

#[test]
fn c5_a_commit_that_comes_before_the_path_is_published_is_remembered() {
    let mut n = publishing_v2();
    assert!(n.hear(0, &COMMIT).is_empty());
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Committed);

    // Also when the session is lost meanwhile.
    let mut n = publishing_v2();
    n.hear(0, &COMMIT);
    assert_eq!(n.lose(0), ["close 0"]);
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Committed);
}

#[test]
fn c5_a_commit_that_comes_before_ready_is_known_to_be_written_is_one() {
    let mut n = opening_v2();
    n.takes = false;
    assert_eq!(open_ends(&mut n, true), ["send 0 Ready"]);
    assert_eq!(n.hear(0, &COMMIT), ["start PublishPath"]);
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Committed);
}

#[test]
fn c5_a_session_lost_while_the_path_is_published_leaves_nobody_to_say_commit() {
    let mut n = publishing_v2();
    assert_eq!(n.lose(0), ["close 0"]);
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Orphaned);
}

#[test]
fn c5_a_path_that_cannot_be_published_does_not_end_the_probation() {
    let mut n = publishing_v2();
    let acts = finish!(n, SuccessorOp::PublishPath(ticket) => ticket.failed("read-only"));
    assert_eq!(acts, ["start Serve"]);
    assert_eq!(n.hear(0, &COMMIT), ["done"]);
    let serving = SuccessorOutcome::Serving {
        generation: 9,
        published: false,
        verdict: Verdict::Committed,
    };
    assert_eq!(n.outcome, Some(serving));
}

#[test]
fn a_violation_on_probation_counts_as_a_session_lost() {
    for message in [Message::StatusRequest, Message::ListenersRequest] {
        let mut n = on_probation();
        assert_eq!(n.hear(0, &message), ["close 0", "done"]);
        serves(&n, Verdict::Orphaned);
    }
}

#[test]
fn a_commit_that_is_not_allowed_is_none() {
    let mut n = standing_v2();
    assert_eq!(n.hear(0, &COMMIT), ["close 0", "start TryLock"]);
    assert!(n.has_seen("Commit is not allowed while Standing"));
    lock_answers(&mut n, TAKEN);
    open_ends(&mut n, true);
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Orphaned);
}

/// The supervisor speaks version 1, and waits for the path to be published.
fn publishing_v1() -> New {
    let mut n = opening();
    assert_eq!(
        open_ends(&mut n, true),
        ["send 0 Ready", "start PublishPath"]
    );
    n
}

// The supervisor may still change its mind. It ends the session when it has done with the handoff.
#[test]
fn with_version_1_too_it_lasts_until_the_session_has_ended() {
    let mut n = publishing_v1();
    assert_eq!(publish_ends(&mut n), ["start Serve"]);
    assert!(n.hear(0, &Message::Heartbeat { ts_ms: 1 }).is_empty());
    assert!(finish!(n, SuccessorOp::Serve { ticket, .. } => ticket.done(())).is_empty());
    released(&mut n);
    serves(&n, Verdict::Orphaned);
}

#[test]
fn c8_with_version_1_too_an_abort_ends_the_process() {
    let mut n = publishing_v1();
    publish_ends(&mut n);
    assert_eq!(n.hear(0, &abort()), ["done"]);
    assert!(matches!(n.outcome, Some(SuccessorOutcome::Failed(_))));
}

#[test]
fn version_1_has_no_commit_for_a_successor() {
    let mut n = publishing_v1();
    assert_eq!(n.hear(0, &COMMIT), ["close 0"]);
    assert!(n.has_seen("Commit is not allowed while Publishing"));
    assert_eq!(publish_ends(&mut n), ["start Serve", "done"]);
    serves(&n, Verdict::Orphaned);

    let mut n = publishing_v1();
    publish_ends(&mut n);
    assert_eq!(n.hear(0, &COMMIT), ["close 0", "done"]);
    assert!(n.has_seen("Commit is not allowed while Probation"));
    serves(&n, Verdict::Orphaned);
}
