//! A process that began as a successor: it is on probation at first, and then runs its committed hook.

use std::time::Duration;

use handoff_core::op::{SnapshotReport, Verdict};
use handoff_core::wire::Message;
use handoff_core::{IncumbentConfig, IncumbentOp, Input};

use super::version_2::acknowledge;
use super::{ABORT, ACK, COMMIT, Old, PREPARE, SEAL, comes_back, drain_ends, opened};
use crate::bench::finish;
use crate::world::incumbent_config;

pub(super) fn on_probation() -> Old {
    Old::new(IncumbentConfig {
        on_probation: true,
        ..incumbent_config()
    })
}

pub(super) fn judged(o: &mut Old, verdict: Verdict) -> Vec<String> {
    o.input(Input::Probation(verdict))
}

/// A new session asks for a handoff.
pub(super) fn asked(o: &mut Old, link: u32) -> Vec<String> {
    acknowledge(o, link);
    o.hear(link, &PREPARE)
}

fn refuses(o: &mut Old, link: u32) {
    assert_eq!(asked(o, link), [format!("send {link} Abort")]);
    let abort = o.sent.last().expect("Abort");
    assert!(abort.contains("not committed yet"), "{abort}");
}

pub(super) fn confirm_ends(o: &mut Old) -> Vec<String> {
    finish!(o, IncumbentOp::Confirm(ticket) => ticket.done(()))
}

#[test]
fn a_daemon_on_probation_serves_and_refuses_handoffs() {
    let mut o = on_probation();
    assert!(o.has_seen("Serving"));
    refuses(&mut o, 1);
    opened(&mut o, 2);
    o.hear(2, &ACK);
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"], "version 1 too");
    assert!(o.hear(2, &ABORT).is_empty());
    assert_eq!(o.hear(2, &COMMIT), ["close 2"], "it owns nothing");
    assert!(o.pass(Duration::from_hours(100)).is_empty());
    refuses(&mut o, 3);
    assert_eq!(o.hear(3, &SEAL), ["close 3"]);
}

#[test]
fn commit_runs_the_committed_hook_and_handoffs_are_possible_when_it_has_ended() {
    let mut o = on_probation();
    assert_eq!(judged(&mut o, Verdict::Committed), ["start Confirm"]);
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
    assert_eq!(asked(&mut o, 1), ["start Drain"]);
}

#[test]
fn a_committed_hook_that_fails_is_reported_and_the_daemon_serves_on() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Committed);
    let acts = finish!(o, IncumbentOp::Confirm(ticket) => ticket.failed("disk full"));
    assert!(acts.is_empty());
    assert!(o.has_seen("trouble: the committed hook failed: disk full"));
    assert_eq!(asked(&mut o, 1), ["start Drain"]);
}

// It may be at work on the data, so drain waits for it, and the supervisor sees that somebody lives.
#[test]
fn a_handoff_asked_for_while_the_committed_hook_runs_waits_for_it() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Committed);
    assert!(asked(&mut o, 1).is_empty());
    assert!(o.has_seen("Waiting"));
    assert_eq!(o.hear(1, &Message::StatusRequest), ["start Snapshot"]);
    let acts = finish!(o, IncumbentOp::Snapshot(ticket) => ticket.done(SnapshotReport::default()));
    assert_eq!(acts, ["send 1 Status"]);
    assert!(
        o.sent
            .last()
            .is_some_and(|status| status.contains("phase: 0"))
    );
    assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
    acknowledge(&mut o, 2);
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"], "one at a time");
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn c1_a_handoff_given_up_while_it_waits_has_changed_nothing() {
    for gives_up in [
        (|o| o.hear(1, &ABORT)) as fn(&mut Old) -> Vec<String>,
        |o| o.hear(1, &super::RESUME),
        |o| o.lose(1),
    ] {
        let mut o = on_probation();
        judged(&mut o, Verdict::Committed);
        asked(&mut o, 1);
        let acts = gives_up(&mut o);
        assert!(acts.is_empty() || acts == ["close 1"], "{acts:?}");
        assert!(confirm_ends(&mut o).is_empty());
        assert_eq!(asked(&mut o, 2), ["start Drain"]);
    }
}

