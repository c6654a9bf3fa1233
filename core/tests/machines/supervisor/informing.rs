//! After Commit to the incumbent: a successor of version 2 is told, too, but not before the incumbent's
//! session has ended. An incumbent that is just trying for the lock must not come back after that.

use std::time::Duration;

use handoff_core::Input;
use handoff_core::LinkId;
use handoff_core::wire::Message;

use super::{BEAT, N, O, Sup, V1, V2, abort, opening_of, ready};
use crate::world::supervisor_config;

/// The incumbent has been sent Commit, and its session has not ended.
fn committing() -> Sup {
    committing_to(true)
}

/// The same, to an incumbent that reads, or does not.
fn committing_to(takes: bool) -> Sup {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = takes;
    assert!(s.hear(N, &ready(true)).is_empty());
    assert_eq!(s.pass(supervisor_config().commit_delay), ["send 1 Commit"]);
    s
}

fn informing() -> Sup {
    let mut s = committing();
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert!(s.has_seen("Informing"));
    s
}

fn told_successor(s: &Sup) -> bool {
    let commits = s.sent.iter().filter(|text| text.contains("Commit"));
    commits.count() > 1
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
fn nothing_that_the_successor_says_meanwhile_matters() {
    let mut s = informing();
    assert!(s.hear(N, &BEAT).is_empty());
    let acts = s.hear(N, &abort());
    assert_eq!(acts, ["close 2", "start ClearJournal", "done"]);
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
    assert!(s.end().starts_with("committed"));
}

// It has not left, so it could still come back.
#[test]
fn the_successor_of_an_incumbent_that_breaks_the_protocol_is_not_told() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.hear(N, &ready(true));
    let drained = Message::Drained {
        open_connections: 0,
        accept_closed: true,
    };
    let acts = s.hear(O, &drained);
    assert_eq!(acts, ["close 1", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}

#[test]
fn the_successor_is_told_when_the_incumbents_session_has_ended_and_not_before() {
    let mut s = committing_to(false);
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    s.takes = true;
    let (link, count) = (LinkId(O), 4 + 2 + 1 + 17);
    assert!(s.input(Input::Wrote { link, count }).is_empty(), "written");
    assert!(s.hear(O, &BEAT).is_empty() && s.hear(N, &BEAT).is_empty());
    assert!(s.hear(N, &abort()).is_empty());
    assert!(!s.has_seen("Informing"), "{:?}", s.seen);
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
}

#[test]
fn an_incumbent_that_ends_its_session_without_reading_commit_does_not_keep_it_from_the_successor() {
    let mut s = committing_to(false);
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
}

// It learns by the end of its channel that nobody says Commit, and waits until the incumbent has left.
#[test]
fn the_successor_of_an_incumbent_that_does_not_leave_in_time_is_not_told() {
    for takes in [true, false] {
        let mut s = committing_to(takes);
        assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
        assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
        assert!(!told_successor(&s), "{:?}", s.sent);
        assert!(s.end().starts_with("committed"));
    }
}

#[test]
fn the_successor_of_an_incumbent_that_had_given_up_is_not_told() {
    let mut s = committing();
    let acts = s.hear(O, &abort());
    assert_eq!(acts, ["start ClearJournal", "done"]);
    assert!(!told_successor(&s), "{:?}", s.sent);
    assert!(!s.has_seen("trouble"), "{:?}", s.seen);
    assert!(s.end().starts_with("committed"), "the lock has decided");
}

#[test]
fn a_successor_that_is_gone_after_ready_is_not_waited_for() {
    let mut s = committing();
    assert_eq!(s.lose(N), ["close 2"]);
    assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}

#[test]
fn a_successor_of_version_1_is_told_nothing() {
    for old in [V1, V2] {
        let mut s = opening_of(supervisor_config(), old, V1);
        assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
        assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
        assert!(!told_successor(&s), "{:?}", s.sent);
    }
}

#[test]
fn a_commit_to_a_successor_that_does_not_read_is_given_up_after_a_second() {
    let mut s = committing();
    s.takes = false;
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}
