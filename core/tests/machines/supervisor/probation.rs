//! Probation: the successor serves, and the incumbent could come back.

use std::time::Duration;

use handoff_core::wire::Message;
use handoff_core::{SupervisorConfig, SupervisorOp};

use super::{BEAT, N, O, Sup, V1, V2, abort, connect, kill_ends, opening_of, ready};
use crate::bench::finish;
use crate::world::{ID, NEW, supervisor_config};

const PROBATION: Duration = Duration::from_secs(40);

fn config() -> SupervisorConfig {
    SupervisorConfig {
        probation: PROBATION,
        ..supervisor_config()
    }
}

fn on_probation() -> Sup {
    let mut s = opening_of(config(), V2, V2);
    assert_eq!(s.hear(N, &ready(true)), ["start WatchProbation"]);
    s
}

fn passed(s: &mut Sup) -> Vec<String> {
    finish!(s, SupervisorOp::WatchProbation { ticket, .. } => ticket.done(()))
}

fn failed(s: &mut Sup) -> Vec<String> {
    finish!(s, SupervisorOp::WatchProbation { ticket, .. } => ticket.failed("no answer to GET /"))
}

#[test]
fn a_probation_that_is_passed_ends_with_commit_to_both() {
    let mut s = on_probation();
    let Some(SupervisorOp::WatchProbation { process, until, .. }) = s.ops.last() else {
        panic!("{:?}", s.ops);
    };
    assert_eq!((*process, *until), (NEW, s.now.after(PROBATION)));
    let acts = s.pass(PROBATION);
    assert!(acts.iter().all(|act| act == "send 1 Heartbeat"), "{acts:?}");
    assert_eq!(passed(&mut s), ["send 1 Commit"]);
    assert_eq!(s.lose(O), ["close 1", "send 2 Commit"]);
    assert_eq!(s.lose(N), ["close 2", "start ClearJournal", "done"]);
    assert_eq!(s.end(), format!("committed: pid 200 serves (handoff {ID})"));
}

#[test]
fn c8_a_probation_that_is_not_passed_ends_with_the_incumbent_coming_back() {
    let mut s = on_probation();
    assert_eq!(failed(&mut s), ["start Kill"], "the watch has ended");
    assert_eq!(
        kill_ends(&mut s, NEW),
        ["send 1 ResumeAfterAbort", "start ClearJournal", "done"]
    );
    assert!(
        s.end().starts_with(
            "rolled back: the successor did not pass its probation: no answer to GET /"
        ),
        "{}",
        s.end()
    );
}

#[test]
fn c8_a_successor_lost_or_giving_up_on_probation_is_killed_and_the_watch_stopped() {
    for (happens, closes) in [
        ((|s| s.lose(N)) as fn(&mut Sup) -> Vec<String>, true),
        (|s| s.hear(N, &abort()), false),
        (|s| s.hear(N, &ready(true)), true),
    ] {
        let mut s = on_probation();
        let acts = happens(&mut s);
        let expected = ["close 2", "cancel", "start Kill"];
        assert_eq!(acts, expected[usize::from(!closes)..]);
        assert!(passed(&mut s).is_empty(), "nobody waits for it any more");
        assert_eq!(
            kill_ends(&mut s, NEW),
            ["send 1 ResumeAfterAbort", "start ClearJournal", "done"]
        );
    }
}

#[test]
fn c8_a_watch_whose_ticket_is_lost_is_a_probation_that_was_not_passed() {
    let mut s = on_probation();
    s.ops.clear();
    let mut acts = s.pass(PROBATION + Duration::from_secs(30));
    acts.retain(|act| act != "send 1 Heartbeat");
    assert_eq!(acts, ["start Kill"]);
    assert!(s.has_seen("the successor did not pass its probation"));
}

// Nobody could be rolled back to. But lost is not dead, so the successor is not told Commit.
#[test]
fn c6_an_incumbent_lost_on_probation_ends_it_and_the_successor_serves() {
    let mut s = on_probation();
    let acts = s.lose(O);
    assert_eq!(acts, ["close 1", "cancel", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"), "{}", s.end());
}

#[test]
fn c8_with_both_lost_on_probation_the_incumbent_is_looked_for() {
    let mut s = on_probation();
    s.lose(N);
    assert_eq!(s.lose(O), ["close 1"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts, ["close 3", "start ClearJournal", "done"]);
    assert!(s.end().starts_with("rolled back"), "{}", s.end());
}

#[test]
fn c2_what_an_incumbent_says_of_giving_up_on_probation_changes_nothing() {
    let mut s = on_probation();
    assert!(s.hear(O, &abort()).is_empty());
    assert!(s.hear(O, &BEAT).is_empty() && s.hear(N, &BEAT).is_empty());
    assert_eq!(passed(&mut s), ["send 1 Commit"]);
}

#[test]
fn an_incumbent_of_version_1_could_not_come_back_so_there_is_no_probation() {
    for new in [V1, V2] {
        let mut s = opening_of(config(), V1, new);
        assert_eq!(s.hear(N, &ready(true))[0], "send 1 Commit");
        assert!(
            s.has_seen("trouble: no probation: with version 1 the incumbent could not come back")
        );
        s.lose(O);
        if new == V2 {
            s.lose(N);
            assert!(
                s.end()
                    .ends_with("(without probation: version 1 with the incumbent)")
            );
        } else {
            assert!(
                s.end()
                    .ends_with("(without warm standby and probation: version 1 with both)")
            );
        }
    }
}

#[test]
fn without_a_probation_asked_for_none_is_missed() {
    let mut s = opening_of(supervisor_config(), V1, V2);
    s.hear(N, &ready(true));
    assert!(!s.has_seen("no probation"), "{:?}", s.seen);
}

#[test]
fn a_successor_of_version_1_may_leave_its_session_on_probation() {
    let mut s = opening_of(config(), V2, V1);
    assert_eq!(s.hear(N, &ready(true)), ["start WatchProbation"]);
    assert_eq!(s.lose(N), ["close 2"]);
    assert!(!s.has_seen("the successor was lost"), "{:?}", s.seen);
    assert_eq!(passed(&mut s), ["send 1 Commit"]);
    assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);

    // Its death is seen by the watch.
    let mut s = opening_of(config(), V2, V1);
    s.hear(N, &ready(true));
    s.lose(N);
    assert_eq!(failed(&mut s), ["start Kill"]);
    kill_ends(&mut s, NEW);
    assert!(s.end().starts_with("rolled back"), "{}", s.end());
}

#[test]
fn c8_a_ready_of_a_successor_that_is_not_healthy_begins_no_probation() {
    let mut s = opening_of(config(), V2, V2);
    assert_eq!(s.hear(N, &ready(false)), ["start Kill"]);
}

#[test]
fn c6_a_successor_that_took_over_from_a_dead_incumbent_is_not_on_probation() {
    let mut s = opening_of(config(), V2, V2);
    s.lose(O);
    let acts = s.hear(N, &ready(true));
    assert_eq!(acts, ["start ClearJournal", "done"]);
}

#[test]
fn a_drained_that_comes_on_probation_ends_the_incumbents_session() {
    let mut s = on_probation();
    let acts = s.hear(
        O,
        &Message::Drained {
            open_connections: 0,
            accept_closed: true,
        },
    );
    assert_eq!(acts, ["close 1", "cancel", "start ClearJournal", "done"]);
}
