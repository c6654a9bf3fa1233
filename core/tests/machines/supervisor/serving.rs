//! After Ready without a probation: Commit waits a moment, in which the incumbent could come back.

use std::time::Duration;

use handoff_core::SupervisorConfig;

use super::{BEAT, N, O, Sup, V1, V2, abort, connect, kill_ends, opening_of, ready};
use crate::world::{NEW, supervisor_config};

fn serving() -> Sup {
    let mut s = opening_of(supervisor_config(), V2, V2);
    assert!(s.hear(N, &ready(true)).is_empty());
    assert!(s.has_seen("Serving"));
    s
}

#[test]
fn commit_waits_a_moment() {
    let mut s = serving();
    assert_eq!(s.waits_for(), ("Commit".into(), Duration::from_millis(2)));
    assert!(s.pass(Duration::from_millis(1)).is_empty());
    assert_eq!(s.pass(Duration::from_millis(1)), ["send 1 Commit"]);
    assert!(s.has_seen("Committing"));
}

#[test]
fn with_a_peer_of_version_1_or_without_a_delay_it_follows_ready_at_once() {
    for (incumbent, successor) in [(V1, V2), (V2, V1), (V1, V1)] {
        let mut s = opening_of(supervisor_config(), incumbent, successor);
        assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    }
    let config = SupervisorConfig {
        commit_delay: Duration::ZERO,
        ..supervisor_config()
    };
    let mut s = opening_of(config, V2, V2);
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
}

#[test]
fn c8_a_successor_lost_or_giving_up_before_commit_is_killed_and_the_incumbent_comes_back() {
    for (happens, closes) in [
        ((|s| s.lose(N)) as fn(&mut Sup) -> Vec<String>, true),
        (|s| s.hear(N, &abort()), false),
        (|s| s.hear(N, &ready(true)), true),
    ] {
        let mut s = serving();
        let acts = happens(&mut s);
        let expected = ["close 2", "start Kill"];
        assert_eq!(acts, expected[usize::from(!closes)..]);
        assert_eq!(
            kill_ends(&mut s, NEW),
            ["send 1 ResumeAfterAbort", "start ClearJournal", "done"]
        );
        assert!(s.end().starts_with("rolled back"), "{}", s.end());
    }
}

#[test]
fn c6_an_incumbent_lost_before_commit_changes_nothing() {
    let mut s = serving();
    assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"), "{}", s.end());
}

#[test]
fn c8_with_both_lost_before_commit_the_incumbent_is_looked_for() {
    let mut s = serving();
    s.lose(N);
    assert_eq!(s.lose(O), ["close 1"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts, ["close 3", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("rolled back"), "{}", s.end());
}

#[test]
fn c2_what_an_incumbent_says_of_giving_up_before_commit_changes_nothing() {
    let mut s = serving();
    assert!(s.hear(O, &abort()).is_empty());
    assert!(s.hear(O, &BEAT).is_empty() && s.hear(N, &BEAT).is_empty());
    assert_eq!(s.pass(supervisor_config().commit_delay), ["send 1 Commit"]);
}
