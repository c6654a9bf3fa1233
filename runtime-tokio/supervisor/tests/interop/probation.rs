//! A successor of version 1 on probation, with an incumbent and a supervisor of ours.

use std::sync::mpsc;
use std::thread;

use handoff_std::SupervisorEvent;
use handoff_std::core::supervisor::Phase;
use handoff_std::core::{Reason, SupervisorOutcome};

use super::common::{PATIENCE, World, committed, kill, on_probation, rolled_back};
use super::{By, Old, Them, Us, daemon};

// C8: it has left its session after Ready, so its process is watched.
fn killed_on_probation(successor: By) {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, ""));
    let (tell, told) = mpsc::channel();
    let mut supervisor = world.supervisor().with_observer(move |event| {
        if *event == SupervisorEvent::Phase(Phase::Probation) {
            tell.send(()).unwrap();
        }
    });
    thread::scope(|scope| {
        let world = &world;
        scope.spawn(move || {
            told.recv().unwrap();
            kill(world.new_holder(old));
        });
        let spec = on_probation(daemon(world, successor, ""));
        let report = world.handoff(&mut supervisor, &spec);
        let why = rolled_back(&report);
        assert!(why.contains("is dead"), "{why}");
    });
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

#[test]
fn their_successor_is_killed_on_probation() {
    killed_on_probation(Them);
}

#[test]
fn an_old_successor_is_killed_on_probation() {
    killed_on_probation(Old);
}

// C2, C6: theirs leaves its session after Ready, which is no death. So it is there when the incumbent dies,
// and stays. (An old one of ours stays in its session, to know when that ends.)
#[test]
fn their_successor_leaves_its_session_on_probation() {
    let world = World::new();
    let old = world.start(&daemon(&world, Us, ""));
    let mut on_probation_now = false;
    let mut supervisor = world.supervisor().with_observer(move |event| match event {
        SupervisorEvent::Phase(phase) => on_probation_now = *phase == Phase::Probation,
        SupervisorEvent::Lost(_) if on_probation_now => kill(old),
        _ => {}
    });
    let spec = on_probation(daemon(&world, Them, ""));
    let report = world.handoff(&mut supervisor, &spec);
    let SupervisorOutcome::Committed { shortfall, .. } = report.outcome else {
        panic!("{}", report.outcome);
    };
    assert!(shortfall.standby && !shortfall.probation);
    assert!(report.took < spec.probation, "{:?}", report.took);
    let new = committed(&report);
    assert!(old.wait_dead(PATIENCE));
    world.assert_serves(new);
    world.assert_next_handoff_works();
}

// A health check has nothing to do where there is no probation, and the handoff is committed at once.
fn no_probation(incumbent: By) {
    let world = World::new();
    let old = world.start(&daemon(&world, incumbent, ""));
    let (tell, told) = mpsc::channel();
    let mut supervisor = world.supervisor().with_observer(move |event| {
        if let SupervisorEvent::Trouble(cause) = event {
            tell.send(cause.reason).unwrap();
        }
    });
    let mut spec = on_probation(daemon(&world, Us, ""));
    spec.health = Some(handoff_std::HealthCheck::command("false", [""; 0]));
    let report = world.handoff(&mut supervisor, &spec);
    let text = report.outcome.to_string();
    assert!(text.contains("without probation"), "{text}");
    world.assert_serves(committed(&report));
    assert!(old.wait_dead(PATIENCE));
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Reason::NoProbation]);
}

#[test]
fn there_is_no_probation_with_their_incumbent() {
    no_probation(Them);
}

#[test]
fn there_is_no_probation_with_an_old_incumbent() {
    no_probation(Old);
}
