//! An incumbent of version 2 is sent heartbeats throughout (`C11`), one of version 1 none.

use std::time::Duration;

use handoff_core::wire::{Message, VersionRange};
use handoff_core::{SupervisorConfig, SupervisorOp};

use super::{
    BEAT, DRAINED, N, O, Sup, V1, V2, abort, journal_ends, journaling_of, opening_of, ready, spawn,
    warming_with, welcoming_old,
};
use crate::bench::finish;
use crate::world::supervisor_config;

const BEATS: &str = "send 1 Heartbeat";

fn config() -> SupervisorConfig {
    SupervisorConfig {
        probation: Duration::from_mins(1),
        ..supervisor_config()
    }
}

fn spawning(old: VersionRange) -> Sup {
    use super::{Side, hello_of, meeting_with};
    let mut s = meeting_with(config());
    s.hear(O, &hello_of(old, Side::Incumbent, crate::world::OLD.pid));
    s
}

fn draining(old: VersionRange) -> Sup {
    let mut s = journaling_of(config(), old, V2);
    journal_ends(&mut s);
    s
}

fn sealing(old: VersionRange) -> Sup {
    let mut s = draining(old);
    s.hear(O, &DRAINED);
    s
}

fn on_probation(old: VersionRange) -> Sup {
    let mut s = opening_of(config(), old, V2);
    s.hear(N, &ready(true));
    s
}

fn killing(old: VersionRange) -> Sup {
    let mut s = opening_of(config(), old, V2);
    s.hear(N, &abort());
    s
}

/// In every phase in which a session with the incumbent may take its time.
const PHASES: &[fn(VersionRange) -> Sup] = &[
    spawning,
    |old| welcoming_old(config(), old),
    |old| warming_with(config(), old),
    |old| journaling_of(config(), old, V1),
    draining,
    sealing,
    |old| opening_of(config(), old, V2),
    killing,
];

#[test]
fn c11_an_incumbent_of_version_2_gets_one_every_two_seconds_in_every_phase() {
    for (at, make) in PHASES
        .iter()
        .chain([&(on_probation as fn(_) -> _)])
        .enumerate()
    {
        let mut s = make(V2);
        for _ in 0..2 {
            assert_eq!(s.pass(Duration::from_millis(1999)).len(), 0, "{at}");
            assert_eq!(s.pass(Duration::from_millis(1)), [BEATS], "{at}");
        }
    }
}

#[test]
fn an_incumbent_of_version_1_gets_none() {
    for (at, make) in PHASES.iter().enumerate() {
        let mut s = make(V1);
        assert!(s.pass(Duration::from_secs(4)).is_empty(), "{at}");
    }
}

#[test]
fn they_do_not_pile_up_and_stop_with_the_session() {
    let mut s = draining(V2);
    s.takes = false;
    assert_eq!(s.pass(Duration::from_secs(9)), [BEATS]);

    let mut s = spawning(V2);
    assert_eq!(s.lose(O), ["close 1"]);
    spawn(&mut s);
    assert!(s.pass(Duration::from_secs(4)).is_empty());
}

#[test]
fn none_goes_to_the_successor() {
    let mut s = on_probation(V2);
    let acts = s.pass(Duration::from_mins(1));
    assert_eq!(acts.len(), 30);
    assert!(acts.iter().all(|act| act == BEATS), "{acts:?}");
}

#[test]
fn the_answers_of_an_incumbent_are_taken_in_silence() {
    for make in PHASES {
        let mut s = make(V2);
        assert!(s.hear(O, &BEAT).is_empty());
    }
}

#[test]
fn c6_an_incumbent_that_does_not_answer_is_lost_while_its_hook_runs() {
    for make in [draining, sealing] {
        let mut s = make(V2);
        let mut acts = s.pass(Duration::from_secs(10));
        acts.retain(|act| act != BEATS);
        // The link is closed when the last heartbeat has left.
        acts.sort();
        assert_eq!(acts, ["close 1", "send 2 Begin", "start WriteJournal"]);
    }
}

#[test]
fn heartbeats_before_prepare_do_not_count_as_a_handoff() {
    let mut s = spawning(V2);
    let mut acts = s.pass(Duration::from_secs(20));
    acts.retain(|act| act != BEATS);
    assert!(acts.is_empty());
    let acts = finish!(s, SupervisorOp::Spawn(ticket) => ticket.failed("no such file"));
    assert_eq!(acts, ["start ClearJournal", "done"]);
    let told = s.sent.iter().any(|text| text.contains("Abort"));
    assert!(!told, "{:?}", s.sent);
}

#[test]
fn a_frame_of_version_1_on_a_link_of_version_2_is_a_violation() {
    let mut s = draining(V2);
    let bytes = crate::bench::frame_of(1, &Message::Heartbeat { ts_ms: 1 });
    assert_eq!(
        s.bytes(O, &bytes),
        ["close 1", "send 2 Begin", "start WriteJournal"]
    );
    assert!(s.has_seen("a frame of version 1 on a session of version 2"));
}
