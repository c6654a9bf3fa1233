//! Questions that any session of version 2 may ask at any time.

use std::time::Duration;

use handoff_core::op::{ListenersReport, SnapshotReport};
use handoff_core::wire::{Message, Names, Revisions};
use handoff_core::{Handles, IncumbentConfig, IncumbentOp};

use super::version_2::{acknowledge, acknowledged, drained, draining, releasing, sealed, sealing};
use super::waiting::waiting;
use super::{
    ABORT, COMMIT, Old, PREPARE, TAKEN, drain_ends, lock_answers, opened, release_ends, serving,
    unexpected,
};
use crate::bench::finish;
use crate::world::incumbent_config;

const STATUS: Message<'_> = Message::StatusRequest;
const LISTENERS: Message<'_> = Message::ListenersRequest;
const KEPT: Handles = Handles {
    first: 50,
    count: 2,
};

fn snapshot<'a>() -> SnapshotReport<'a> {
    SnapshotReport {
        open_connections: 12,
        revisions: Revisions::from(&[4, 5][..]),
    }
}

fn snapshot_ends(o: &mut Old) -> Vec<String> {
    finish!(o, IncumbentOp::Snapshot(ticket) => ticket.done(snapshot()))
}

fn listing_ends(o: &mut Old) -> Vec<String> {
    let report = ListenersReport {
        names: Names::from(&["http", "admin"][..]),
        handles: KEPT,
    };
    finish!(o, IncumbentOp::ListListeners(ticket) => ticket.done(report))
}

fn said(o: &Old) -> &str {
    o.sent.last().map_or("", String::as_str)
}

#[test]
fn the_status_says_how_the_daemon_is() {
    let mut o = Old::new(IncumbentConfig {
        generation: 7,
        ..incumbent_config()
    });
    acknowledge(&mut o, 1);
    o.pass(Duration::from_millis(90_001));
    assert_eq!(o.hear(1, &STATUS), ["start Snapshot"]);
    assert_eq!(o.waits_for(), ("Answer".into(), Duration::from_millis(100)));
    assert_eq!(snapshot_ends(&mut o), ["send 1 Status"]);
    for part in [
        "phase: 0",
        "generation: 7",
        "uptime_ms: 90001",
        "open_connections: 12",
        "[4, 5]",
    ] {
        assert!(said(&o).contains(part), "{part} in {}", said(&o));
    }
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
}

type Make = fn() -> Old;

/// Every phase that a test can stay in, with its number in Status.
const PHASES: &[(Make, u8)] = &[
    (acknowledged, 0),
    (waiting, 0),
    (draining, 1),
    (undraining, 1),
    (drained, 2),
    (sealing, 3),
    (unsealing, 3),
    (releasing, 3),
    (unreleasing, 3),
    (sealed, 4),
    (reclaiming, 5),
    (returning, 5),
    (resuming, 6),
    (on_probation, 7),
];

fn aborted(make: Make) -> Old {
    let mut o = make();
    o.hear(1, &ABORT);
    o
}

fn undraining() -> Old {
    aborted(draining)
}

fn unsealing() -> Old {
    aborted(sealing)
}

fn unreleasing() -> Old {
    aborted(releasing)
}

fn reclaiming() -> Old {
    aborted(sealed)
}

fn returning() -> Old {
    let mut o = reclaiming();
    lock_answers(&mut o, TAKEN);
    o
}

fn resuming() -> Old {
    aborted(drained)
}

fn on_probation() -> Old {
    let mut o = Old::new(IncumbentConfig {
        on_probation: true,
        ..incumbent_config()
    });
    acknowledge(&mut o, 1);
    o
}

