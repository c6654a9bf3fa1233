//! `C11` with version 2: a supervisor that lives sends heartbeats throughout.

use std::time::Duration;

use handoff_core::wire::Message;

use super::version_2::{BEAT, drained, draining, releasing, sealed, sealing};
use super::{
    COMMIT, Old, RESUME, SEAL, TAKEN, comes_back, drain_ends, lock_answers, opened, release_ends,
    seal_ends,
};
use crate::bench::frame_of;
use crate::world::ID;

/// The supervisor says nothing more; what is done for that, and after which time.
fn falls_silent(o: &mut Old) -> (Duration, Vec<String>) {
    let start = o.now;
    loop {
        let mut acts = o.sleep();
        acts.retain(|act| act != "send 1 Heartbeat");
        if !acts.is_empty() {
            return (o.now.since(start), acts);
        }
    }
}

/// The supervisor is heard every second, until something is done or for so long.
fn beats(o: &mut Old, limit: Duration) -> (Duration, Vec<String>) {
    let start = o.now;
    while o.now.since(start) < limit {
        let mut acts = o.hear(1, &BEAT);
        acts.extend(o.pass(Duration::from_secs(1)));
        acts.retain(|act| act != "send 1 Heartbeat");
        if !acts.is_empty() {
            return (o.now.since(start), acts);
        }
    }
    (limit, Vec::new())
}

const SILENCE: Duration = Duration::from_secs(11);
const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn c11_a_supervisor_that_is_silent_for_ten_seconds_is_given_up_in_every_phase() {
    let aborted = "send 1 Abort";
    for (make, expected) in [
        (draining as fn() -> Old, vec![aborted, "cancel"]),
        (drained, vec![aborted, "start Resume"]),
        (sealing, vec![aborted]),
        (releasing, vec![aborted]),
        (sealed, vec![aborted, "start TryLock"]),
    ] {
        let mut o = make();
        assert_eq!(
            falls_silent(&mut o),
            (
                SILENCE,
                expected.into_iter().map(String::from).collect::<Vec<_>>()
            )
        );
        assert!(o.has_seen("the supervisor has been silent"));
        assert_eq!(o.hear(1, &SEAL), ["send 1 Abort"], "it thawed too late");
        assert_eq!(o.hear(1, &COMMIT), ["send 1 Abort"]);
        assert!(o.hear(1, &RESUME).is_empty());
    }
}

#[test]
fn c11_what_was_given_up_for_silence_is_undone() {
    let mut o = draining();
    falls_silent(&mut o);
    assert_eq!(drain_ends(&mut o), ["start Resume"]);
    comes_back(&mut o);
    let mut o = sealing();
    falls_silent(&mut o);
    assert_eq!(seal_ends(&mut o), ["start Resume"], "no release");
    comes_back(&mut o);
    let mut o = releasing();
    falls_silent(&mut o);
    assert_eq!(release_ends(&mut o), ["start TryLock"]);
    assert_eq!(lock_answers(&mut o, TAKEN), ["start InspectPath"]);
}

#[test]
fn c11_any_byte_of_the_owner_is_a_sign_of_life_and_nobody_elses_is() {
    let mut o = drained();
    opened(&mut o, 2);
    o.hear(2, &Message::HelloAck { version: 2, id: ID });
    o.pass(Duration::from_secs(8));
    o.bytes(1, &frame_of(2, &BEAT)[..1]);
    assert_eq!(o.waits_for(), ("Owner".into(), SILENCE));
    o.pass(Duration::from_secs(8));
    o.hear(2, &BEAT);
    assert_eq!(o.waits_for(), ("Owner".into(), Duration::from_secs(3)));
}

// With version 1 a drained incumbent waits ten seconds for SealRequest, and no longer.
#[test]
fn c11_heartbeats_keep_a_drained_incumbent_waiting_until_the_deadline() {
    let mut o = drained();
    let (waited, acts) = beats(&mut o, 2 * MINUTE);
    assert_eq!(waited, MINUTE + Duration::from_secs(1));
    assert_eq!(acts, ["send 1 Abort", "start Resume"]);
    comes_back(&mut o);
}

#[test]
fn c11_the_deadline_ends_hooks_that_outlast_it_though_the_supervisor_lives() {
    for (make, expected) in [
        (draining as fn() -> Old, vec!["send 1 Abort", "cancel"]),
        (sealing, vec!["send 1 Abort"]),
    ] {
        let mut o = make();
        let (waited, acts) = beats(&mut o, 2 * MINUTE);
        assert_eq!(waited, MINUTE + Duration::from_secs(1));
        assert_eq!(acts, expected);
    }
}

#[test]
fn heartbeats_are_answered_between_hooks() {
    for make in [drained, sealed] {
        let mut o = make();
        assert_eq!(o.hear(1, &BEAT), ["send 1 Heartbeat"]);
    }
    for make in [draining, sealing, releasing] {
        let mut o = make();
        assert!(o.hear(1, &BEAT).is_empty());
    }
}

#[test]
fn a_silent_session_that_owns_nothing_is_left_alone() {
    let mut o = super::version_2::acknowledged();
    assert!(o.pass(Duration::from_hours(1)).is_empty());
    assert!(!o.has_seen("lost"));
}
