//! The incumbent's rules: `C1`, `C2`, `C11`, and those of its sessions.

use std::time::Duration;

use handoff_core::op::{DrainReport, LockReport, PathOwner, SealReport};
use handoff_core::wire::{HandoffId, Message, Revisions};
use handoff_core::{Incumbent, IncumbentConfig, IncumbentOp, Input, Instant, LinkId};

use crate::bench::{Bench, finish, frame_of};
use crate::world::{ID, incumbent_config};

const OTHER: HandoffId = HandoffId::from_bytes([8; 16]);
const ACK: Message<'_> = Message::HelloAck { version: 1, id: ID };
const PREPARE: Message<'_> = Message::PrepareHandoff {
    id: ID,
    successor_pid: 200,
    deadline_ms: 60_000,
    drain_grace_ms: 20_000,
};
const SEAL: Message<'_> = Message::SealRequest { id: ID };
const COMMIT: Message<'_> = Message::Commit { id: ID };
const RESUME: Message<'_> = Message::ResumeAfterAbort { id: ID };
const ABORT: Message<'_> = Message::Abort {
    id: ID,
    reason: "no more time",
};
const DRAINED: DrainReport = DrainReport {
    open_connections: 3,
    accept_closed: true,
};

type Old = Bench<Incumbent, 8>;

fn opened(o: &mut Old, link: u32) -> Vec<String> {
    let link = LinkId(link);
    o.input(Input::Opened { link })
}

fn serving() -> Old {
    Bench::new(incumbent_config())
}

/// Session 1 is acknowledged.
fn acknowledged() -> Old {
    let mut o = serving();
    assert_eq!(opened(&mut o, 1), ["send 1 Hello"]);
    assert!(o.hear(1, &ACK).is_empty());
    o
}

fn draining() -> Old {
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
    o
}

fn drain_ends(o: &mut Old) -> Vec<String> {
    finish!(o, IncumbentOp::Drain { ticket, .. } => ticket.done(DRAINED))
}

fn drained() -> Old {
    let mut o = draining();
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
    o
}

fn sealing() -> Old {
    let mut o = drained();
    assert_eq!(o.hear(1, &SEAL), ["start Seal"]);
    o
}

fn seal_ends(o: &mut Old) -> Vec<String> {
    let report = SealReport {
        revisions: Revisions::from(&[4, 5][..]),
        fingerprint: [1; 32],
    };
    finish!(o, IncumbentOp::Seal { ticket, .. } => ticket.done(report))
}

fn releasing() -> Old {
    let mut o = sealing();
    assert_eq!(seal_ends(&mut o), ["start ReleaseLock"]);
    o
}

fn release_ends(o: &mut Old) -> Vec<String> {
    finish!(o, IncumbentOp::ReleaseLock(ticket) => ticket.done(()))
}

fn sealed() -> Old {
    let mut o = releasing();
    assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
    o
}

fn lock_answers(o: &mut Old, report: LockReport) -> Vec<String> {
    finish!(o, IncumbentOp::TryLock(ticket) => ticket.done(report))
}

fn path_answers(o: &mut Old, owner: PathOwner) -> Vec<String> {
    finish!(o, IncumbentOp::InspectPath(ticket) => ticket.done(owner))
}

/// The resume hook runs, ends, and another handoff is possible.
fn comes_back(o: &mut Old) {
    assert!(finish!(o, IncumbentOp::Resume(ticket) => ticket.done(())).is_empty());
    assert!(o.has_seen("Serving"));
    assert_eq!(opened(o, 50), ["send 50 Hello"]);
    let version = 1;
    assert!(
        o.hear(50, &Message::HelloAck { version, id: OTHER })
            .is_empty()
    );
    let prepare = Message::PrepareHandoff {
        id: OTHER,
        successor_pid: 201,
        deadline_ms: 1000,
        drain_grace_ms: 1000,
    };
    assert_eq!(o.hear(50, &prepare), ["start Drain"]);
}

fn unexpected(o: &Old, message: &str) -> bool {
    o.has_seen(&format!(
        "lost 1: protocol violation: {message} is not allowed"
    ))
}

const TAKEN: LockReport = LockReport::Taken { generation: 3 };

