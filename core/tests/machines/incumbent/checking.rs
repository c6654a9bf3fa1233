//! `C11`, sealed and with version 2: once the announced deadline has passed, has anybody the lock?

use std::time::Duration;

use handoff_core::IncumbentOp;
use handoff_core::op::LockReport;

use super::version_2::{BEAT, acknowledge, returns, sealed};
use super::{ABORT, COMMIT, Old, RESUME, TAKEN, lock_answers, path_answers, unexpected};
use crate::bench::finish;

/// The supervisor lives until the lock is looked at.
fn lives(o: &mut Old) -> Duration {
    let start = o.now;
    loop {
        assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
        let acts = o.pass(Duration::from_secs(1));
        if !acts.is_empty() {
            assert_eq!(acts, ["start TryLock"]);
            return o.now.since(start);
        }
    }
}

fn checking() -> Old {
    let mut o = sealed();
    assert_eq!(lives(&mut o), Duration::from_secs(61));
    assert!(o.has_seen("Checking"));
    o
}

#[test]
fn c11_a_lock_that_nobody_has_taken_by_the_deadline_is_taken_back() {
    let mut o = checking();
    assert_eq!(
        lock_answers(&mut o, TAKEN),
        ["send 1 Abort", "start InspectPath"]
    );
    assert_eq!(o.hear(1, &COMMIT), ["send 1 Abort"], "too late");
    returns(&mut o);
}

#[test]
fn c11_a_lock_that_is_taken_may_be_kept_as_long_as_the_supervisor_lives() {
    let mut o = checking();
    for _ in 0..100 {
        assert!(lock_answers(&mut o, LockReport::Held).is_empty());
        assert_eq!(lives(&mut o), Duration::from_secs(10));
    }
    assert!(lock_answers(&mut o, LockReport::Held).is_empty());
    assert_eq!(o.hear(1, &COMMIT), ["done"]);
    assert!(o.end().starts_with("handed over"), "{}", o.end());
}

#[test]
fn c11_a_look_at_the_lock_that_fails_or_does_not_end_is_made_again() {
    let mut o = checking();
    let acts = finish!(o, IncumbentOp::TryLock(ticket) => ticket.failed("no locks left"));
    assert!(acts.is_empty());
    assert!(o.has_seen("the writer lock cannot be taken: no locks left"));
    assert_eq!(lives(&mut o), Duration::from_secs(10));
    o.ops.clear();
    let start = o.now;
    while o.ops.is_empty() {
        o.hear(1, &BEAT);
        o.pass(Duration::from_secs(1));
    }
    assert_eq!(o.now.since(start), Duration::from_secs(40));
    assert_eq!(
        lock_answers(&mut o, TAKEN),
        ["send 1 Abort", "start InspectPath"]
    );
}

#[test]
fn a_commit_that_comes_while_the_lock_is_looked_at_counts() {
    let mut o = checking();
    assert_eq!(o.hear(1, &COMMIT), ["done"]);
    assert!(o.end().starts_with("handed over"), "{}", o.end());
}

#[test]
fn c2_a_handoff_given_up_while_the_lock_is_looked_at_goes_on_with_that_look() {
    for give_up in [
        (|o| o.hear(1, &ABORT)) as fn(&mut Old) -> Vec<String>,
        |o| o.hear(1, &RESUME),
        |o| {
            assert_eq!(o.lose(1), ["close 1"]);
            Vec::new()
        },
    ] {
        let mut o = checking();
        assert!(give_up(&mut o).is_empty(), "no second try beside the first");
        assert!(o.has_seen("Reclaiming"));
        assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
        returns(&mut o);
        let mut o = checking();
        give_up(&mut o);
        assert_eq!(
            lock_answers(&mut o, LockReport::Held),
            ["start InspectPath"]
        );
    }
}

#[test]
fn c11_a_supervisor_that_falls_silent_while_the_lock_is_looked_at_is_given_up() {
    let mut o = checking();
    assert_eq!(o.pass(Duration::from_secs(11)), ["send 1 Abort"]);
    assert!(o.has_seen("Reclaiming"));
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
    returns(&mut o);
}

#[test]
fn c2_a_violation_while_the_lock_is_looked_at_is_a_session_lost() {
    let mut o = checking();
    assert_eq!(o.hear(1, &super::SEAL), ["close 1"]);
    assert!(unexpected(&o, "SealRequest"));
    assert!(o.has_seen("Reclaiming"));
}

#[test]
fn another_session_changes_nothing_while_the_lock_is_looked_at() {
    let mut o = checking();
    acknowledge(&mut o, 2);
    assert_eq!(o.hear(2, &super::PREPARE), ["send 2 Abort"]);
    assert_eq!(o.lose(2), ["close 2"]);
    assert!(lock_answers(&mut o, LockReport::Held).is_empty());
    assert_eq!(o.hear(1, &COMMIT), ["done"]);
}

#[test]
fn c2_an_incumbent_that_saw_the_lock_held_leaves_when_the_path_is_anothers() {
    use handoff_core::op::PathOwner;
    let mut o = checking();
    lock_answers(&mut o, LockReport::Held);
    assert_eq!(o.lose(1), ["close 1", "start TryLock"]);
    lock_answers(&mut o, LockReport::Held);
    assert!(path_answers(&mut o, PathOwner::Theirs).is_empty());
    o.sleep();
    lock_answers(&mut o, LockReport::Held);
    assert_eq!(path_answers(&mut o, PathOwner::Theirs), ["done"]);
    assert_eq!(o.end(), "another process has taken over");
}
