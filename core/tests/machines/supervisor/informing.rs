//! After Commit: the incumbent leaves, and then the successor of version 2 is told, too.

use std::time::Duration;

use handoff_core::Input;
use handoff_core::LinkId;

use super::{BEAT, N, O, Sup, V1, V2, abort, opening_of, ready};
use crate::world::supervisor_config;

fn committing() -> Sup {
    let mut s = opening_of(supervisor_config(), V2, V2);
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    s
}

fn informing() -> Sup {
    let mut s = committing();
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert!(s.has_seen("Informing"));
    s
}

#[test]
fn the_successor_closes_its_link_when_it_has_taken_commit_in() {
    let mut s = informing();
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    assert_eq!(s.lose(N), ["close 2", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
}

#[test]
fn a_successor_that_does_not_close_its_link_is_waited_for_no_longer_than_a_second() {
    let mut s = informing();
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}

#[test]
fn nothing_that_is_said_or_lost_meanwhile_matters() {
    let mut s = informing();
    assert!(s.hear(N, &BEAT).is_empty());
    assert_eq!(
        s.hear(N, &abort()),
        ["close 2", "start ClearJournal", "done"]
    );
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
    assert!(s.end().starts_with("committed"));
}

// One that is just trying for the lock could come back, if the successor died right after it was told.
#[test]
fn the_successor_is_told_only_when_the_incumbent_has_left() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    s.takes = true;
    let (link, count) = (LinkId(O), 4 + 2 + 1 + 17);
    assert!(s.input(Input::Wrote { link, count }).is_empty());
    assert!(s.hear(O, &BEAT).is_empty() && s.hear(N, &abort()).is_empty());
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
}

// It finds out by the end of its channel, and waits for as long as the incumbent can take to leave.
#[test]
fn behind_an_incumbent_that_does_not_leave_or_has_given_up_the_successor_is_told_nothing() {
    let mut s = committing();
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));

    let mut s = committing();
    assert_eq!(s.hear(O, &abort()), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
}

#[test]
fn a_successor_that_is_gone_after_ready_is_not_waited_for() {
    let mut s = committing();
    assert_eq!(s.lose(N), ["close 2"]);
    assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
}

#[test]
fn a_successor_of_version_1_is_told_nothing() {
    for old in [V1, V2] {
        let mut s = opening_of(supervisor_config(), old, V1);
        assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
        assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
    }
}

#[test]
fn a_commit_to_a_successor_that_does_not_read_is_given_up_after_a_second() {
    let mut s = committing();
    s.takes = false;
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}
