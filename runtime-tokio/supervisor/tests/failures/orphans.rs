//! The supervisor dies or freezes while the successor is on probation.

use handoff_std::Process;

use crate::common::daemon::SHORT_ORPHANAGE;
use crate::common::{PATIENCE, World, freeze, kill, stand_in, thaw};

/// A daemon without data, and its supervisor, which has handed over to another one that serves on
/// probation. Both daemons have short times.
struct Scene {
    world: World,
    old: Process,
    new: Process,
    supervisor: Process,
}

impl Scene {
    fn new(probation: &str) -> Self {
        let world = World::new();
        let flags = "short-times";
        let old = world.start(&world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, flags)]));
        let supervisor = world.launch(&world.stand_in(
            stand_in::SUPERVISOR,
            &[
                (stand_in::SUCCESSOR_ROLE, stand_in::DAEMON),
                (stand_in::SUCCESSOR_FLAGS, flags),
                (stand_in::PROBATION, probation),
            ],
        ));
        world.wait_event("Phase(Probation)");
        let new = world.new_holder(old);
        world.assert_serves(new.pid);
        Self {
            world,
            old,
            new,
            supervisor,
        }
    }

    /// The committed hook of the successor has run; how many milliseconds after it began to serve.
    fn committed_after(&self) -> u128 {
        let hook = format!("pid {}: committed hook after ", self.new.pid);
        self.world.wait_event(&hook);
        let events = self.world.events();
        let after = events.iter().find_map(|told| told.strip_prefix(&hook));
        after.unwrap().strip_suffix(" ms").unwrap().parse().unwrap()
    }

    /// The successor serves, alone, and can be handed over.
    fn ends_well(&self) {
        let Self { world, .. } = self;
        world.assert_serves(self.new.pid);
        world.assert_alone(self.new);
        world.assert_next_handoff_works();
        let committed = format!("pid {}: committed hook", self.new.pid);
        assert_eq!(world.told(&committed), 1);
        let resumed = format!("pid {}: resume hook", self.old.pid);
        assert_eq!(world.told(&resumed), 0, "it never came back");
    }
}

// C2: the lock is held and the control path is another's, so the incumbent leaves. The successor
// cannot know, so it waits for as long as that may take.
#[test]
fn a_supervisor_killed_in_a_probation_leaves_two_or_nobody() {
    let scene = Scene::new("600000");
    kill(scene.supervisor);
    assert!(scene.old.wait_dead(PATIENCE));
    let after = scene.committed_after();
    assert!(after >= SHORT_ORPHANAGE.as_millis(), "{after} ms");
    scene.ends_well();
}

// C11: the incumbent hears nothing for too long and tries for the lock, but it does not leave: the
// supervisor could still find that the successor has failed, and kill it.
#[test]
fn a_supervisor_frozen_in_a_probation_leaves_two_or_nobody() {
    let scene = Scene::new("300");
    let (world, old) = (&scene.world, scene.old);
    freeze(scene.supervisor);
    world.wait_event(&format!("pid {}: Phase(Reclaiming)", old.pid));
    world.assert_serves(scene.new.pid);
    assert!(old.is_alive());
    thaw(scene.supervisor);
    world.wait_event("Outcome(committed");
    assert_eq!(world.exit_code(scene.supervisor), Some(0));
    assert!(old.wait_dead(PATIENCE));
    scene.committed_after();
    scene.ends_well();
}

// The same, and the supervisor is killed before it is thawed.
#[test]
fn a_frozen_supervisor_that_is_killed_leaves_two_or_nobody() {
    let scene = Scene::new("600000");
    freeze(scene.supervisor);
    let reclaiming = format!("pid {}: Phase(Reclaiming)", scene.old.pid);
    scene.world.wait_event(&reclaiming);
    kill(scene.supervisor);
    assert!(scene.old.wait_dead(PATIENCE));
    scene.committed_after();
    scene.ends_well();
}

// C8: the successor dies as well, while the supervisor is frozen. The incumbent comes back by itself,
// and the supervisor finds it serving.
#[test]
fn a_frozen_supervisor_and_a_dead_successor_leave_nobody_serving() {
    let scene = Scene::new("600000");
    freeze(scene.supervisor);
    kill(scene.new);
    scene.world.assert_serves(scene.old.pid);
    thaw(scene.supervisor);
    scene.world.wait_event("Outcome(rolled back");
    scene.world.assert_serves(scene.old.pid);
    scene.world.assert_alone(scene.old);
    scene.world.assert_next_handoff_works();
}
