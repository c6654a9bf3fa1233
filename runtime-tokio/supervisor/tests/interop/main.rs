//! The published crate of version 1 as incumbent, successor and supervisor, each beside ours, each as
//! a process of its own.

#[path = "../common/mod.rs"]
mod common;

use common::{PATIENCE, World, committed, quick, rolled_back};
use common::{client, published, stand_in};
use handoff_std::{Process, SpawnSpec};

/// Who writes the code of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Us,
    Them,
}
use By::{Them, Us};

/// A sound daemon, or one with this flag.
fn daemon(world: &World, by: By, flag: &str) -> SpawnSpec {
    match (by, flag) {
        (Them, flag) => world.stand_in(published::DAEMON, &[(stand_in::FLAGS, flag)]),
        (Us, "fail-open") => world.kvd(&["--fail", "open"]),
        (Us, "fail-drain") => world.kvd(&["--fail", "drain"]),
        (Us, _) => world.kvd(&[]),
    }
}

/// One handoff, as the supervisor tells it: `Ok` with the new incumbent, or why it was rolled back.
fn hand_over(
    world: &World,
    supervisor: By,
    successor: By,
    flag: &str,
    old: Process,
) -> Result<u32, String> {
    if supervisor == Us {
        let spec = quick(daemon(world, successor, flag));
        let report = world.handoff(&mut world.supervisor(), &spec);
        if report.committed() {
            return Ok(committed(&report));
        }
        return Err(rolled_back(&report));
    }
    let kvd = daemon(world, Us, flag);
    let lines: Vec<_> = kvd.args.iter().map(|a| a.to_str().unwrap()).collect();
    let lines = lines.join("\n");
    let mut more = vec![(stand_in::SUCCESSOR, &*lines)];
    if successor == Them {
        more.push((stand_in::SUCCESSOR_ROLE, published::DAEMON));
        more.push((stand_in::SUCCESSOR_FLAGS, flag));
    }
    let supervisor = world.launch(&world.stand_in(published::SUPERVISOR, &more));
    world.wait_event("Outcome(");
    assert_eq!(world.exit_code(supervisor), Some(0));
    let events = std::fs::read_to_string(world.path("events")).unwrap();
    std::fs::remove_file(world.path("events")).unwrap();
    if !events.contains("Outcome(committed)") {
        return Err(events);
    }
    let holds = || world.holder().filter(|pid| *pid != old.pid);
    assert!(common::wait_until(PATIENCE, || holds().is_some()));
    Ok(holds().unwrap())
}

/// First the successor fails to open and the incumbent comes back, then another one takes over, and
/// then one of ours.
fn fails_and_works(incumbent: By, supervisor: By, successor: By) {
    let world = World::new();
    let old = world.start(&daemon(&world, incumbent, ""));
    let why = hand_over(&world, supervisor, successor, "fail-open", old).unwrap_err();
    assert!(old.is_alive(), "{why}");
    world.assert_serves(old.pid);

    let new = hand_over(&world, supervisor, successor, "", old).unwrap();
    world.assert_serves(new);
    assert!(old.wait_dead(PATIENCE), "the old incumbent leaves");
    world.assert_next_handoff_works();
}

#[test]
fn their_incumbent_our_supervisor_our_successor() {
    fails_and_works(Them, Us, Us);
}

#[test]
fn our_incumbent_their_supervisor_our_successor() {
    fails_and_works(Us, Them, Us);
}

#[test]
fn our_incumbent_our_supervisor_their_successor() {
    fails_and_works(Us, Us, Them);
}

#[test]
fn our_incumbent_their_supervisor_their_successor() {
    fails_and_works(Us, Them, Them);
}

#[test]
fn their_incumbent_our_supervisor_their_successor() {
    fails_and_works(Them, Us, Them);
}

#[test]
fn their_incumbent_their_supervisor_our_successor() {
    fails_and_works(Them, Them, Us);
}

// What we say when drain has failed is a failed handoff to them, and the daemon serves on.
#[test]
fn our_failed_drain_is_told_to_their_supervisor() {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, "fail-drain"));
    client::set(world.address(), "kept", "1").unwrap();
    let why = hand_over(&world, Them, Us, "", old).unwrap_err();
    // It has no case for it, but that ends the handoff, and its successor, all the same.
    assert!(
        why.contains("unexpected message for current state: Abort"),
        "{why}"
    );
    world.assert_serves(old.pid);
    assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
}

// A published incumbent never resumes after a failed drain; our supervisor says what it can know.
#[test]
fn their_failed_drain_is_seen_by_our_supervisor() {
    let world = World::new();
    let old = world.start(&daemon(&world, Them, "fail-drain"));
    let report = world.handoff(&mut world.supervisor(), &quick(daemon(&world, Us, "")));
    assert!(!report.committed(), "{}", report.outcome);
    assert!(old.is_alive());
}
