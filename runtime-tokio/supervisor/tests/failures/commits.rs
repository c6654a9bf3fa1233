//! Right after a commit: the next handoff, and the committed hook.

use handoff_std::core::supervisor::Phase;
use handoff_std::{Process, SpawnSpec};

use crate::common::{PATIENCE, World, client, committed, later, ms, on_phase, quick, stand_in};

fn daemon(world: &World, flags: &str) -> SpawnSpec {
    world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)])
}

// Section 6: asked for at once after a commit, whether N has renamed yet or O has left.
#[test]
fn a_handoff_right_after_a_commit_is_refused() {
    let world = World::new();
    world.start(&world.kvd(&[]));
    client::set(world.address(), "kept", "1").unwrap();
    let mut supervisor = world.supervisor();
    let mut last = 0;
    for _ in 0..20 {
        let report = world.handoff(&mut supervisor, &quick(world.kvd(&[])));
        last = committed(&report);
    }
    world.assert_serves(last);
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
    world.assert_alone(Process::of(last).unwrap());
}

// Section 8: it waits for the committed hook.
#[test]
fn a_handoff_is_refused_while_the_committed_hook_runs() {
    let world = World::new();
    world.start(&daemon(&world, ""));
    let mut supervisor = world.supervisor();
    let mut last = 0;
    for _ in 0..4 {
        let spec = quick(daemon(&world, "slow-committed"));
        last = committed(&world.handoff(&mut supervisor, &spec));
    }
    world.assert_serves(last);
    // Each was waited for, but perhaps the last one, which nobody has replaced.
    assert!(world.told("committed hook") >= 3);
    world.assert_alone(Process::of(last).unwrap());
}

// The same without a clock: the hook ends after the handoff was asked for, and drain comes after it.
#[test]
fn a_drain_begins_while_the_committed_hook_runs() {
    let world = World::new();
    let old = world.start(&daemon(&world, ""));
    let mut supervisor = world.supervisor();
    let spec = quick(daemon(&world, "hold-committed"));
    let new = committed(&world.handoff(&mut supervisor, &spec));
    assert!(old.wait_dead(PATIENCE));
    world.wait_event("committed waits");
    let go = world.path("go-committed");
    let mut supervisor = on_phase(supervisor, Phase::Draining, move || {
        let go = go.clone();
        later(ms(100), move || std::fs::write(go, "").unwrap());
    });
    let report = world.handoff(&mut supervisor, &quick(daemon(&world, "")));
    world.assert_serves(committed(&report));
    let events = world.events();
    let at = |what: &str| {
        let told = format!("pid {new}: {what}");
        events.iter().position(|event| event.contains(&told))
    };
    assert!(at("committed hook").unwrap() < at("drain hook").unwrap());
}

// A handoff that is given up while it waits for the hook costs nothing, and the next one works.
#[test]
fn a_committed_hook_that_takes_too_long_closes_the_daemon() {
    let world = World::new();
    world.start(&daemon(&world, ""));
    let mut supervisor = world.supervisor();
    let spec = quick(daemon(&world, "hold-committed"));
    let new = committed(&world.handoff(&mut supervisor, &spec));
    world.wait_event("committed waits");
    let mut hurried = quick(daemon(&world, ""));
    hurried.drain_grace = ms(100);
    let report = world.handoff(&mut supervisor, &hurried);
    assert!(!report.committed(), "{}", report.outcome);
    world.assert_serves(new);
    assert_eq!(world.told(&format!("pid {new}: drain hook")), 0);
    world.go("committed");
    world.assert_next_handoff_works();
}

// It is logged, and changes nothing.
#[test]
fn a_committed_hook_that_panics_closes_the_daemon() {
    let world = World::new();
    world.start(&daemon(&world, ""));
    let spec = quick(daemon(&world, "panic-committed"));
    let new = committed(&world.handoff(&mut world.supervisor(), &spec));
    world.wait_event(&format!("pid {new}: committed hook"));
    world.assert_serves(new);
    world.assert_next_handoff_works();
    assert_eq!(world.told(&format!("pid {new}: committed hook")), 1);
    assert_eq!(world.told(&format!("pid {new}: drain hook")), 1);
}
