//! A handoff that is being undone: the kill of a stuck incumbent that does not go as meant (`C10`), and
//! an incumbent that cannot be told to come back (`C8`).

use std::time::Duration;

use handoff_core::wire::Message;
use handoff_core::{SupervisorConfig, SupervisorOp};

use super::{
    BEAT, DRAINED, N, O, Sup, abort, connect, draining_with, kill_ends, opening, seal_complete,
};
use crate::bench::finish;
use crate::world::{ID, NEW, OLD, supervisor_config};

const SEAL_FAILED: Message<'_> = Message::SealFailed {
    id: ID,
    error: "disk full",
    partial_state: "",
};

/// An incumbent that missed its deadline is being killed.
fn killing_incumbent() -> Sup {
    let mut s = draining_with(SupervisorConfig {
        kill_stuck_incumbent: true,
        ..supervisor_config()
    });
    let mut acts = Vec::new();
    while acts.is_empty() {
        s.hear(O, &BEAT);
        acts = s.pass(Duration::from_secs(2));
    }
    assert_eq!(acts, ["start Kill"]);
    s
}

/// The incumbent is to be told to come back, and does not read.
fn undoing() -> Sup {
    let mut s = opening();
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    s.takes = false;
    assert_eq!(kill_ends(&mut s, NEW), ["send 1 ResumeAfterAbort"]);
    s
}

fn late_answers() -> [Message<'static>; 4] {
    [DRAINED, seal_complete(), SEAL_FAILED, abort()]
}

#[test]
fn c10_a_stuck_incumbent_that_cannot_be_killed_is_told_abort_once_and_the_successor_killed() {
    let mut s = killing_incumbent();
    let acts = finish!(s, SupervisorOp::Kill { ticket, .. } => ticket.failed("stuck in I/O"));
    assert_eq!(acts, ["send 1 Abort", "start Kill"]);
    assert!(s.has_seen("a process could not be killed: stuck in I/O"));
    assert_eq!(kill_ends(&mut s, NEW), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("rolled back: the incumbent missed"));
}

#[test]
fn c10_what_a_stuck_incumbent_says_while_it_is_killed_comes_too_late() {
    for message in late_answers() {
        let mut s = killing_incumbent();
        assert!(s.hear(O, &message).is_empty(), "{message:?}");
        assert_eq!(
            kill_ends(&mut s, OLD),
            ["close 1", "send 2 Begin", "start WriteJournal"]
        );
    }
}

#[test]
fn c10_with_the_successor_lost_while_the_incumbent_is_killed_somebody_is_looked_for() {
    let mut s = killing_incumbent();
    assert_eq!(s.lose(N), ["close 2"]);
    assert_eq!(kill_ends(&mut s, OLD), ["close 1", "start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);

    // One that has said that it leaves is found to be lost.
    let mut s = killing_incumbent();
    assert!(s.hear(N, &abort()).is_empty());
    let acts = kill_ends(&mut s, OLD);
    assert_eq!(acts, ["close 1", "send 2 Begin", "start WriteJournal"]);
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
}

#[test]
fn c8_an_incumbent_lost_before_it_could_be_told_is_looked_for() {
    let mut s = undoing();
    assert_eq!(s.lose(O), ["close 1", "start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts, ["close 3", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("rolled back"), "{}", s.end());
}

#[test]
fn c8_an_incumbent_that_does_not_read_is_looked_for_after_a_second() {
    let mut s = undoing();
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    assert_eq!(s.sleep(), ["start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts, ["close 1", "close 3", "start ClearJournal", "done"]);
}

#[test]
fn c8_what_the_incumbent_says_before_it_has_been_told_changes_nothing() {
    for message in late_answers() {
        let mut s = undoing();
        assert!(s.hear(O, &message).is_empty(), "{message:?}");
        let (link, count) = (handoff_core::LinkId(O), 4 + 2 + 1 + 17);
        let acts = s.input(handoff_core::Input::Wrote { link, count });
        assert_eq!(acts, ["start ClearJournal", "done"]);
    }
}
