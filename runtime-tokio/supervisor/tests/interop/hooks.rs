//! What hooks of ours and theirs come to when the other side speaks version 1.

use std::time::Duration;

use super::common::daemon::SHORT_ORPHANAGE;
use super::common::{PATIENCE, World, client, committed, quick, stand_in};
use super::{By, Old, Them, Us, daemon, stand_in_supervisor, their_supervisor, times};

// What we say when drain has failed is a failed handoff to them, and the daemon serves on.
#[test]
fn our_failed_drain_is_told_to_their_supervisor() {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, "fail-drain"));
    client::set(world.address(), "kept", "1").unwrap();
    world.launch(&their_supervisor(&world, Us, ""));
    // It has no case for it, but that ends the handoff, and its successor, all the same.
    world.wait_event("unexpected message for current state: Abort");
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

/// A daemon of ours has Begin, and the lock, before it is warm; it opens its data when it is.
fn begin_comes_while_it_warms_up(supervisor: By) {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, ""));
    let flags = "hold-warm-up";
    if supervisor == Them {
        world.launch(&stand_in_supervisor(&world, stand_in::DAEMON, flags));
        let new = world.new_holder(old);
        assert_eq!(world.told("warm-up waits"), 1);
        world.go("warm-up");
        world.wait_event("Outcome(committed)");
        world.assert_serves(new.pid);
    } else {
        let successor = world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)]);
        let mut supervisor = world.supervisor().with_times(times(supervisor));
        std::thread::scope(|scope| {
            let new = scope.spawn(|| {
                let new = world.new_holder(old);
                world.go("warm-up");
                new
            });
            let report = world.handoff(&mut supervisor, &quick(successor));
            assert_eq!(committed(&report), new.join().unwrap().pid);
        });
    }
    assert!(old.wait_dead(PATIENCE));
    world.assert_next_handoff_works();
}

#[test]
fn their_supervisor_says_begin_while_our_successor_warms_up() {
    begin_comes_while_it_warms_up(Them);
}

#[test]
fn an_old_supervisor_says_begin_while_our_successor_warms_up() {
    begin_comes_while_it_warms_up(Old);
}

/// Nobody says Commit, so the committed hook runs when the incumbent has had time to leave.
fn committed_hook_waits(supervisor: By, flags: &str) {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, ""));
    let role = stand_in::DAEMON;
    if supervisor == Them {
        world.launch(&stand_in_supervisor(&world, role, flags));
        world.wait_event("Outcome(committed)");
    } else {
        let successor = world.stand_in(role, &[(stand_in::FLAGS, flags)]);
        let mut supervisor = world.supervisor().with_times(times(supervisor));
        committed(&world.handoff(&mut supervisor, &quick(successor)));
    }
    let new = world.new_holder(old);
    let hook = format!("pid {}: committed hook after ", new.pid);
    world.wait_event(&hook);
    let events = world.events();
    let after = events.iter().find_map(|told| told.strip_prefix(&hook));
    let after: u64 = after.unwrap().strip_suffix(" ms").unwrap().parse().unwrap();
    let after = Duration::from_millis(after);
    assert!(after >= SHORT_ORPHANAGE, "{after:?}");
    world.assert_serves(new.pid);
    world.assert_next_handoff_works();
}

#[test]
fn our_successor_hears_nothing_from_their_supervisor() {
    committed_hook_waits(Them, "short-times");
}

#[test]
fn our_successor_hears_nothing_from_an_old_supervisor() {
    committed_hook_waits(Old, "short-times");
}

#[test]
fn an_old_successor_hears_nothing() {
    committed_hook_waits(Us, "short-times,v1");
}
