//! The next handoff begins while the committed hook of the one before it runs: drain waits for that hook.

use std::time::Duration;

use handoff_core::op::{SnapshotReport, Verdict};
use handoff_core::wire::Message;
use handoff_core::{IncumbentConfig, IncumbentOp, Input, Instant};

use super::probation::{asked, confirm_ends, judged, on_probation};
use super::version_2::{BEAT, acknowledge};
use super::{
    ABORT, ACK, COMMIT, Old, PREPARE, RESUME, SEAL, drain_ends, opened, release_ends, seal_ends,
    unexpected,
};
use crate::bench::finish;
use crate::world::incumbent_config;

/// The committed hook runs.
fn confirming() -> Old {
    let mut o = on_probation();
    assert_eq!(judged(&mut o, Verdict::Committed), ["start Confirm"]);
    o
}

/// Session 1 owns the next handoff; its supervisor speaks version 2.
pub(super) fn waiting() -> Old {
    let mut o = confirming();
    assert!(asked(&mut o, 1).is_empty());
    assert!(o.has_seen("Waiting"));
    o
}

/// The same, with a supervisor of version 1.
fn waiting_v1() -> Old {
    let mut o = confirming();
    opened(&mut o, 1);
    o.hear(1, &ACK);
    assert!(o.hear(1, &PREPARE).is_empty());
    assert!(o.has_seen("Waiting"));
    o
}

/// The supervisor is heard every second, until something but a heartbeat is sent or done; how long that
/// took.
fn beats(o: &mut Old) -> (Duration, Vec<String>) {
    let start = o.now;
    loop {
        assert!(o.hear(1, &BEAT).is_empty(), "its own are under way");
        let mut acts = o.pass(Duration::from_secs(1));
        acts.retain(|act| act != "send 1 Heartbeat");
        if !acts.is_empty() {
            return (o.now.since(start), acts);
        }
    }
}

/// The handoff is given up, and that costs nothing: nothing was drained. The hook runs on.
fn serves_on(o: &mut Old) {
    assert_eq!(o.seen.last().map(String::as_str), Some("Serving"));
    assert!(o.pass(Duration::from_secs(20)).is_empty(), "no heartbeats");
    assert!(asked(o, 2).is_empty(), "it waits again");
    assert_eq!(confirm_ends(o), ["start Drain"]);
}