#[test]
fn c11_a_supervisor_that_is_silent_while_its_handoff_waits_is_given_up() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Committed);
    asked(&mut o, 1);
    let acts = o.pass(Duration::from_secs(11));
    assert_eq!(acts.last().map(String::as_str), Some("send 1 Abort"));
    assert!(confirm_ends(&mut o).is_empty());
}

// It may still write, so the lock must stay.
#[test]
fn a_committed_hook_that_does_not_come_back_keeps_handoffs_away() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Committed);
    assert_eq!(o.waits_for(), ("Confirm".into(), Duration::from_mins(10)));
    assert!(o.sleep().is_empty());
    assert!(o.has_seen("trouble: a hook did not return: committed"));
    assert_eq!(asked(&mut o, 1), ["send 1 Abort"]);
    assert!(
        o.sent
            .last()
            .is_some_and(|abort| abort.contains("has not come back"))
    );
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
}

#[test]
fn a_handoff_that_waits_for_a_committed_hook_that_does_not_come_back_is_refused() {
    let mut o = Old::new(IncumbentConfig {
        on_probation: true,
        patience: Duration::from_secs(5),
        ..incumbent_config()
    });
    judged(&mut o, Verdict::Committed);
    asked(&mut o, 1);
    let acts = o.pass(Duration::from_secs(5));
    assert_eq!(acts.last().map(String::as_str), Some("send 1 Abort"));
    assert!(
        o.sent
            .last()
            .is_some_and(|abort| abort.contains("did not return"))
    );
    assert!(o.has_seen("Serving"));
}

#[test]
fn an_orphan_runs_its_committed_hook_when_nobody_older_can_come_back() {
    let mut o = on_probation();
    assert!(judged(&mut o, Verdict::Orphaned).is_empty());
    assert_eq!(o.waits_for(), ("Confirm".into(), Duration::from_secs(11)));
    assert_eq!(o.sleep(), ["start Confirm"]);
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(asked(&mut o, 1), ["start Drain"]);
}

#[test]
fn an_orphan_takes_part_in_the_next_handoff_and_confirms_when_that_is_undone() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Orphaned);
    assert_eq!(asked(&mut o, 1), ["start Drain"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
    for _ in 0..10 {
        o.pass(Duration::from_secs(2));
        o.hear(1, &super::version_2::BEAT);
    }
    assert!(!o.ops.iter().any(|op| matches!(op, IncumbentOp::Confirm(_))));
    assert_eq!(o.hear(1, &ABORT), ["start Resume"]);
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.sleep(), ["start Confirm"]);
}

#[test]
fn c8_a_daemon_that_is_dismissed_leaves() {
    let mut o = on_probation();
    assert_eq!(judged(&mut o, Verdict::Dismissed), ["done"]);
    assert_eq!(o.end(), "cannot serve: aborted by the peer");
}

#[test]
fn a_verdict_counts_once_and_only_on_probation() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Orphaned);
    assert!(judged(&mut o, Verdict::Dismissed).is_empty());
    assert!(judged(&mut o, Verdict::Committed).is_empty());
    assert_eq!(o.sleep(), ["start Confirm"]);
    assert!(judged(&mut o, Verdict::Committed).is_empty());

    let mut o = Old::new(incumbent_config());
    for verdict in [Verdict::Committed, Verdict::Orphaned, Verdict::Dismissed] {
        assert!(judged(&mut o, verdict).is_empty());
    }
    comes_back_from_nothing(&mut o);
}

/// An ordinary incumbent takes part in a handoff.
fn comes_back_from_nothing(o: &mut Old) {
    assert_eq!(asked(o, 1), ["start Drain"]);
    assert_eq!(o.lose(1), ["close 1", "cancel"]);
    assert_eq!(drain_ends(o), ["start Resume"]);
    comes_back(o);
}

#[test]
fn a_control_path_that_could_not_be_published_is_bound_on_probation() {
    let mut o = Old::new(IncumbentConfig {
        on_probation: true,
        bound: false,
        ..incumbent_config()
    });
    assert!(matches!(o.ops[..], [IncumbentOp::BindPath(_)]));
    finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
    assert_eq!(judged(&mut o, Verdict::Committed), ["start Confirm"]);
}
