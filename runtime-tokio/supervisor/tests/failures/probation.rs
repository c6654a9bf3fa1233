//! A successor on probation serves, while the incumbent, sealed, could still come back.

use std::sync::mpsc;
use std::thread;

use handoff_std::core::SupervisorOutcome;
use handoff_std::core::supervisor::Phase;
use handoff_std::core::wire::Message;
use handoff_std::{HandoffSpec, HealthCheck, Process, Report, RollbackHandle};

use crate::common::wire::Peer;
use crate::common::{
    PATIENCE, World, client, committed, freeze, kill, ms, on_phase, on_probation, quick,
    rolled_back, wait_until,
};

/// Performs a handoff, and does `deed` with the successor once it serves on probation.
fn meanwhile(
    world: &World,
    old: Process,
    spec: &HandoffSpec,
    deed: impl FnOnce(Process, RollbackHandle) + Send,
) -> Report {
    let (tell, told) = mpsc::channel();
    let mut supervisor = on_phase(world.supervisor(), Phase::Probation, move || {
        tell.send(()).unwrap();
    });
    let rollback = supervisor.rollback_handle();
    thread::scope(|scope| {
        let deed = scope.spawn(move || {
            told.recv_timeout(PATIENCE).expect("a probation");
            let new = world.new_holder(old);
            world.assert_serves(new.pid);
            deed(new, rollback);
        });
        let report = world.handoff(&mut supervisor, spec);
        deed.join().unwrap();
        report
    })
}

/// A write that only the successor can have acknowledged.
fn write(world: &World, key: &str) {
    client::set(world.address(), key, key).unwrap();
}

fn assert_kept(world: &World, key: &str) {
    assert_eq!(client::get(world.address(), key).as_deref(), Ok(key));
}

// C8, twice, and then it works: the incumbent has what the successors wrote.
#[test]
fn a_successor_that_dies_or_is_sent_back_takes_its_writes_along() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let spec = on_probation(world.kvd(&[]));
    rolled_back(&meanwhile(&world, old, &spec, |new, _| {
        write(&world, "first");
        kill(new);
    }));
    world.assert_serves(old.pid);
    assert_kept(&world, "first");

    let report = meanwhile(&world, old, &spec, |_, rollback| {
        assert_kept(&world, "first");
        write(&world, "second");
        assert!(rollback.rollback("as the test wants it"));
    });
    let why = rolled_back(&report);
    assert!(why.contains("as the test wants it"), "{why}");
    world.assert_serves(old.pid);

    let new = world.assert_next_handoff_works();
    assert!(new != old && old.wait_dead(PATIENCE));
    assert_kept(&world, "first");
    assert_kept(&world, "second");
}

// C8: its session and its process are there, and only the health check notices.
#[test]
fn a_frozen_successor_passes_its_probation() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let address = world.address().to_string();
    let mut spec = on_probation(world.kvd(&[]));
    spec.health = Some(HealthCheck {
        interval: ms(50),
        timeout: ms(700),
        failures: 2,
        ..HealthCheck::command(env!("CARGO_BIN_EXE_handoff"), ["kvd", "check", &address])
    });
    let report = meanwhile(&world, old, &spec, |new, _| {
        write(&world, "k1");
        freeze(new);
    });
    let why = rolled_back(&report);
    assert!(why.contains("2 in a row failed"), "{why}");
    world.assert_serves(old.pid);
    assert_kept(&world, "k1");
    world.assert_alone(old);
    world.assert_next_handoff_works();
}

// C6: it may not be dead, as far as the supervisor knows, and then it could come back. So the successor
// waits for as long as that could take, and is committed then.
#[test]
fn an_incumbent_killed_in_a_probation_takes_the_successor_along() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let spec = on_probation(world.kvd(&["--times-percent", "15"]));
    let report = meanwhile(&world, old, &spec, |_, _| {
        write(&world, "k1");
        assert!(!client::is_committed(world.address()));
        kill(old);
    });
    assert!(report.took < spec.probation, "{:?}", report.took);
    world.assert_serves(committed(&report));
    let told = || client::is_committed(world.address());
    assert!(wait_until(PATIENCE, told));
    assert_kept(&world, "k1");
    world.assert_next_handoff_works();
}

// C8, C9: nobody is left but the supervisor. It may see one death after it has decided on the other, and
// then whoever watches the daemon sees it.
#[test]
fn both_killed_in_a_probation_leave_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let spec = on_probation(world.kvd(&[]));
    let mut report = meanwhile(&world, old, &spec, |new, _| {
        write(&world, "k1");
        kill(new);
        kill(old);
    });
    // A daemon that was started here has perhaps not come as far as its lock. One more look would then
    // start another one, which ends at the lock of the first.
    if !matches!(report.outcome, SupervisorOutcome::ColdStarted { .. }) {
        report = world.supervisor().recover().unwrap();
    }
    let pid = match report.outcome {
        SupervisorOutcome::Found { pid } => pid,
        SupervisorOutcome::ColdStarted { process, .. } => process.pid,
        outcome => panic!("{outcome}"),
    };
    if let Some(child) = report.child.take() {
        world.adopt(child);
    }
    world.assert_serves(pid);
    assert_kept(&world, "k1");
    world.assert_next_handoff_works();
}

// Section 8: it is told why, in words, and nothing happens to the probation.
#[test]
fn another_peer_hands_a_successor_on_probation_over() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let spec = HandoffSpec {
        probation: ms(1500),
        ..quick(world.kvd(&[]))
    };
    let report = meanwhile(&world, old, &spec, |_, _| {
        for id in 1..4 {
            let mut peer = Peer::preparing(&world.control(), id, ms(60_000));
            let answer = peer.answer().unwrap();
            let Message::Abort { reason, .. } = answer.message() else {
                panic!("{:?}", answer.message());
            };
            assert!(reason.contains("not committed yet"), "{reason}");
        }
        let second = world.handoff(&mut world.supervisor(), &quick(world.kvd(&[])));
        let why = rolled_back(&second);
        assert!(why.contains("not committed yet"), "{why}");
    });
    world.assert_serves(committed(&report));
    world.assert_next_handoff_works();
}
