//! A whole handoff, with three machines.

use handoff_core::record::decode_input;
use handoff_core::{
    Incumbent, IncumbentOutcome, Inline, Machine, Role, Step, Successor, SuccessorOutcome,
    Supervisor, SupervisorOutcome,
};

use crate::world::{
    ID, NEW, OLD, Trace, World, incumbent_config, successor_config, supervisor_config,
};

fn assert_handed_over(world: &World) {
    assert_eq!(
        world.supervisor.outcome,
        Some(SupervisorOutcome::Committed {
            id: ID,
            successor: NEW
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
            published: true
        })
    );
    assert_eq!((world.lock, world.path), (Some(NEW), NEW));
    assert_eq!(
        world.log,
        ["drain", "seal", "release", "lock", "open", "publish"]
    );
}

#[test]
fn a_handoff_that_works_takes_no_time_of_its_own() {
    let mut world = World::new(usize::MAX);
    assert_eq!((world.lock, world.path), (Some(OLD), OLD));
    let start = world.now;
    world.run();
    assert_handed_over(&world);
    assert_eq!(world.now, start, "nothing was waited for by the clock");
}

#[test]
fn it_does_not_matter_how_the_bytes_are_chopped() {
    for chunk in 1..20 {
        let mut world = World::new(chunk);
        world.run();
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
