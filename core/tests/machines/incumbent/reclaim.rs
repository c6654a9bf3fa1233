//! `C2` and `C11`: the way back once the lock is gone, and when the supervisor is silent.

use std::time::Duration;

use handoff_core::IncumbentOp;
use handoff_core::op::{LockReport, PathOwner};

use super::{
    ABORT, ACK, COMMIT, Old, PREPARE, RESUME, SEAL, TAKEN, comes_back, drained, draining,
    lock_answers, opened, path_answers, release_ends, releasing, sealed,
};
use crate::bench::finish;

#[test]
fn c2_a_sealed_incumbent_whose_session_is_lost_reclaims_the_lock() {
    let mut o = sealed();
    assert_eq!(o.lose(1), ["close 1", "start TryLock"]);
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
    assert_eq!(path_answers(&mut o, PathOwner::Ours), ["start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c2_a_sealed_incumbent_that_is_told_to_come_back_reclaims_the_lock() {
    for message in [ABORT, RESUME] {
        let mut o = sealed();
        assert_eq!(o.hear(1, &message), ["start TryLock"]);
        assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
        assert_eq!(path_answers(&mut o, PathOwner::Ours), ["start Resume"]);
        comes_back(&mut o);
    }
}

#[test]
fn c2_a_session_lost_while_the_lock_is_being_released_is_answered_by_taking_it_again() {
    let mut o = releasing();
    assert_eq!(o.lose(1), ["close 1"]);
    assert_eq!(release_ends(&mut o), ["start TryLock"]);
    assert!(!o.sent.iter().any(|text| text.contains("SealComplete")));
}

#[test]
fn c2_with_the_lock_back_a_control_path_that_is_not_ours_is_bound_again_before_resume() {
    for owner in [PathOwner::Theirs, PathOwner::Nobody] {
        let mut o = sealed();
        o.lose(1);
        lock_answers(&mut o, TAKEN);
        assert_eq!(path_answers(&mut o, owner), ["start BindPath"]);
        let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
        assert_eq!(acts, ["start Resume"]);
        comes_back(&mut o);
    }
}

#[test]
fn c2_a_control_path_that_cannot_be_bound_does_not_keep_the_daemon_from_serving() {
    let mut o = sealed();
    o.lose(1);
    lock_answers(&mut o, TAKEN);
    path_answers(&mut o, PathOwner::Nobody);
    let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.failed("no space"));
    assert_eq!(acts, ["start Resume"]);
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.sleep(), ["start BindPath"], "tried again while it serves");
    assert!(finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(())).is_empty());
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
}

#[test]
fn c2_while_the_successor_opens_the_incumbent_waits_and_answers_sessions() {
    let mut o = sealed();
    o.lose(1);
    for _ in 0..1000 {
        assert_eq!(
            lock_answers(&mut o, LockReport::Held),
            ["start InspectPath"]
        );
        assert!(path_answers(&mut o, PathOwner::Ours).is_empty());
        assert_eq!(o.waits_for().0, "Retry");
        assert_eq!(o.sleep(), ["start TryLock"]);
    }
    assert_eq!(opened(&mut o, 2), ["send 2 Hello"]);
    assert!(o.hear(2, &ACK).is_empty());
    assert_eq!(
        o.hear(2, &PREPARE),
        ["send 2 Abort"],
        "not while it reclaims"
    );
    assert_eq!(
        lock_answers(&mut o, TAKEN),
        ["start InspectPath"],
        "it gave up"
    );
}

#[test]
fn c2_when_the_lock_and_the_path_are_anothers_the_incumbent_leaves() {
    let mut o = sealed();
    o.lose(1);
    // It may want to see that more than once, but not for long.
    for _ in 0..3 {
        if o.outcome.is_none() {
            assert_eq!(
                lock_answers(&mut o, LockReport::Held),
                ["start InspectPath"]
            );
            if path_answers(&mut o, PathOwner::Theirs).is_empty() {
                assert_eq!(o.sleep(), ["start TryLock"]);
            }
        }
    }
    assert_eq!(o.end(), "another process has taken over");
}

/// The lock is held; what is seen of the path, and whether the incumbent goes on trying.
fn looks(o: &mut Old, owner: PathOwner) -> bool {
    assert_eq!(lock_answers(o, LockReport::Held), ["start InspectPath"]);
    let stays = path_answers(o, owner).is_empty();
    if stays {
        assert_eq!(o.sleep(), ["start TryLock"]);
    }
    stays
}