#[test]
fn a_handoff_goes_step_by_step_and_ends_with_commit() {
    let mut o = sealed();
    assert!(o.sent.last().is_some_and(|text| text.contains("[4, 5]")));
    assert_eq!(o.hear(1, &COMMIT), ["done"]);
    assert_eq!(o.end(), format!("handed over (handoff {ID})"));
}

#[test]
fn seal_complete_is_sent_only_once_the_lock_is_released() {
    let mut o = releasing();
    assert!(!o.sent.iter().any(|text| text.contains("SealComplete")));
    assert_eq!(release_ends(&mut o), ["send 1 SealComplete"]);
}

#[test]
fn c1_a_draining_incumbent_whose_session_is_lost_stops_the_drain_and_resumes() {
    let mut o = draining();
    assert_eq!(o.lose(1), ["close 1", "cancel"]);
    assert_eq!(drain_ends(&mut o), ["start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c1_an_aborted_drain_is_asked_to_stop_at_once() {
    for message in [ABORT, RESUME] {
        let mut o = draining();
        assert_eq!(o.hear(1, &message), ["cancel"]);
        assert!(o.has_seen("Undraining"));
        assert_eq!(drain_ends(&mut o), ["start Resume"]);
        comes_back(&mut o);
    }
}

#[test]
fn c1_a_cancelled_drain_that_does_not_stop_delays_resume_only_for_a_grace() {
    let mut o = draining();
    o.lose(1);
    assert_eq!(o.waits_for(), ("Operation".into(), Duration::from_secs(5)));
    assert_eq!(o.sleep(), ["start Resume"]);
    assert!(drain_ends(&mut o).is_empty(), "it ends, and nobody waits");
    comes_back(&mut o);
}

#[test]
fn c1_a_drain_that_fails_is_answered_with_abort_and_undone() {
    let mut o = draining();
    let acts = finish!(o, IncumbentOp::Drain { ticket, .. } => ticket.failed("a panic"));
    assert_eq!(acts, ["send 1 Abort", "start Resume"]);
    assert!(o.sent.last().is_some_and(|text| text.contains("a panic")));
    comes_back(&mut o);
}

#[test]
fn c1_a_drained_incumbent_that_is_given_up_resumes_with_the_lock_never_released() {
    for message in [ABORT, RESUME] {
        let mut o = drained();
        assert_eq!(o.hear(1, &message), ["start Resume"]);
        comes_back(&mut o);
    }
    let mut o = drained();
    assert_eq!(o.lose(1), ["close 1", "start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c1_a_seal_in_progress_is_let_finish_and_then_undone_by_resume() {
    let mut o = sealing();
    assert!(o.hear(1, &ABORT).is_empty(), "no cancel, no resume yet");
    assert_eq!(seal_ends(&mut o), ["start Resume"], "no release");
    comes_back(&mut o);
}

#[test]
fn c1_a_seal_that_fails_keeps_the_lock() {
    let mut o = sealing();
    let acts = finish!(o, IncumbentOp::Seal { ticket, .. } => ticket.failed("disk full"));
    assert_eq!(acts, ["send 1 SealFailed", "start Resume"]);
    assert!(o.sent.last().is_some_and(|text| text.contains("disk full")));
    comes_back(&mut o);
}

#[test]
fn c1_a_seal_report_that_fits_into_no_frame_is_a_seal_that_failed() {
    let mut o = sealing();
    let report = SealReport {
        revisions: Revisions::from(&[u64::MAX; 200][..]),
        fingerprint: [1; 32],
    };
    let acts = finish!(o, IncumbentOp::Seal { ticket, .. } => ticket.done(report));
    assert_eq!(acts, ["send 1 SealFailed", "start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c1_a_lock_that_cannot_be_released_is_kept() {
    let mut o = releasing();
    let acts = finish!(o, IncumbentOp::ReleaseLock(ticket) => ticket.failed("why not"));
    assert_eq!(acts, ["send 1 SealFailed", "start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c2_a_sealed_incumbent_whose_session_is_lost_reclaims_the_lock() {
    let mut o = sealed();
    assert_eq!(o.lose(1), ["close 1", "start TryLock"]);
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
    assert_eq!(path_answers(&mut o, PathOwner::Ours), ["start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c2_a_sealed_incumbent_that_is_told_to_come_back_reclaims_the_lock() {
    for message in [ABORT, RESUME] {
        let mut o = sealed();
        assert_eq!(o.hear(1, &message), ["start TryLock"]);
        assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
        assert_eq!(path_answers(&mut o, PathOwner::Ours), ["start Resume"]);
        comes_back(&mut o);
    }
}

#[test]
fn c2_a_session_lost_while_the_lock_is_being_released_is_answered_by_taking_it_again() {
    let mut o = releasing();
    assert_eq!(o.lose(1), ["close 1"]);
    assert_eq!(release_ends(&mut o), ["start TryLock"]);
    assert!(!o.sent.iter().any(|text| text.contains("SealComplete")));
}

#[test]
fn c2_with_the_lock_back_a_control_path_that_is_not_ours_is_bound_again_before_resume() {
    for owner in [PathOwner::Theirs, PathOwner::Nobody] {
        let mut o = sealed();
        o.lose(1);
        lock_answers(&mut o, TAKEN);
        assert_eq!(path_answers(&mut o, owner), ["start BindPath"]);
        let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
        assert_eq!(acts, ["start Resume"]);
        comes_back(&mut o);
    }
}

#[test]
fn c2_a_control_path_that_cannot_be_bound_does_not_keep_the_daemon_from_serving() {
    let mut o = sealed();
    o.lose(1);
    lock_answers(&mut o, TAKEN);
    path_answers(&mut o, PathOwner::Nobody);
    let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.failed("no space"));
    assert_eq!(acts, ["start Resume"]);
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.sleep(), ["start BindPath"], "tried again while it serves");
    assert!(finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(())).is_empty());
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None);
}

#[test]
fn c2_while_the_successor_opens_the_incumbent_waits_and_answers_sessions() {
    let mut o = sealed();
    o.lose(1);
    for _ in 0..1000 {
        assert_eq!(
            lock_answers(&mut o, LockReport::Held),
            ["start InspectPath"]
        );
        assert!(path_answers(&mut o, PathOwner::Ours).is_empty());
        assert_eq!(o.waits_for().0, "Retry");
        assert_eq!(o.sleep(), ["start TryLock"]);
    }
    assert_eq!(opened(&mut o, 2), ["send 2 Hello"]);
    assert!(o.hear(2, &ACK).is_empty());
    assert_eq!(
        o.hear(2, &PREPARE),
        ["send 2 Abort"],
        "not while it reclaims"
    );
    assert_eq!(
        lock_answers(&mut o, TAKEN),
        ["start InspectPath"],
        "it gave up"
    );
}

#[test]
fn c2_when_the_lock_and_the_path_are_anothers_the_incumbent_leaves() {
    let mut o = sealed();
    o.lose(1);
    // It may want to see that more than once, but not for long.
    for _ in 0..3 {
        if o.outcome.is_none() {
            assert_eq!(
                lock_answers(&mut o, LockReport::Held),
                ["start InspectPath"]
            );
            if path_answers(&mut o, PathOwner::Theirs).is_empty() {
                assert_eq!(o.sleep(), ["start TryLock"]);
            }
        }
    }
    assert_eq!(o.end(), "another process has taken over");
}

#[test]
fn c11_a_supervisor_that_is_silent_while_the_hook_runs_is_given_up_at_its_deadline() {
    let mut o = draining();
    let acts = o.pass(Duration::from_mins(1));
    assert!(acts.iter().all(|act| act == "send 1 Heartbeat"), "{acts:?}");
    let acts = o.pass(Duration::from_secs(1));
    assert_eq!(acts.last().map(String::as_str), Some("cancel"), "{acts:?}");
    assert!(acts.contains(&"send 1 Abort".into()));
    assert!(o.has_seen("the supervisor has been silent"));
}

#[test]
fn c11_a_drained_incumbent_comes_back_when_the_supervisor_falls_silent() {
    let mut o = drained();
    assert_eq!(o.waits_for(), ("Owner".into(), Duration::from_secs(11)));
    assert_eq!(o.sleep(), ["send 1 Abort", "start Resume"]);
    assert_eq!(o.hear(1, &SEAL), ["send 1 Abort"], "it thawed too late");
    comes_back(&mut o);
}

#[test]
fn c11_a_sealed_incumbent_reclaims_when_the_supervisor_falls_silent() {
    let mut o = sealed();
    assert_eq!(o.waits_for(), ("Owner".into(), Duration::from_secs(11)));
    assert_eq!(o.sleep(), ["send 1 Abort", "start TryLock"]);
    assert_eq!(o.hear(1, &COMMIT), ["send 1 Abort"], "it thawed too late");
    assert!(o.hear(1, &RESUME).is_empty(), "nothing is left to undo");
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
}

#[test]
fn a_hook_is_given_the_announced_deadline_and_the_grace_at_the_most() {
    let o = draining();
    let [IncumbentOp::Drain { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_secs(20)));
    let o = sealing();
    let [IncumbentOp::Seal { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_mins(1)));
}

#[test]
fn an_announced_deadline_without_end_is_cut() {
    let mut o = acknowledged();
    let prepare = Message::PrepareHandoff {
        id: ID,
        successor_pid: 1,
        deadline_ms: u64::MAX,
        drain_grace_ms: u64::MAX,
    };
    assert_eq!(o.hear(1, &prepare), ["start Drain"]);
    let [IncumbentOp::Drain { deadline, .. }] = &o.ops[..] else {
        panic!("{:?}", o.ops);
    };
    assert_eq!(*deadline, o.now.after(Duration::from_mins(10)));
}

#[test]
fn heartbeats_are_sent_while_a_hook_runs_and_answered_between_hooks() {
    const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
    o.hear(1, &PREPARE);
    assert_eq!(o.waits_for(), ("Heartbeat".into(), Duration::from_secs(2)));
    for _ in 0..5 {
        assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
    }
    assert!(o.hear(1, &BEAT).is_empty(), "its own are under way");
    drain_ends(&mut o);
    assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
    assert_eq!(o.waits_for().0, "Owner", "none of its own between hooks");
}

#[test]
fn heartbeats_do_not_pile_up_before_a_peer_that_does_not_read() {
    let mut o = draining();
    o.takes = false;
    assert_eq!(o.sleep(), ["send 1 Heartbeat"]);
    assert!(o.pass(Duration::from_secs(50)).is_empty());
}

#[test]
fn seal_progress_reaches_the_supervisor() {
    let mut o = sealing();
    let progress = Input::Progress {
        sealed: 3,
        total: 9,
        revision: 77,
    };
    assert_eq!(o.input(progress), ["send 1 SealProgress"]);
    seal_ends(&mut o);
    assert!(o.input(progress).is_empty(), "too late to matter");
}

#[test]
fn a_second_handoff_is_refused_and_does_not_disturb_the_first() {
    let mut o = draining();
    opened(&mut o, 2);
    o.hear(2, &ACK);
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"]);
    assert!(
        o.sent
            .last()
            .is_some_and(|text| text.contains("in progress"))
    );
    assert!(
        o.hear(2, &ABORT).is_empty(),
        "it is not its handoff to abort"
    );
    assert_eq!(o.lose(2), ["close 2"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn a_second_seal_request_ends_the_session_and_runs_no_hook_again() {
    let mut o = sealed();
    assert_eq!(o.hear(1, &SEAL), ["close 1", "start TryLock"]);
    assert!(unexpected(&o, "SealRequest"));
}

#[test]
fn a_wrong_id_ends_the_session_and_the_incumbent_resumes() {
    let mut o = drained();
    assert_eq!(
        o.hear(1, &Message::SealRequest { id: OTHER }),
        ["close 1", "start Resume"]
    );
    assert!(o.has_seen(&format!("handoff id {OTHER} instead of {ID}")));
    comes_back(&mut o);
}

#[test]
fn what_is_not_allowed_ends_the_session_and_nothing_else() {
    let mut o = serving();
    opened(&mut o, 1);
    assert_eq!(o.hear(1, &PREPARE), ["close 1"], "before HelloAck");
    assert!(unexpected(&o, "PrepareHandoff"));
    let mut o = acknowledged();
    assert_eq!(o.hear(1, &COMMIT), ["close 1"], "of no handoff");
    assert!(unexpected(&o, "Commit"));
    let mut o = acknowledged();
    assert_eq!(o.bytes(1, &[0xff; 64]), ["close 1"]);
    assert!(o.has_seen("a frame says it has 4294967295 bytes"));
    assert_eq!(opened(&mut o, 3), ["send 3 Hello"]);
}

#[test]
fn a_version_that_we_do_not_speak_ends_the_session_with_both_in_the_reason() {
    let mut o = serving();
    opened(&mut o, 1);
    let ack = Message::HelloAck { version: 2, id: ID };
    assert_eq!(o.hear(1, &ack), ["close 1"]);
    assert!(o.has_seen("ours 1..=1, theirs 2..=2"), "{:?}", o.seen);
    let mut o = acknowledged();
    assert_eq!(o.bytes(1, &frame_of(2, &PREPARE)), ["close 1"]);
    assert!(o.has_seen("version 2 on a session of version 1"));
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_five_seconds() {
    let mut o = serving();
    opened(&mut o, 1);
    assert_eq!(o.waits_for(), ("HelloAck".into(), Duration::from_secs(5)));
    assert!(o.bytes(1, &[24, 0]).is_empty(), "half a length is nothing");
    assert_eq!(o.sleep(), ["close 1"]);
}

#[test]
fn a_ninth_connection_drives_out_the_oldest_unacknowledged_one() {
    let mut o = acknowledged();
    for link in 2..=8 {
        o.now = o.now.after(Duration::from_millis(1));
        assert_eq!(opened(&mut o, link).len(), 1);
    }
    assert_eq!(opened(&mut o, 9), ["close 2", "send 9 Hello"]);
    assert!(o.has_seen("lost 2: too many connections"));
    assert_eq!(o.hear(1, &PREPARE), ["start Drain"]);
}

#[test]
fn among_acknowledged_connections_the_quietest_goes_but_never_the_owner() {
    let mut o = draining();
    for link in 2..=8 {
        o.now = o.now.after(Duration::from_millis(1));
        opened(&mut o, link);
        o.hear(link, &ACK);
    }
    o.now = o.now.after(Duration::from_millis(1));
    o.hear(2, &Message::Heartbeat { ts_ms: 0 });
    assert_eq!(opened(&mut o, 9), ["close 3", "send 9 Hello"]);
    assert_eq!(drain_ends(&mut o), ["send 1 Drained"]);
}

#[test]
fn all_sessions_late_at_once_fit_into_one_turn() {
    let mut o = releasing();
    let late = o.now.after(Duration::from_secs(100));
    for link in 2..=8 {
        opened(&mut o, link);
    }
    o.now = late;
    let acts = o.input(Input::Deadline);
    assert_eq!(
        acts.iter().filter(|act| act.starts_with("close")).count(),
        7
    );
    assert!(acts.contains(&"send 1 Abort".into()), "{acts:?}");
}

#[test]
fn the_unfinished_frame_of_a_link_is_not_the_next_links() {
    let mut o = serving();
    opened(&mut o, 1);
    o.bytes(1, &[24, 0, 0]);
    o.lose(1);
    opened(&mut o, 2);
    assert!(o.hear(2, &ACK).is_empty());
    assert_eq!(o.hear(2, &PREPARE), ["start Drain"]);
}

#[test]
fn a_dropped_ticket_costs_time_and_nothing_else() {
    let mut o = sealed();
    o.lose(1);
    o.ops.clear();
    assert_eq!(o.waits_for().0, "Operation");
    assert!(o.sleep().is_empty());
    assert_eq!(o.sleep(), ["start TryLock"]);
}

#[test]
fn a_resume_that_fails_is_tried_again_and_in_the_end_the_process_leaves() {
    let mut o = drained();
    o.lose(1);
    for _ in 0..2 {
        let acts = finish!(o, IncumbentOp::Resume(ticket) => ticket.failed("not yet"));
        assert!(acts.is_empty());
        assert_eq!(o.sleep(), ["start Resume"]);
    }
    let acts = finish!(o, IncumbentOp::Resume(ticket) => ticket.failed("never"));
    assert_eq!(acts, ["done"]);
    assert_eq!(o.end(), "cannot serve: resume failed: never");
}

#[test]
fn an_incumbent_without_a_control_path_binds_it_at_once_and_until_it_works() {
    let mut o = Old::new(IncumbentConfig {
        bound: false,
        ..incumbent_config()
    });
    for _ in 0..3 {
        let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.failed("in use"));
        assert!(acts.is_empty());
        assert_eq!(o.sleep(), ["start BindPath"]);
    }
    finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
    assert_eq!(o.wait.and_then(|wait| wait.deadline), None::<Instant>);
}
