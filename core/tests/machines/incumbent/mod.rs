//! The incumbent: a handoff step by step, `C1`, and what becomes of hooks that fail. Its supervisor speaks
//! version 1 here, but for the modules.

mod ask;
mod checking;
mod heartbeats;
mod limits;
mod probation;
mod reclaim;
mod sessions;
mod version_2;
mod waiting;

use std::time::Duration;

use handoff_core::op::{DrainReport, LockReport, PathOwner, SealReport};
use handoff_core::wire::{HandoffId, Message, Revisions};
use handoff_core::{Incumbent, IncumbentConfig, IncumbentOp, Input, Instant, LinkId};

use crate::bench::{Bench, finish};
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
    o.input(Input::Opened { link, peer: 1 })
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

// It may still write, and a seal would release the lock.
#[test]
fn no_handoff_begins_while_a_drain_that_was_given_up_still_runs() {
    let mut o = draining();
    o.lose(1);
    o.sleep();
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    opened(&mut o, 2);
    o.hear(2, &ACK);
    assert_eq!(o.hear(2, &PREPARE), ["send 2 Abort"]);
    let abort = o.sent.last().expect("Abort");
    assert!(abort.contains("has not come back"), "{abort}");
    assert!(drain_ends(&mut o).is_empty());
    assert_eq!(o.hear(2, &PREPARE), ["start Drain"]);
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
fn c1_a_lock_that_cannot_be_released_is_kept_also_when_nobody_wants_that_any_more() {
    let mut o = releasing();
    assert!(o.hear(1, &ABORT).is_empty());
    let acts = finish!(o, IncumbentOp::ReleaseLock(ticket) => ticket.failed("why not"));
    assert_eq!(acts, ["start Resume"]);
    comes_back(&mut o);
}

#[test]
fn a_seal_that_was_aborted_and_does_not_return_ends_the_process() {
    let mut o = sealing();
    assert!(o.hear(1, &ABORT).is_empty());
    assert_eq!(o.waits_for(), ("Operation".into(), Duration::from_mins(10)));
    assert_eq!(o.sleep(), ["done"]);
    assert_eq!(o.end(), "cannot serve: a hook did not return: Unsealing");
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
        assert_eq!(o.waits_for(), ("Retry".into(), Duration::from_secs(1)));
        assert_eq!(o.sleep(), ["start Resume"]);
    }
    let acts = finish!(o, IncumbentOp::Resume(ticket) => ticket.failed("never"));
    assert_eq!(acts, ["done"]);
    assert_eq!(o.end(), "cannot serve: resume failed: never");
}

#[test]
fn a_control_path_that_was_lost_is_bound_again_once_the_daemon_serves() {
    let mut o = serving();
    assert_eq!(o.input(Input::Unbound), ["start BindPath"]);
    assert!(o.input(Input::Unbound).is_empty(), "it is under way");
    // Perhaps it was bound before it was lost the second time.
    let acts = finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(()));
    assert_eq!(acts, ["start BindPath"]);
    assert!(finish!(o, IncumbentOp::BindPath(ticket) => ticket.done(())).is_empty());
    o.input(Input::Unbound);
    o.ops.clear();
    assert!(o.sleep().is_empty(), "the ticket is lost");
    assert_eq!(o.waits_for(), ("Rebind".into(), Duration::from_secs(1)));
    assert_eq!(o.sleep(), ["start BindPath"]);

    let mut o = drained();
    assert!(o.input(Input::Unbound).is_empty());
    assert_eq!(o.waits_for().0, "Owner", "it is not the time to bind");
    o.lose(1);
    finish!(o, IncumbentOp::Resume(ticket) => ticket.done(()));
    assert_eq!(o.sleep(), ["start BindPath"]);
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
