//! Warm standby: nothing is asked of the incumbent before the successor stands by.

use std::time::Duration;

use handoff_core::SupervisorConfig;
use handoff_core::wire::{Side, VersionRange};

use super::{
    BEAT, N, O, STANDBY, Sup, V1, V2, abort, connect, hello, hello_of, journal_ends, kill_ends,
    opening_of, ready, warming_with, welcoming, welcoming_with,
};
use crate::world::{ID, NEW, supervisor_config};

const SHORTFALL: &str = "(without warm standby: version 1 with the successor)";

fn warming() -> Sup {
    warming_with(supervisor_config(), V2)
}

/// What the incumbent has been told, heartbeats apart.
fn said_to_incumbent(s: &Sup) -> Vec<&str> {
    let told = |text: &&String| text.contains("Prepare") || text.contains("Abort");
    s.sent.iter().filter(told).map(String::as_str).collect()
}

#[test]
fn prepare_is_sent_when_the_successor_stands_by() {
    let mut s = warming();
    assert!(s.hear(N, &BEAT).is_empty());
    assert_eq!(s.hear(N, &STANDBY), ["start WriteJournal"]);
    assert_eq!(journal_ends(&mut s), ["send 1 PrepareHandoff"]);
    assert_eq!(said_to_incumbent(&s).len(), 1);
}

#[test]
fn c7_a_warm_up_that_fails_costs_the_incumbent_nothing() {
    for old in [V1, V2] {
        let happens: [fn(&mut Sup) -> Vec<String>; 3] =
            [|s| s.hear(N, &abort()), |s| s.lose(N), silent];
        for happens in happens {
            let mut s = warming_with(supervisor_config(), old);
            let acts = happens(&mut s);
            assert_eq!(acts.last().map(String::as_str), Some("start Kill"));
            let acts = kill_ends(&mut s, NEW);
            assert_eq!(acts, ["start ClearJournal", "done"]);
            assert_eq!(said_to_incumbent(&s), Vec::<&str>::new());
            assert!(s.end().starts_with("rolled back: "), "{}", s.end());
        }
    }
}

/// The successor is not heard from.
fn silent(s: &mut Sup) -> Vec<String> {
    let start = s.now;
    let mut acts = s.pass(Duration::from_secs(9));
    acts.extend(s.pass(Duration::from_secs(1)));
    assert_eq!(s.now.since(start), Duration::from_secs(10));
    acts.retain(|act| act != "send 1 Heartbeat");
    assert_eq!(acts, ["close 2", "start Kill"]);
    acts
}

#[test]
fn c7_a_warm_up_that_takes_too_long_costs_the_incumbent_nothing() {
    let mut s = warming_with(
        SupervisorConfig {
            warmup: Duration::from_secs(30),
            ..supervisor_config()
        },
        V1,
    );
    let start = s.now;
    let mut acts = Vec::new();
    while acts.is_empty() {
        assert!(s.hear(N, &BEAT).is_empty());
        acts = s.pass(Duration::from_secs(1));
    }
    assert_eq!(acts, ["start Kill"]);
    assert_eq!(s.now.since(start), Duration::from_secs(31), "and the slack");
    kill_ends(&mut s, NEW);
    assert_eq!(
        s.end(),
        format!("rolled back: the successor was late: no Standby (handoff {ID})")
    );
    assert_eq!(said_to_incumbent(&s), Vec::<&str>::new());
}

#[test]
fn c6_an_incumbent_lost_while_the_successor_warms_up_means_begin_once_it_stands_by() {
    let mut s = warming();
    assert_eq!(s.lose(O), ["close 1"]);
    assert!(s.hear(N, &BEAT).is_empty(), "version 2 waits for Standby");
    assert_eq!(s.hear(N, &STANDBY), ["start WriteJournal"]);
    assert_eq!(journal_ends(&mut s), ["send 2 Begin", "start WriteJournal"]);
    let acts = s.hear(N, &ready(true));
    assert_eq!(acts, ["start ClearJournal", "done"]);
}

#[test]
fn c7_both_lost_while_the_successor_warms_up_means_a_look_for_the_incumbent() {
    let mut s = warming();
    s.lose(O);
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts, ["close 3", "start ClearJournal", "done"]);
}

#[test]
fn a_successor_of_version_1_stands_by_from_its_hello_on_and_that_is_said() {
    let mut s = welcoming();
    let acts = s.hear(N, &hello(Side::Successor, NEW.pid));
    assert_eq!(acts, ["send 2 HelloAck", "start WriteJournal"]);
    assert!(s.has_seen(
        "trouble: no warm standby: with version 1 the successor cannot say when it is warm"
    ));
    for old in [V1, V2] {
        let mut s = opening_of(supervisor_config(), old, V1);
        s.hear(N, &ready(true));
        s.lose(O);
        assert!(s.end().ends_with(SHORTFALL), "{}", s.end());
        let mut s = opening_of(supervisor_config(), old, V2);
        s.hear(N, &ready(true));
        s.lose(O);
        s.lose(N);
        assert!(s.end().ends_with(&format!("(handoff {ID})")), "{}", s.end());
    }
}

#[test]
fn a_supervisor_that_speaks_version_1_alone_makes_everybody_speak_it() {
    let config = SupervisorConfig {
        versions: VersionRange::V1,
        ..supervisor_config()
    };
    let mut s = welcoming_with(config);
    let acts = s.hear(N, &hello_of(V2, Side::Successor, NEW.pid));
    assert_eq!(acts, ["send 2 HelloAck", "start WriteJournal"]);
    assert!(s.sent.last().is_some_and(|ack| ack.contains("version: 1")));
}

#[test]
fn what_a_successor_may_not_say_while_it_warms_up_costs_it_its_session() {
    for message in [ready(true), hello_of(V2, Side::Successor, NEW.pid)] {
        let mut s = warming();
        assert_eq!(s.hear(N, &message), ["close 2", "start Kill"]);
        kill_ends(&mut s, NEW);
        assert_eq!(said_to_incumbent(&s), Vec::<&str>::new());
    }
    // Standby twice, or from the incumbent.
    let mut s = warming();
    s.hear(N, &STANDBY);
    assert_eq!(s.hear(N, &STANDBY), ["close 2", "start Kill"]);
    let mut s = warming();
    assert_eq!(s.hear(O, &STANDBY), ["close 1"]);
    assert!(s.has_seen("Standby is not allowed while Warming"));
}

#[test]
fn a_standby_that_comes_while_the_successor_is_being_killed_is_passed_over() {
    let mut s = warming();
    s.hear(N, &abort());
    assert!(s.hear(N, &STANDBY).is_empty());
    assert_eq!(kill_ends(&mut s, NEW), ["start ClearJournal", "done"]);
}
