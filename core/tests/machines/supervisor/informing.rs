//! After Commit to the incumbent: the successor of version 2 is told, too.

use std::time::Duration;

use handoff_core::Input;
use handoff_core::LinkId;

use super::{BEAT, N, O, Sup, V1, V2, abort, opening_of, ready};
use crate::world::supervisor_config;

fn informing() -> Sup {
    let mut s = opening_of(supervisor_config(), V2, V2);
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit", "send 2 Commit"]);
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
    let happens: [fn(&mut Sup) -> Vec<String>; 5] = [
        |s| s.lose(O),
        |s| s.hear(O, &abort()),
        |s| s.hear(N, &abort()),
        |s| s.hear(N, &BEAT),
        |s| s.hear(O, &BEAT),
    ];
    for happens in happens {
        let mut s = informing();
        let acts = happens(&mut s);
        assert!(acts.is_empty() || acts == ["close 1"], "{acts:?}");
        assert!(!s.has_seen("trouble"), "{:?}", s.seen);
        assert_eq!(s.lose(N), ["close 2", "start ClearJournal", "done"]);
    }
}

#[test]
fn the_successor_is_told_only_when_the_incumbent_has_been() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    s.takes = true;
    let (link, count) = (LinkId(O), 4 + 2 + 1 + 17);
    let acts = s.input(Input::Wrote { link, count });
    assert_eq!(acts, ["send 2 Commit"]);
}

#[test]
fn an_incumbent_that_does_not_read_commit_or_is_gone_does_not_keep_it_from_the_successor() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    s.hear(N, &ready(true));
    assert_eq!(s.sleep(), ["send 2 Commit"]);

    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    s.hear(N, &ready(true));
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
}

#[test]
fn a_successor_that_is_gone_after_ready_is_not_waited_for() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    s.hear(N, &ready(true));
    assert_eq!(s.lose(N), ["close 2"]);
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
}

#[test]
fn a_successor_of_version_1_is_told_nothing() {
    for old in [V1, V2] {
        let mut s = opening_of(supervisor_config(), old, V1);
        assert_eq!(
            s.hear(N, &ready(true)),
            ["send 1 Commit", "start ClearJournal", "done"]
        );
    }
}

#[test]
fn a_commit_to_a_successor_that_does_not_read_is_given_up_after_a_second() {
    let mut s = opening_of(supervisor_config(), V2, V2);
    s.takes = false;
    s.hear(N, &ready(true));
    s.sleep();
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}
