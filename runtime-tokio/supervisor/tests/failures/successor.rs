//! The successor fails, lies, or cannot take its place.

use std::fs;

use handoff_std::core::supervisor::Phase;
use handoff_std::{Report, SupervisorEvent};
use rustix::fs::{OFlags, fcntl_getfl};

use crate::common::{
    PATIENCE, World, client, committed, kill, later, ms, named, on_phase, quick, rolled_back,
    stand_in,
};

/// Whether the incumbent was asked to drain.
fn drained(report: &Report) -> bool {
    report
        .timeline
        .iter()
        .any(|(phase, _)| *phase == Phase::Draining)
}

// Section 3: a bind that fails is found before Ready; here even before Hello.
#[test]
fn a_control_path_that_cannot_be_bound_drains_the_incumbent() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let (from, to) = (world.path("p"), world.path("away"));
    let (gone, back) = (to.clone(), from.clone());
    let mut supervisor = on_phase(world.supervisor(), Phase::Spawning, move || {
        fs::rename(&from, &to).unwrap();
    });
    let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
    rolled_back(&report);
    assert!(!drained(&report));
    client::set(world.address(), "k", "v").unwrap();
    fs::rename(gone, back).unwrap();
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// C5: N holds the lock and cannot rename. It serves, and the path is bound once that is possible.
#[test]
fn a_control_path_lost_after_begin_leaves_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let (from, to) = (world.path("p"), world.path("away"));
    let (gone, back) = (to.clone(), from.clone());
    let mut supervisor = on_phase(world.supervisor(), Phase::Opening, move || {
        fs::rename(&from, &to).unwrap();
    });
    let report = world.handoff(
        &mut supervisor,
        &quick(world.kvd(&["--open-delay-ms", "100"])),
    );
    let new = committed(&report);
    assert!(old.wait_dead(PATIENCE));
    client::set(world.address(), "k", "v").unwrap();
    fs::rename(gone, back).unwrap();
    world.assert_serves(new);
    world.assert_next_handoff_works();
}

// C8: it says itself that it is not fit.
#[test]
fn an_unhealthy_successor_is_committed() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let unhealthy = world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, "unhealthy")]);
    let report = world.handoff(&mut world.supervisor(), &quick(unhealthy));
    let why = rolled_back(&report);
    assert!(why.contains("not healthy"), "{why}");
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// C8: it cannot open the data, says so, and the incumbent serves what it had.
#[test]
fn a_successor_that_cannot_open_the_data_loses_a_write() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    client::set(world.address(), "kept", "1").unwrap();
    let report = world.handoff(
        &mut world.supervisor(),
        &quick(world.kvd(&["--fail", "open"])),
    );
    let why = rolled_back(&report);
    assert!(why.contains("as --fail asked for"), "{why}");
    world.assert_serves(old.pid);
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
    world.assert_next_handoff_works();
}

// C7, C8: killed while it warms up, and while it opens the data.
#[test]
fn a_successor_killed_before_ready_leaves_nobody_serving() {
    for (phase, delay) in [
        (Phase::Warming, "--warmup-ms"),
        (Phase::Opening, "--open-delay-ms"),
    ] {
        let world = World::new();
        let old = world.start(&world.kvd(&[]));
        let dir = world.path("");
        let mut supervisor = on_phase(world.supervisor(), phase, move || {
            let dir = dir.clone();
            later(ms(100), move || {
                for process in named(&dir).into_iter().filter(|p| *p != old) {
                    kill(process);
                }
            });
        });
        let report = world.handoff(&mut supervisor, &quick(world.kvd(&[delay, "600000"])));
        let why = rolled_back(&report);
        assert!(why.contains("successor was lost"), "{why}");
        world.assert_serves(old.pid);
        world.assert_next_handoff_works();
    }
}

// C8: it opens the data for longer than anybody has time.
#[test]
fn a_successor_that_hangs_in_open_keeps_the_service_closed() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let mut spec = quick(world.kvd(&["--open-delay-ms", "600000"]));
    spec.deadline = ms(300);
    let report = world.handoff(&mut world.supervisor(), &spec);
    let why = rolled_back(&report);
    assert!(why.contains("late"), "{why}");
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

// Section 3: the status flags are shared, and are the incumbent's until Begin.
#[test]
fn a_standing_successor_makes_the_incumbents_listener_blocking() {
    let world = World::new();
    world.start(&world.kvd(&["--drain-delay-ms", "100"]));
    let listener = world.listener().try_clone().unwrap();
    let (seen, phases) = std::sync::mpsc::channel();
    let mut supervisor = world.supervisor().with_observer(move |event| {
        if let SupervisorEvent::Phase(phase) = event {
            let flags = fcntl_getfl(&listener).unwrap();
            seen.send((*phase, flags.contains(OFlags::NONBLOCK)))
                .unwrap();
        }
    });
    let report = world.handoff(&mut supervisor, &quick(world.kvd(&["--warmup-ms", "50"])));
    committed(&report);
    let phases: Vec<_> = phases.try_iter().collect();
    // Sealing begins when the successor has stood for as long as the drain took.
    assert!(phases.contains(&(Phase::Sealing, true)), "{phases:?}");
    let blocking: Vec<_> = phases.iter().filter(|(_, nonblock)| !nonblock).collect();
    assert!(blocking.is_empty(), "{phases:?}");
}
