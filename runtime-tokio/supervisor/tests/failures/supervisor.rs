//! The supervisor is killed, freezes or comes back.

use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use handoff_std::SupervisorEvent;
use handoff_std::core::supervisor::Phase;
use handoff_std::core::wire::Message;
use handoff_std::core::{Reason, SupervisorOutcome};

use crate::common::wire::Peer;
use crate::common::{
    PATIENCE, World, client, committed, freeze, kill, ms, quick, stand_in, thaw, wait_until,
};

// C2, C5: the successor needs longer to open than it or the incumbent would try for anything.
#[test]
fn a_supervisor_killed_after_begin_leaves_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    client::set(world.address(), "kept", "1").unwrap();
    let supervisor = world.launch(&world.supervisor_apart(&["--open-delay-ms", "3200"], &[]));
    let new = world.new_holder(old);
    kill(supervisor);

    world.assert_serves(new.pid);
    assert!(old.wait_dead(ms(2000)), "the old incumbent leaves");
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
    world.assert_next_handoff_works();
}

// C2: the incumbent sees by the control path that it was replaced, and does not wait for anything.
#[test]
fn a_supervisor_killed_after_ready_keeps_the_incumbent_lingering() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let supervisor = world.launch(&world.supervisor_apart(&["--open-delay-ms", "300"], &[]));
    let new = world.new_holder(old);
    // Frozen until the successor serves, so that Commit is never sent.
    freeze(supervisor);
    world.assert_serves(new.pid);
    kill(supervisor);
    let killed = Instant::now();
    assert!(old.wait_dead(PATIENCE));
    assert!(killed.elapsed() < ms(1000), "{:?}", killed.elapsed());
    world.assert_next_handoff_works();
}

// C11: drained, and nobody asks for the seal.
#[test]
fn a_supervisor_frozen_while_the_incumbent_is_drained_keeps_it_closed() {
    frozen_at("Phase(Draining)", &["--drain-delay-ms", "1000"]);
}

// C11: sealed, and nobody says Begin.
#[test]
fn a_supervisor_frozen_while_the_incumbent_is_sealed_keeps_it_closed() {
    frozen_at("Phase(Sealing)", &["--seal-delay-ms", "1000"]);
}

/// The hook of this phase has just begun, and ends while the supervisor is frozen.
fn frozen_at(event: &str, incumbent: &[&str]) {
    let world = World::new();
    let old = world.start(&world.kvd(incumbent));
    let supervisor = world.launch(&world.supervisor_apart(&[], &[(stand_in::TIME, "1500")]));
    world.wait_event(event);
    // The supervisor tells of a phase before it sends anything; this is the sign that it has.
    assert!(wait_until(PATIENCE, || {
        client::set_within(world.address(), "k", "v", ms(50)).is_err()
    }));
    freeze(supervisor);
    let frozen = Instant::now();
    assert!(
        wait_until(PATIENCE, || client::set(world.address(), "k", "v").is_ok()),
        "somebody serves while the supervisor is frozen at {event}"
    );
    assert!(frozen.elapsed() < ms(8000), "{:?}", frozen.elapsed());
    thaw(supervisor);
    world.wait_event("Outcome(");
    assert!(supervisor.wait_dead(PATIENCE));
    let serving = world.holder().expect("somebody holds the lock");
    assert_eq!(serving, old.pid, "the incumbent came back");
    world.assert_serves(serving);
    world.assert_next_handoff_works();
}

// C11: a silent peer that has everything it needs to go on. Its later messages are refused.
#[test]
fn a_peer_silent_after_drained_or_sealed_stops_the_service() {
    for seal in [false, true] {
        let world = World::new();
        let old = world.start(&world.kvd(&[]));
        let mut peer = Peer::preparing(&world.control(), 7, ms(200));
        if seal {
            peer.seal();
            let sealed = peer.answer().unwrap();
            assert!(matches!(sealed.message(), Message::SealComplete { .. }));
        } else {
            let drained = peer.answer().unwrap();
            assert!(matches!(drained.message(), Message::Drained { .. }));
        }
        world.assert_serves(old.pid);
        let told = peer.answer().unwrap();
        assert!(matches!(told.message(), Message::Abort { .. }));
        for late in [
            Message::SealRequest { id: peer.id },
            Message::Commit { id: peer.id },
        ] {
            peer.send(&late);
            let refused = peer.answer().unwrap();
            assert!(matches!(refused.message(), Message::Abort { .. }));
        }
        world.assert_serves(old.pid);
        world.assert_next_handoff_works();
    }
}

