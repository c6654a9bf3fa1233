//! Two things go wrong in one handoff, or one goes wrong again and again.

use std::fs;

use handoff_std::ask;
use handoff_std::core::SupervisorOutcome;
use handoff_std::core::supervisor::Phase;
use handoff_std::host::Signal;
use handoff_std::{Process, SpawnSpec};

use crate::common::{
    PATIENCE, World, client, committed, kill, later, ms, named, on_phase, quick, rolled_back,
    wait_until,
};

/// The successor: whoever is of this world, and neither the incumbent nor the supervisor.
fn successor(world: &World, others: &[Process]) -> Process {
    let mut found = Vec::new();
    assert!(wait_until(PATIENCE, || {
        found = named(&world.path(""));
        found.retain(|process| !others.contains(process));
        found.len() == 1
    }));
    found[0]
}

// C3: nobody is left but a successor that nobody has told to begin.
#[test]
fn a_supervisor_and_an_incumbent_killed_in_drain_leave_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--drain-delay-ms", "600000"]));
    client::set(world.address(), "kept", "1").unwrap();
    let supervisor = world.launch(&world.supervisor_apart(&[], &[]));
    world.wait_event("Phase(Draining)");
    let new = successor(&world, &[old, supervisor]);
    kill(supervisor);
    kill(old);
    world.assert_serves(new.pid);
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
    let report = world.supervisor().recover().unwrap();
    assert_eq!(report.outcome, SupervisorOutcome::Found { pid: new.pid });
    world.assert_next_handoff_works();
}

// C2: the supervisor cannot tell the incumbent that the successor is gone.
#[test]
fn a_supervisor_and_a_successor_killed_in_open_leave_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let supervisor = world.launch(&world.supervisor_apart(&["--open-delay-ms", "600000"], &[]));
    let new = world.new_holder(old);
    kill(supervisor);
    kill(new);
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// C8: nobody is left but the supervisor, which starts the daemon that it last knew to work.
#[test]
fn an_incumbent_and_a_successor_killed_in_open_leave_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    client::set(world.address(), "kept", "1").unwrap();
    let dir = world.path("");
    let mut supervisor = on_phase(world.supervisor(), Phase::Opening, move || {
        let dir = dir.clone();
        later(ms(100), move || {
            // The incumbent first: one that dies after it was told to come back is another story.
            kill(old);
            assert!(old.wait_dead(PATIENCE));
            named(&dir).into_iter().for_each(kill);
        });
    });
    let spec = quick(world.kvd(&["--open-delay-ms", "600000"]));
    let report = world.handoff(&mut supervisor, &spec);
    let SupervisorOutcome::ColdStarted { process, .. } = report.outcome else {
        panic!("{}", report.outcome);
    };
    assert!(!old.is_alive());
    world.assert_serves(process.pid);
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
    world.assert_next_handoff_works();
}

// C3: the incumbent lives, so the successor that nobody tells to begin leaves.
#[test]
fn a_successor_without_a_supervisor_stays() {
    let world = World::new();
    let old = world.start(&world.kvd(&["--drain-delay-ms", "600000"]));
    let supervisor = world.launch(&world.supervisor_apart(&[], &[]));
    world.wait_event("Phase(Draining)");
    let new = successor(&world, &[old, supervisor]);
    kill(supervisor);
    assert!(new.wait_dead(PATIENCE));
    world.assert_serves(old.pid);
    world.assert_alone(old);
}

// C6, C2: an operator stops the incumbent while it is handed over.
#[test]
fn an_incumbent_stopped_in_a_handoff_leaves_nobody_serving() {
    for (phase, incumbent, successor) in [
        (Phase::Draining, ["--drain-delay-ms", "300"], &[][..]),
        (Phase::Sealing, ["--seal-delay-ms", "300"], &[]),
        (
            Phase::Opening,
            ["--drain-delay-ms", "0"],
            &["--open-delay-ms", "300"],
        ),
    ] {
        let world = World::new();
        let old = world.start(&world.kvd(&incumbent));
        client::set(world.address(), "kept", "1").unwrap();
        let mut supervisor = on_phase(world.supervisor(), phase, move || {
            later(ms(100), move || {
                old.kill(Signal::TERM).unwrap();
            });
        });
        let report = world.handoff(&mut supervisor, &quick(world.kvd(successor)));
        world.assert_serves(committed(&report));
        assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
        assert!(old.wait_dead(PATIENCE));
        world.assert_next_handoff_works();
    }
}

// Promise 5: the incumbent is exactly as before, however often.
#[test]
fn handoffs_that_fail_wear_the_incumbent_out() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let mut supervisor = world.supervisor();
    let count = |what: &str| {
        let path = format!("/proc/{}/{what}", old.pid);
        fs::read_dir(path).unwrap().count()
    };
    let mut fail = |spec: SpawnSpec| {
        rolled_back(&world.handoff(&mut supervisor, &quick(spec)));
        world.assert_serves(old.pid);
        ask::status(world.control()).unwrap();
        ask::listeners(world.control()).unwrap();
    };
    fail(world.kvd(&["--fail", "open"]));
    let before = (count("fd"), count("task"));
    for _ in 0..10 {
        fail(world.kvd(&["--fail", "open"]));
    }
    let same = || count("fd") <= before.0 && count("task") <= before.1;
    assert!(
        wait_until(PATIENCE, same),
        "{before:?} became {:?}",
        (count("fd"), count("task"))
    );
}