#[test]
fn questions_are_answered_in_every_phase_by_the_owner_and_by_others() {
    for (make, phase) in PHASES {
        let mut o = make();
        acknowledge(&mut o, 2);
        for link in [1, 2] {
            assert_eq!(o.hear(link, &STATUS), ["start Snapshot"]);
            assert_eq!(snapshot_ends(&mut o), [format!("send {link} Status")]);
            let expected = format!("phase: {phase},");
            assert!(said(&o).contains(&expected), "{} {expected}", said(&o));
            assert_eq!(o.hear(link, &LISTENERS), ["start ListListeners"]);
            assert_eq!(
                listing_ends(&mut o),
                [format!("send {link} Listeners and 2 descriptors")]
            );
            assert!(said(&o).contains(r#"["http", "admin"]"#), "{}", said(&o));
        }
        assert!(!o.has_seen("lost"), "{:?}", o.seen);
    }
}

#[test]
fn a_question_changes_nothing_about_the_handoff() {
    let mut o = releasing();
    o.hear(1, &STATUS);
    assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
    assert_eq!(snapshot_ends(&mut o), ["send 1 Status"]);
    o.hear(1, &LISTENERS);
    assert_eq!(o.hear(1, &COMMIT), ["done"]);
}

// SealComplete is written, and kept back until the lock is released.
#[test]
fn an_answer_goes_out_before_a_seal_complete_that_is_kept_back() {
    for enclosed in [false, true] {
        let mut o = releasing();
        if enclosed {
            o.hear(1, &LISTENERS);
            let sent = ["send 1 Listeners and 2 descriptors"];
            assert_eq!(listing_ends(&mut o), sent);
        } else {
            o.hear(1, &STATUS);
            assert_eq!(snapshot_ends(&mut o), ["send 1 Status"]);
        }
        assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
        assert!(said(&o).contains("[4, 5]"), "{}", said(&o));
        assert_eq!(o.hear(1, &COMMIT), ["done"]);
    }
}

#[test]
fn whoever_asks_the_same_meanwhile_gets_the_same_answer() {
    let mut o = draining();
    for link in 2..=8 {
        acknowledge(&mut o, link);
    }
    assert_eq!(o.hear(1, &STATUS), ["start Snapshot"]);
    for link in 2..=8 {
        assert!(o.hear(link, &STATUS).is_empty());
    }
    assert_eq!(o.lose(8), ["close 8"]);
    let expected: Vec<_> = (1..=7).map(|link| format!("send {link} Status")).collect();
    assert_eq!(snapshot_ends(&mut o), expected);
    assert_eq!(o.hear(1, &STATUS), ["start Snapshot"], "afresh");
}

#[test]
fn a_daemon_that_does_not_say_how_it_is_is_answered_for_after_a_tenth_of_a_second() {
    let mut o = sealed();
    o.hear(1, &STATUS);
    assert_eq!(o.waits_for(), ("Answer".into(), Duration::from_millis(100)));
    assert_eq!(o.sleep(), ["send 1 Status"]);
    assert!(said(&o).contains("phase: 4"), "{}", said(&o));
    assert!(said(&o).contains("open_connections: 0"), "{}", said(&o));
    assert!(snapshot_ends(&mut o).is_empty(), "too late");

    o.hear(1, &STATUS);
    let acts = finish!(o, IncumbentOp::Snapshot(ticket) => ticket.failed("busy"));
    assert_eq!(acts, ["send 1 Status"]);
}

#[test]
fn questions_to_a_daemon_that_hangs_do_not_pile_up() {
    let mut o = acknowledged();
    let mut started = 0;
    let end = o.now.after(Duration::from_mins(1));
    while o.now < end {
        started += o.hear(1, &STATUS).len();
        assert_eq!(o.sleep(), ["send 1 Status"]);
    }
    assert_eq!(started, 2, "when the ticket counts as lost, another");
    // The answer to the first is no longer wanted; that to the second is.
    assert!(o.hear(1, &STATUS).len() <= 1);
    assert!(snapshot_ends(&mut o).is_empty());
}

#[test]
fn a_second_question_while_one_is_open_ends_the_session() {
    for first in [STATUS, LISTENERS] {
        for second in [STATUS, LISTENERS] {
            let mut o = acknowledged();
            o.hear(1, &first);
            assert_eq!(o.hear(1, &second), ["close 1"]);
            assert!(unexpected(&o, &second.kind().to_string()), "{:?}", o.seen);
            o.ops.clear();
        }
    }
}

#[test]
fn a_session_that_is_gone_gets_no_answer() {
    let mut o = acknowledged();
    o.hear(1, &LISTENERS);
    o.lose(1);
    assert!(listing_ends(&mut o).is_empty());
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
}

#[test]
fn a_status_with_too_many_revisions_goes_without_them() {
    const MANY: &[u64] = &[u64::MAX; 200];
    let mut o = acknowledged();
    o.hear(1, &STATUS);
    let report = SnapshotReport {
        open_connections: 12,
        revisions: Revisions::from(MANY),
    };
    let acts = finish!(o, IncumbentOp::Snapshot(ticket) => ticket.done(report));
    assert_eq!(acts, ["send 1 Status"]);
    assert!(said(&o).contains("open_connections: 12, revisions: []"));
}

#[test]
fn listeners_that_cannot_be_handed_over_are_refused_and_the_session_goes_on() {
    const LONG: &[&str] = &["a name that is longer than most"; 40];
    const MANY: &[&str] = &["a"; 254];
    let report = |names: &'static [&'static str], count| ListenersReport {
        names: Names::from(names),
        handles: Handles { first: 1, count },
    };
    for (kept, why) in [
        (report(LONG, 40), "do not fit into a frame"),
        (report(MANY, 254), "more than one frame can carry"),
        (report(&["http"], 2), "not as many"),
        (report(&["http"], 0), "not as many"),
        (
            ListenersReport {
                names: Names::from(&["http"][..]),
                handles: Handles::TRUNCATED,
            },
            "not as many",
        ),
    ] {
        let mut o = acknowledged();
        o.hear(1, &LISTENERS);
        let acts = finish!(o, IncumbentOp::ListListeners(ticket) => ticket.done(kept));
        assert_eq!(acts, ["send 1 Abort"]);
        assert!(said(&o).contains("cannot be handed over"), "{}", said(&o));
        assert!(o.has_seen(why), "{:?}", o.seen);
        assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
    }
    let mut o = acknowledged();
    o.hear(1, &LISTENERS);
    let acts = finish!(o, IncumbentOp::ListListeners(ticket) => ticket.failed("EMFILE"));
    assert_eq!(acts, ["send 1 Abort"]);
    assert!(o.has_seen("the listeners cannot be handed over: EMFILE"));

    let mut o = acknowledged();
    o.hear(1, &LISTENERS);
    assert_eq!(o.waits_for(), ("Answer".into(), Duration::from_secs(30)));
    assert_eq!(o.sleep(), ["send 1 Abort"]);
    assert!(o.has_seen("no answer in time"));
}

#[test]
fn as_many_listeners_as_one_frame_can_carry_are_handed_over() {
    const MANY: &[&str] = &["a"; 253];
    let mut o = acknowledged();
    o.hear(1, &LISTENERS);
    let count = Handles::MAX;
    let kept = ListenersReport {
        names: Names::from(MANY),
        handles: Handles { first: 1, count },
    };
    let acts = finish!(o, IncumbentOp::ListListeners(ticket) => ticket.done(kept));
    assert_eq!(acts, ["send 1 Listeners and 253 descriptors"]);
}

#[test]
fn no_listeners_are_listeners_too() {
    let mut o = acknowledged();
    o.hear(1, &LISTENERS);
    let none = ListenersReport {
        names: Names::default(),
        handles: Handles::NONE,
    };
    let acts = finish!(o, IncumbentOp::ListListeners(ticket) => ticket.done(none));
    assert_eq!(acts, ["send 1 Listeners"]);
}

#[test]
fn a_question_before_hello_ack_or_in_version_1_ends_the_session() {
    for question in [STATUS, LISTENERS] {
        let mut o = serving();
        opened(&mut o, 1);
        assert_eq!(o.hear(1, &question), ["close 1"]);
        let mut o = super::acknowledged();
        assert_eq!(o.hear(1, &question), ["close 1"]);
        assert!(o.has_seen("does not exist in version 1"), "{:?}", o.seen);
    }
}

#[test]
fn what_only_a_supervisor_takes_ends_its_session() {
    for message in [
        Message::Listeners {
            names: Names::default(),
        },
        Message::Status {
            phase: 0,
            generation: 0,
            uptime_ms: 0,
            open_connections: 0,
            revisions: Revisions::default(),
        },
        Message::Standby {
            id: crate::world::ID,
        },
    ] {
        let mut o = draining();
        assert_eq!(o.hear(1, &message), ["close 1", "cancel"]);
        assert!(unexpected(&o, &message.kind().to_string()));
    }
}

#[test]
fn a_session_that_was_given_up_may_still_ask() {
    let mut o = drained();
    o.hear(1, &ABORT);
    assert_eq!(o.hear(1, &STATUS), ["start Snapshot"]);
    assert_eq!(snapshot_ends(&mut o), ["send 1 Status"]);
}

#[test]
fn an_answer_does_not_keep_the_drain_from_being_told() {
    let mut o = draining();
    o.hear(1, &LISTENERS);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
    assert_eq!(listing_ends(&mut o), ["send 1 Listeners and 2 descriptors"]);
}