#[test]
fn drain_begins_when_the_hook_has_ended_and_the_handoff_goes_on() {
    let mut o = waiting();
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
    assert_eq!(o.hear(1, &SEAL), ["start Seal"]);
    assert_eq!(seal_ends(&mut o), ["start ReleaseLock"]);
    assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
    assert_eq!(o.hear(1, &COMMIT), ["done"]);

    let mut o = waiting_v1();
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn a_hook_that_fails_has_ended_too() {
    let mut o = waiting();
    let acts = finish!(o, IncumbentOp::Confirm(ticket) => ticket.failed("disk full"));
    assert_eq!(acts, ["start Drain"]);
    assert!(o.has_seen("trouble: the committed hook failed: disk full"));
}

#[test]
fn an_orphan_whose_hook_runs_waits_as_well() {
    let mut o = on_probation();
    judged(&mut o, Verdict::Orphaned);
    assert_eq!(o.sleep(), ["start Confirm"]);
    assert!(asked(&mut o, 1).is_empty());
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
}

// They count from PrepareHandoff.
#[test]
fn the_announced_times_include_the_wait() {
    let mut o = waiting();
    let until: Instant = o.now.after(Duration::from_secs(20));
    for _ in 0..5 {
        o.hear(1, &BEAT);
        o.pass(Duration::from_secs(1));
    }
    confirm_ends(&mut o);
    let [IncumbentOp::Drain { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, until);
}

#[test]
fn heartbeats_are_sent_throughout_and_not_answered() {
    for make in [waiting as fn() -> Old, waiting_v1] {
        let mut o = make();
        for _ in 0..5 {
            assert_eq!(o.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
            assert!(o.hear(1, &BEAT).is_empty());
            assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
        }
        confirm_ends(&mut o);
        assert_eq!(o.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
    }
}

#[test]
fn the_status_is_that_of_a_daemon_that_serves() {
    let mut o = waiting();
    assert_eq!(o.hear(1, &Message::StatusRequest), ["start Snapshot"]);
    let report = SnapshotReport::default();
    let acts = finish!(o, IncumbentOp::Snapshot(ticket) => ticket.done(report));
    assert_eq!(acts, ["send 1 Status"]);
    let said = o.sent.last().expect("Status");
    assert!(said.contains("phase: 0,"), "{said}");
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
}

#[test]
fn c1_a_handoff_that_is_given_up_meanwhile_runs_no_hook_and_stops_none() {
    for make in [waiting as fn() -> Old, waiting_v1] {
        for message in [ABORT, RESUME] {
            let mut o = make();
            assert!(o.hear(1, &message).is_empty());
            assert_eq!(o.hear(1, &PREPARE), ["send 1 Abort"], "given up");
            serves_on(&mut o);
        }
        let mut o = make();
        assert_eq!(o.lose(1), ["close 1"]);
        serves_on(&mut o);
    }
}

#[test]
fn c1_when_the_hook_ends_after_that_nothing_is_drained() {
    let mut o = waiting();
    o.hear(1, &ABORT);
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
    assert_eq!(asked(&mut o, 2), ["start Drain"]);
}

#[test]
fn c11_a_supervisor_that_falls_silent_meanwhile_is_given_up() {
    for (make, silence) in [(waiting as fn() -> Old, 11), (waiting_v1, 61)] {
        let mut o = make();
        let mut acts = o.pass(Duration::from_secs(silence - 1));
        acts.retain(|act| act != "send 1 Heartbeat");
        assert!(acts.is_empty(), "{acts:?}");
        assert_eq!(o.pass(Duration::from_secs(1)), ["send 1 Abort"]);
        let abort = o.sent.last().expect("Abort");
        assert!(abort.contains("has been silent"), "{abort}");
        for late in [SEAL, COMMIT] {
            assert_eq!(o.hear(1, &late), ["send 1 Abort"], "it thawed too late");
        }
        serves_on(&mut o);
    }
}

#[test]
fn c11_the_announced_deadline_ends_the_wait_though_the_supervisor_lives() {
    let mut o = waiting();
    let (waited, acts) = beats(&mut o);
    assert_eq!(waited, Duration::from_secs(61), "and the slack");
    assert_eq!(acts, ["send 1 Abort"]);
    serves_on(&mut o);
}

/// The hook has not ended in time, and the handoff that waited for it was given up.
fn straggling() -> Old {
    let mut o = Old::new(IncumbentConfig {
        on_probation: true,
        patience: Duration::from_secs(30),
        ..incumbent_config()
    });
    judged(&mut o, Verdict::Committed);
    assert!(asked(&mut o, 1).is_empty());
    let (waited, acts) = beats(&mut o);
    assert_eq!(waited, Duration::from_secs(30));
    assert_eq!(acts, ["send 1 Abort"]);
    o
}

fn refused_for(o: &Old, why: &str) -> bool {
    o.sent.last().is_some_and(|abort| abort.contains(why))
}

// It may still write, and a seal would release the lock.
#[test]
fn no_handoff_begins_after_a_hook_that_is_late_until_it_has_come_back() {
    let mut o = straggling();
    assert!(refused_for(&o, "a hook did not return: committed"));
    assert_eq!(o.seen.last().map(String::as_str), Some("Serving"));
    for _ in 0..2 {
        assert_eq!(o.hear(1, &PREPARE), ["send 1 Abort"]);
        assert!(refused_for(&o, "has been given up"));
    }
    acknowledge(&mut o, 2);
    for _ in 0..2 {
        assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"]);
        assert!(refused_for(&o, "has not come back"));
        assert!(o.pass(Duration::from_hours(1)).is_empty());
    }
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(o.hear(2, &PREPARE), ["start Drain"]);
}

#[test]
fn a_straggler_that_fails_in_the_end_has_come_back() {
    let mut o = straggling();
    let acts = finish!(o, IncumbentOp::Confirm(ticket) => ticket.failed("disk full"));
    assert!(acts.is_empty());
    assert_eq!(asked(&mut o, 2), ["start Drain"]);
}

#[test]
fn a_hook_that_is_late_while_nobody_waits_is_a_straggler_too() {
    let mut o = confirming();
    assert!(o.sleep().is_empty());
    assert_eq!(asked(&mut o, 1), ["send 1 Abort"]);
    assert!(refused_for(&o, "has not come back"));
    assert!(confirm_ends(&mut o).is_empty());
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
}

#[test]
fn another_session_is_refused_and_does_not_disturb_the_wait() {
    let mut o = waiting();
    assert_eq!(asked(&mut o, 2), ["send 2 Abort"]);
    assert!(refused_for(&o, "in progress (the incumbent is Waiting)"));
    assert!(o.hear(2, &ABORT).is_empty(), "not its handoff to abort");
    assert_eq!(o.lose(2), ["close 2"]);
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
}

#[test]
fn what_the_owner_may_not_say_yet_ends_its_session_and_the_handoff() {
    for message in [PREPARE, SEAL, COMMIT] {
        let mut o = waiting();
        assert_eq!(o.hear(1, &message), ["close 1"]);
        assert!(unexpected(&o, &message.kind().to_string()), "{:?}", o.seen);
        serves_on(&mut o);
    }
}

#[test]
fn a_verdict_that_comes_again_is_none() {
    let mut o = waiting();
    for verdict in [Verdict::Committed, Verdict::Orphaned, Verdict::Dismissed] {
        assert!(judged(&mut o, verdict).is_empty());
    }
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
}

// A bind must not take the control path from a successor that has it.
#[test]
fn a_control_path_that_is_lost_meanwhile_is_bound_when_the_handoff_is_given_up() {
    let mut o = waiting();
    assert!(o.input(Input::Unbound).is_empty());
    o.hear(1, &ABORT);
    assert_eq!(o.sleep(), ["start BindPath"]);
    assert_eq!(asked(&mut o, 2), ["send 2 Abort"], "a bind is under way");
    finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
    assert!(o.hear(2, &PREPARE).is_empty());
    assert_eq!(confirm_ends(&mut o), ["start Drain"]);
}