// C9: the successor opens, and the restarted supervisor leaves it in peace.
#[test]
fn a_restarted_supervisor_kills_a_successor_that_is_about_to_serve() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let first = world.launch(&world.supervisor_apart(&["--open-delay-ms", "1000"], &[]));
    let new = world.new_holder(old);
    kill(first);
    assert!(first.wait_dead(PATIENCE));
    assert!(world.journal().exists(), "a handoff was in flight");

    let report = world.supervisor().recover().unwrap();
    let SupervisorOutcome::Found { pid } = report.outcome else {
        panic!("{}", report.outcome);
    };
    assert_eq!(pid, new.pid);
    world.assert_serves(new.pid);
    assert!(!world.journal().exists(), "nothing is in flight any more");
    assert!(old.wait_dead(PATIENCE));
    world.assert_next_handoff_works();
}

// C9: the successor hangs, and is killed at the settle deadline, so that the incumbent reclaims.
#[test]
fn a_hanging_successor_survives_a_restarted_supervisor() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let first = world.launch(&world.supervisor_apart(&["--open-delay-ms", "600000"], &[]));
    let new = world.new_holder(old);
    kill(first);
    assert!(first.wait_dead(PATIENCE));

    let second = world.supervisor_apart(
        &[],
        &[(stand_in::FLAGS, "recover"), (stand_in::TIME, "700")],
    );
    let second = world.launch(&second);
    world.wait_event(&format!("Outcome(pid {} serves", old.pid));
    assert_eq!(world.exit_code(second), Some(0));
    assert!(!new.is_alive(), "the hanging successor is dead");
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// C9: nobody is alive, so the daemon is started; somebody is, so he is found.
#[test]
fn a_supervisor_that_starts_leaves_nobody_serving_or_starts_a_second_daemon() {
    let world = World::new();
    fs::create_dir_all(world.path("p")).unwrap();
    fs::create_dir_all(world.path("j")).unwrap();
    let mut report = world.supervisor().recover().unwrap();
    let SupervisorOutcome::ColdStarted { process, .. } = report.outcome else {
        panic!("{}", report.outcome);
    };
    world.adopt(report.child.take().unwrap());
    world.assert_serves(process.pid);
    let report = world.supervisor().recover().unwrap();
    assert_eq!(
        report.outcome,
        SupervisorOutcome::Found { pid: process.pid }
    );
    assert!(report.child.is_none());
}

// C10, C7, bytes before timeouts: Ready comes as the deadline passes. Either is good: it counts, or
// it does not; but whoever serves is behind the control path.
#[test]
fn a_ready_at_the_deadline_leaves_the_control_path_dead() {
    // The deadline is stretched by a second of slack, so Ready is due at 1.3 seconds.
    for delay in ["1200", "1290", "1300", "1320"] {
        let world = World::new();
        let old = world.start(&world.kvd(&[]));
        let mut spec = quick(world.kvd(&["--open-delay-ms", delay]));
        spec.deadline = ms(300);
        let report = world.handoff(&mut world.supervisor(), &spec);
        match report.outcome {
            SupervisorOutcome::Committed { successor, .. } => world.assert_serves(successor.pid),
            SupervisorOutcome::RolledBack { .. } => world.assert_serves(old.pid),
            outcome => panic!("{outcome}"),
        }
        world.assert_next_handoff_works();
    }
}

// C1, section 6: the supervisor gives up by dying, and a long drain is stopped at once.
#[test]
fn a_supervisor_killed_in_a_long_drain_keeps_the_service_closed() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--drain-delay-ms", "600000"]));
    let supervisor = world.launch(&world.supervisor_apart(&[], &[]));
    world.wait_event("Phase(Draining)");
    // The connection that gets no answer any more is the sign that the drain has begun.
    assert!(wait_until(PATIENCE, || {
        client::set_within(world.address(), "k", "v", ms(100)).is_err()
    }));
    kill(supervisor);
    let killed = Instant::now();
    world.assert_serves(old.pid);
    assert!(killed.elapsed() < Duration::from_secs(2));
}

// Section 11: it is reported, and stops nothing.
#[test]
fn a_journal_that_cannot_be_written_stops_a_handoff() {
    for phase in [Phase::Connecting, Phase::Sealing] {
        let world = World::new();
        let old = world.start(&world.kvd(&[]));
        let journals = world.path("j");
        let (seen, events) = mpsc::channel();
        let mut supervisor = world.supervisor().with_observer(move |event| {
            if *event == SupervisorEvent::Phase(phase) {
                fs::remove_dir_all(&journals).unwrap();
            }
            seen.send(event.clone()).unwrap();
        });
        let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
        let pid = committed(&report);
        let reported = events.try_iter().any(|event| {
            matches!(event, SupervisorEvent::Trouble(cause) if cause.reason == Reason::JournalFailed)
        });
        assert!(reported);
        world.assert_serves(pid);
        assert!(old.wait_dead(PATIENCE));
    }
}