#[test]
fn c2_the_path_must_be_anothers_twice_in_a_row_before_the_incumbent_leaves() {
    for between in [PathOwner::Ours, PathOwner::Nobody] {
        let mut o = sealed();
        o.lose(1);
        assert!(looks(&mut o, PathOwner::Theirs), "it may be dying");
        assert!(looks(&mut o, between));
        assert!(looks(&mut o, PathOwner::Theirs), "another one, perhaps");
        assert!(!looks(&mut o, PathOwner::Theirs));
        assert_eq!(o.end(), "another process has taken over");
    }
}

#[test]
fn c2_an_incumbent_does_not_leave_while_the_supervisor_may_still_kill_the_successor() {
    let mut o = sealed();
    assert_eq!(opened(&mut o, 2), ["send 2 Hello"]);
    assert_eq!(o.hear(1, &ABORT), ["start TryLock"]);
    for _ in 0..5 {
        assert!(looks(&mut o, PathOwner::Theirs));
    }
    o.lose(2);
    for _ in 0..5 {
        assert!(looks(&mut o, PathOwner::Theirs), "not that session");
    }
    o.lose(1);
    assert!(looks(&mut o, PathOwner::Theirs));
    assert!(!looks(&mut o, PathOwner::Theirs));
}

#[test]
fn c2_a_path_that_cannot_be_looked_at_is_tried_again_or_bound() {
    let mut o = sealed();
    o.lose(1);
    lock_answers(&mut o, LockReport::Held);
    let acts = finish!(o, IncumbentOp::InspectPath(ticket) => ticket.failed("no"));
    assert!(acts.is_empty());
    assert_eq!(o.sleep(), ["start TryLock"]);
    lock_answers(&mut o, TAKEN);
    let acts = finish!(o, IncumbentOp::InspectPath(ticket) => ticket.failed("no"));
    assert_eq!(acts, ["start BindPath"]);
    assert!(o.has_seen("the control socket cannot be bound: no"));
}

#[test]
fn c2_a_release_that_is_not_wanted_and_does_not_end_is_waited_for_as_long_as_any_operation() {
    let mut o = releasing();
    o.lose(1);
    assert_eq!(o.waits_for(), ("Operation".into(), Duration::from_secs(30)));
    assert_eq!(o.sleep(), ["done"]);
    assert!(o.end().starts_with("cannot serve"), "{}", o.end());
}

#[test]
fn a_ticket_lost_anywhere_but_in_binding_leaves_the_path_alone() {
    let mut o = sealed();
    o.lose(1);
    lock_answers(&mut o, TAKEN);
    o.ops.clear();
    assert_eq!(o.sleep(), ["start BindPath"], "nobody knows whose it is");
    finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None, "it is bound");
}

#[test]
fn a_ticket_lost_in_binding_makes_the_daemon_serve_and_bind_again() {
    let mut o = sealed();
    o.lose(1);
    lock_answers(&mut o, TAKEN);
    path_answers(&mut o, PathOwner::Nobody);
    o.ops.clear();
    assert_eq!(o.sleep(), ["start Resume"]);
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.sleep(), ["start BindPath"]);
}

#[test]
fn c11_a_supervisor_that_is_silent_while_the_hook_runs_is_given_up_at_its_deadline() {
    let mut o = draining();
    let acts = o.pass(Duration::from_mins(1));
    assert!(acts.iter().all(|act| act == "send 1 Heartbeat"), "{acts:?}");
    let acts = o.pass(Duration::from_secs(1));
    assert_eq!(acts.last().map(String::as_str), Some("cancel"), "{acts:?}");
    assert!(acts.contains(&"send 1 Abort".into()));
    assert!(o.has_seen("the supervisor has been silent"));
}

#[test]
fn c11_a_drained_incumbent_comes_back_when_the_supervisor_falls_silent() {
    let mut o = drained();
    assert_eq!(o.waits_for(), ("Owner".into(), Duration::from_secs(11)));
    assert_eq!(o.sleep(), ["send 1 Abort", "start Resume"]);
    assert_eq!(o.hear(1, &SEAL), ["send 1 Abort"], "it thawed too late");
    comes_back(&mut o);
}

#[test]
fn c11_a_sealed_incumbent_reclaims_when_the_supervisor_falls_silent() {
    let mut o = sealed();
    assert_eq!(o.waits_for(), ("Owner".into(), Duration::from_secs(11)));
    assert_eq!(o.sleep(), ["send 1 Abort", "start TryLock"]);
    assert_eq!(o.hear(1, &COMMIT), ["send 1 Abort"], "it thawed too late");
    assert!(o.hear(1, &RESUME).is_empty(), "nothing is left to undo");
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
}
