//! A whole handoff, with three machines.

use std::time::Duration;

use handoff_core::op::Verdict;
use handoff_core::record::decode_input;
use handoff_core::supervisor::{Question, Shortfall};
use handoff_core::wire::VersionRange;
use handoff_core::{
    Incumbent, IncumbentOutcome, Inline, Machine, Role, Step, Successor, SuccessorOutcome,
    Supervisor, SupervisorOutcome,
};

use crate::world::{
    HANDED_OVER, ID, KEPT, NEW, OLD, Setup, Trace, World, incumbent_config, successor_config,
    supervisor_config,
};

fn assert_handed_over(world: &World) {
    assert_eq!(
        world.supervisor.outcome,
        Some(SupervisorOutcome::Committed {
            id: ID,
            successor: NEW,
            shortfall: Shortfall::default(),
        })
    );
    assert_eq!(
        world.incumbent.outcome,
        Some(IncumbentOutcome::Committed(ID))
    );
    assert_eq!(
        world.successor.outcome,
        Some(SuccessorOutcome::Serving {
            generation: 2,
            published: true,
            verdict: Verdict::Committed,
        })
    );
    assert_eq!((world.lock, world.path), (Some(NEW), NEW));
    assert_eq!(world.log, HANDED_OVER);
}

#[test]
fn a_handoff_that_works_takes_no_time_of_its_own_before_the_successor_serves() {
    let mut world = World::new(usize::MAX);
    assert_eq!((world.lock, world.path), (Some(OLD), OLD));
    let start = world.now;
    world.run();
    assert_handed_over(&world);
    let delay = supervisor_config().commit_delay;
    assert_eq!(world.now.since(start), delay, "nothing but Commit waited");
}

#[test]
fn it_does_not_matter_how_the_bytes_are_chopped() {
    for chunk in 1..20 {
        let mut world = World::new(chunk);
        world.run();
        assert_handed_over(&world);
    }
}

const BOTH: [VersionRange; 2] = [VersionRange::V1, VersionRange::SUPPORTED];

#[test]
fn every_mix_of_versions_hands_over_and_says_what_had_to_be_done_without() {
    for supervisor in BOTH {
        for incumbent in BOTH {
            for successor in BOTH {
                for probation in [Duration::ZERO, Duration::from_secs(30)] {
                    let setup = Setup {
                        supervisor,
                        incumbent,
                        successor,
                        probation,
                    };
                    hands_over(setup);
                }
            }
        }
    }
}

fn hands_over(setup: Setup) {
    let speaks = |side: VersionRange| side.max.min(setup.supervisor.max) >= 2;
    let (old, new) = (speaks(setup.incumbent), speaks(setup.successor));
    let asked = !setup.probation.is_zero();

    let mut world = World::with(7, setup);
    let start = world.now;
    world.run();
    let shortfall = Shortfall {
        standby: !new,
        probation: asked && !old,
    };
    assert_eq!(
        world.supervisor.outcome,
        Some(SupervisorOutcome::Committed {
            id: ID,
            successor: NEW,
            shortfall,
        }),
        "{setup:?}"
    );
    assert_eq!(
        world.incumbent.outcome,
        Some(IncumbentOutcome::Committed(ID)),
        "{setup:?}"
    );
    let (verdict, happened) = if new {
        (Verdict::Committed, HANDED_OVER)
    } else {
        // Neither a warm-up that is waited for nor a Commit.
        (Verdict::Orphaned, &HANDED_OVER[1..HANDED_OVER.len() - 1])
    };
    assert_eq!(
        world.successor.outcome,
        Some(SuccessorOutcome::Serving {
            generation: 2,
            published: true,
            verdict,
        }),
        "{setup:?}"
    );
    if !new {
        // It may warm up at any time before it opens its data.
        world.log.retain(|what| *what != "warm up");
    }
    assert_eq!(world.log, happened, "{setup:?}");
    let served = match (old, new) {
        (true, _) if asked => setup.probation,
        (true, true) => supervisor_config().commit_delay,
        _ => Duration::ZERO,
    };
    assert_eq!(world.now.since(start), served, "{setup:?}");
}

#[test]
fn an_incumbent_answers_questions_at_every_moment_of_a_handoff() {
    for chunk in [1, 13, usize::MAX] {
        let mut world = World::with(
            chunk,
            Setup {
                probation: Duration::from_secs(3),
                ..Setup::default()
            },
        );
        world.start();
        let mut moments = 0;
        while world.step() {
            if world.incumbent.outcome.is_none() {
                moments += 1;
                for question in [Question::Listeners, Question::Status] {
                    let mut asker = World::asker(question);
                    world.ask(&mut asker);
                    let answered = SupervisorOutcome::Answered { pid: OLD.pid };
                    assert_eq!(asker.outcome, Some(answered));
                    let came = question == Question::Listeners;
                    assert_eq!(asker.kept == KEPT, came);
                }
            }
        }
        assert!(moments > 20, "{moments}");
        assert_handed_over(&world);
    }
}

#[test]
fn a_recorded_handoff_replays_into_fresh_machines_with_the_same_actions() {
    let mut world = World::recording(5);
    world.run();
    assert_handed_over(&world);
    replay::<Supervisor, 2>(supervisor_config(), world.supervisor.trace);
    replay::<Incumbent, 8>(incumbent_config(), world.incumbent.trace);
    replay::<Successor, 1>(successor_config(), world.successor.trace);
}

fn replay<R: Role<L>, const L: usize>(config: R::Config, trace: Option<Trace>) {
    let recorded = trace.expect("it was recorded");
    let mut machine = Machine::<R, Inline, L>::new(config);
    let mut rest = &recorded.inputs[..];
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (now, input, used) = decode_input(rest).expect("a good record");
        rest = &rest[used..];
        let mut turn = machine.handle(now, input).expect("a legal input");
        loop {
            let step = turn.next();
            steps.push(format!("{step:?}"));
            if !matches!(step, Step::Do(_)) {
                break;
            }
        }
    }
    assert!(steps.len() > 10);
    assert_eq!(steps, recorded.steps);
}
