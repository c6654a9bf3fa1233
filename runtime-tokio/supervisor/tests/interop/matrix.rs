//! Every mix: failures are rolled back, a handoff works, and what a version lacks falls away alone.

use std::sync::{Arc, Mutex};
use std::thread;

use handoff_std::core::supervisor::Phase;
use handoff_std::core::supervisor::Shortfall;
use handoff_std::core::{Reason, SupervisorOutcome};
use handoff_std::{HandoffSpec, Process, Report, SupervisorEvent};

use super::common::{PATIENCE, World, client, committed, kill, ms, quick, rolled_back, wait_until};
use super::{By, Old, Them, Us, daemon, their_supervisor, times};

/// Who is who in one handoff.
#[derive(Clone, Copy, Debug)]
struct Mix {
    incumbent: By,
    supervisor: By,
    successor: By,
}

impl Mix {
    /// The versions spoken with the incumbent and with the successor.
    fn versions(self) -> (u16, u16) {
        let with = |peer: By| self.supervisor.version().min(peer.version());
        (with(self.incumbent), with(self.successor))
    }

    /// One handoff: `Ok` with the new incumbent, or why it was rolled back.
    fn hand_over(self, world: &World, fault: &str, old: Process) -> Result<u32, String> {
        if self.supervisor == Them {
            return self.let_them_hand_over(world, fault, old);
        }
        let troubles = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&troubles);
        let mut supervisor = world
            .supervisor()
            .with_times(times(self.supervisor))
            .with_observer(move |event| {
                if let SupervisorEvent::Trouble(cause) = event {
                    seen.lock().unwrap().push(cause.reason);
                }
            });
        let spec = HandoffSpec {
            probation: ms(100),
            ..quick(daemon(world, self.successor, fault))
        };
        let report = world.handoff(&mut supervisor, &spec);
        if !report.committed() {
            return Err(rolled_back(&report));
        }
        self.assert_falls_away_alone(&report, &troubles.lock().unwrap());
        Ok(committed(&report))
    }

    /// What had to be done without is what the versions make necessary, and all is told.
    fn assert_falls_away_alone(self, report: &Report, troubles: &[Reason]) {
        let (incumbent, successor) = self.versions();
        assert_eq!(
            (report.incumbent_version, report.successor_version),
            (Some(incumbent), Some(successor))
        );
        let expected = Shortfall {
            standby: successor == 1,
            probation: incumbent == 1,
        };
        let SupervisorOutcome::Committed { shortfall, .. } = report.outcome else {
            panic!("{}", report.outcome);
        };
        assert_eq!(shortfall, expected);
        assert_eq!(troubles.contains(&Reason::NoStandby), expected.standby);
        assert_eq!(troubles.contains(&Reason::NoProbation), expected.probation);
        let entered = |wanted| report.timeline.iter().any(|(phase, _)| *phase == wanted);
        assert_eq!(entered(Phase::Warming), successor == 2);
        assert_eq!(entered(Phase::Probation), incumbent == 2);
    }

    fn let_them_hand_over(self, world: &World, fault: &str, old: Process) -> Result<u32, String> {
        let supervisor = world.launch(&their_supervisor(world, self.successor, fault));
        world.wait_event("Outcome(");
        assert_eq!(world.exit_code(supervisor), Some(0));
        let events = world.events().join("\n");
        std::fs::remove_file(world.path("events")).unwrap();
        if !events.contains("Outcome(committed)") {
            return Err(events);
        }
        Ok(world.new_holder(old).pid)
    }

    /// First the successor fails to open, then it is killed at that, and the incumbent comes back; then
    /// another one takes over, and then one of ours.
    fn fails_and_works(self) {
        let world = World::new();
        let old = world.start(&daemon(&world, self.incumbent, ""));
        client::set(world.address(), "kept", "1").unwrap();
        let why = self.hand_over(&world, "fail-open", old).unwrap_err();
        assert!(old.is_alive(), "{why}");
        world.assert_serves(old.pid);

        thread::scope(|scope| {
            scope.spawn(|| kill(world.new_holder(old)));
            let why = self.hand_over(&world, "hold-open", old).unwrap_err();
            assert!(old.is_alive(), "{why}");
        });
        world.assert_serves(old.pid);

        let new = self.hand_over(&world, "", old).unwrap();
        world.assert_serves(new);
        assert!(old.wait_dead(PATIENCE), "the old incumbent leaves");
        if self.successor == Us && self.versions().1 == 2 {
            let told = || client::is_committed(world.address());
            assert!(wait_until(PATIENCE, told), "the new one is told of it");
        }
        if self.successor == Us && self.incumbent == Us {
            assert_eq!(client::get(world.address(), "kept").as_deref(), Ok("1"));
        }
        world.assert_next_handoff_works();
    }
}

macro_rules! mixes {
    ($($name:ident: $incumbent:ident, $supervisor:ident, $successor:ident;)*) => { $(
        #[test]
        fn $name() {
            Mix { incumbent: $incumbent, supervisor: $supervisor, successor: $successor }
                .fails_and_works();
        }
    )* }
}

// Incumbent, supervisor, successor.
mixes! {
    all_ours: Us, Us, Us;
    their_incumbent: Them, Us, Us;
    their_supervisor_alone: Us, Them, Us;
    their_successor: Us, Us, Them;
    our_incumbent: Us, Them, Them;
    our_supervisor: Them, Us, Them;
    our_successor: Them, Them, Us;
    old_incumbent: Old, Us, Us;
    old_supervisor: Us, Old, Us;
    old_successor: Us, Us, Old;
    new_incumbent: Us, Old, Old;
    new_supervisor: Old, Us, Old;
    new_successor: Old, Old, Us;
    all_old: Old, Old, Old;
    old_successor_of_their_supervisor: Us, Them, Old;
}
