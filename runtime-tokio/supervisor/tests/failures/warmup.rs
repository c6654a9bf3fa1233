//! Warm-up is no part of the pause, and a successor that does not become warm costs nothing.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use handoff_std::core::supervisor::Phase;
use handoff_std::{HandoffSpec, Process, SpawnSpec, Supervisor, SupervisorEvent};

use crate::common::writer::Writer;
use crate::common::{
    PATIENCE, World, committed, kill, ms, named, on_phase, quick, rolled_back, stand_in,
};

fn daemon(world: &World, flags: &str) -> SpawnSpec {
    world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)])
}

// Section 8: two seconds of it. Writes go on until Standby; the pause comes after that, and is short.
#[test]
fn the_warm_up_is_part_of_the_pause() {
    let world = World::new();
    world.start(&world.kvd(&[]));
    let (tell, told) = mpsc::channel();
    let mut supervisor = world.supervisor().with_observer(move |event| {
        if let SupervisorEvent::Phase(phase) = event {
            tell.send((*phase, Instant::now())).unwrap();
        }
    });
    let writer = Writer::start(world.address());
    let warm_up = ms(2000);
    let report = world.handoff(&mut supervisor, &quick(world.kvd(&["--warmup-ms", "2000"])));
    world.assert_serves(committed(&report));
    let written = writer.stop(true);

    let phases: Vec<_> = told.try_iter().collect();
    let at = |wanted| {
        let found = phases.iter().find(|(phase, _)| *phase == wanted);
        found.unwrap_or_else(|| panic!("{phases:?}")).1
    };
    // Warming begins with Hello, and Journaling with Standby; nothing is asked of the incumbent before.
    let (hello, standby) = (at(Phase::Warming), at(Phase::Journaling));
    assert!(standby - hello + ms(200) >= warm_up);
    assert!(at(Phase::Draining) >= standby);
    let meanwhile = written.between(hello, standby);
    assert!(meanwhile > 10, "{meanwhile} writes while it warmed up");
    let gap = written.longest_gap();
    assert!(gap < warm_up * 3 / 4, "nobody wrote for {gap:?}");
}

// The same without a clock: it does not become warm before the writes are acknowledged.
#[test]
fn nobody_serves_until_the_successor_is_warm() {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let mut supervisor = world.supervisor();
    let successor = daemon(&world, "hold-warm-up");
    thread::scope(|scope| {
        let handoff = scope.spawn(|| world.handoff(&mut supervisor, &quick(successor)));
        world.wait_event("warm-up waits");
        for _ in 0..3 {
            world.assert_serves(old.pid);
        }
        assert_eq!(world.told("drain hook"), 0);
        world.go("warm-up");
        committed(&handoff.join().unwrap());
    });
    assert_eq!(world.told("drain hook"), 1);
    world.assert_next_handoff_works();
}

/// The handoff fails with these words, no hook of the incumbent is called, and no write fails.
fn costs_nothing(successor: impl Fn(&World) -> HandoffSpec, words: &str) {
    costs_nothing_when(as_it_is, successor, words);
}

/// The same with a supervisor that does something at some time.
fn costs_nothing_when(
    supervisor: impl Fn(&World, Process) -> Supervisor,
    successor: impl Fn(&World) -> HandoffSpec,
    words: &str,
) {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let writer = Writer::start(world.address());
    let report = world.handoff(&mut supervisor(&world, old), &successor(&world));
    let why = report.abort_reason().unwrap();
    rolled_back(&report);
    assert!(why.contains(words), "{why}");
    let written = writer.stop(false);
    assert_eq!(written.failed, [""; 0]);
    world.assert_serves(old.pid);
    assert_eq!(world.told("hook"), 0, "{:?}", world.events());
    world.assert_alone(old);
    world.assert_next_handoff_works();
}

fn as_it_is(world: &World, _: Process) -> Supervisor {
    world.supervisor()
}

#[test]
fn a_warm_up_that_fails_drains_the_incumbent() {
    let successor = |world: &World| quick(daemon(world, "fail-warm-up"));
    costs_nothing(successor, "as the flag asked for");
}

#[test]
fn a_warm_up_that_panics_drains_the_incumbent() {
    let successor = |world: &World| quick(daemon(world, "panic-warm-up"));
    costs_nothing(successor, "left before it was warm");
}

#[test]
fn a_warm_up_that_dies_drains_the_incumbent() {
    let successor = |world: &World| quick(world.kvd(&["--die-in-warm-up"]));
    costs_nothing(successor, "signal: 6");
}

#[test]
fn a_successor_killed_in_its_warm_up_drains_the_incumbent() {
    let supervisor = |world: &World, old| {
        let dir = world.dir().to_owned();
        on_phase(world.supervisor(), Phase::Warming, move || {
            let others = named(&dir).into_iter().filter(|found| *found != old);
            others.for_each(kill);
        })
    };
    let successor = |world: &World| quick(daemon(world, "hold-warm-up"));
    costs_nothing_when(supervisor, successor, "successor was lost");
}

#[test]
fn a_warm_up_that_hangs_drains_the_incumbent() {
    let successor = |world: &World| HandoffSpec {
        warmup_deadline: ms(300),
        ..quick(daemon(world, "hold-warm-up"))
    };
    costs_nothing(successor, "late");
}

// C3: the supervisor dies while it warms up. The incumbent lives and has noticed nothing.
#[test]
fn a_supervisor_killed_in_the_warm_up_drains_the_incumbent() {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let apart = world.stand_in(
        stand_in::SUPERVISOR,
        &[
            (stand_in::SUCCESSOR_ROLE, stand_in::DAEMON),
            (stand_in::SUCCESSOR_FLAGS, "hold-warm-up"),
        ],
    );
    let supervisor = world.launch(&apart);
    world.wait_event("warm-up waits");
    let writer = Writer::start(world.address());
    kill(supervisor);
    assert!(supervisor.wait_dead(PATIENCE));
    world.go("warm-up");
    world.assert_alone(old);
    let written = writer.stop(false);
    assert_eq!(written.failed, [""; 0]);
    assert_eq!(world.told("hook"), 0, "{:?}", world.events());
    world.assert_next_handoff_works();
}

// C3: the incumbent dies while it warms up, and it need not be warm before it is told to begin.
#[test]
fn an_incumbent_killed_in_the_warm_up_leaves_nobody_serving() {
    let world = World::new();
    let old = world.start(&world.kvd(&[]));
    let mut supervisor = on_phase(world.supervisor(), Phase::Warming, move || kill(old));
    let spec = quick(world.kvd(&["--warmup-ms", "200"]));
    let report = world.handoff(&mut supervisor, &spec);
    world.assert_serves(committed(&report));
    assert!(old.wait_dead(Duration::from_secs(1)));
    world.assert_next_handoff_works();
}
