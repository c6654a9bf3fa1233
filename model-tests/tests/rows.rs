//! Every row of every transition table is taken: by the explored worlds, or where no world of ours has
//! such a peer, by a directed run.

use std::fmt::Debug;

use handoff_core::op::{LockReport, OpenReport, Verdict};
use handoff_core::successor::Phase::{
    Announcing, Locking, Opening, Probation, Publishing, Standing, Warming,
};
use handoff_core::table::{Row, Taken};
use handoff_core::wire::{HandoffId, Message, Names, Revisions, encode};
use handoff_core::{
    Action, Handles, IncumbentConfig, IncumbentMachine, Inline, Input, Instant, Step, Successor,
    SuccessorConfig, SuccessorMachine, SuccessorOp, SuccessorOutcome, incumbent, successor,
    supervisor,
};
use handoff_model_tests::explore::explore;
use handoff_model_tests::route::Route;
use handoff_model_tests::world::{Move, Setup, World};

const ID: HandoffId = HandoffId::from_bytes([1; 16]);

type Machine = SuccessorMachine<Inline<512, 512>>;

/// Gives an input; returns the operation that was asked for, and how the machine ended. What is sent stays
/// unwritten.
fn give(
    machine: &mut Machine,
    input: Input<'_>,
) -> (Option<SuccessorOp>, Option<SuccessorOutcome>) {
    let mut turn = machine
        .handle(Instant::from_nanos(1), input)
        .expect("a good input");
    let mut started = None;
    loop {
        match turn.next() {
            Step::Do(Action::Start(op)) => started = Some(op),
            Step::Do(_) => {}
            Step::Wait(_) => return (started, None),
            Step::Done(outcome) => return (started, Some(outcome)),
        }
    }
}

fn say(
    machine: &mut Machine,
    message: &Message<'_>,
) -> (Option<SuccessorOp>, Option<SuccessorOutcome>) {
    let mut room = [0; 128];
    let len = encode(1, message, &mut room).expect("a short message");
    let input = Input::Bytes {
        link: Successor::CHANNEL,
        bytes: &room[..len],
        handles: Handles::NONE,
    };
    give(machine, input)
}

/// Goes a step on: ends what the machine has asked for, or says or reads what it waits for.
fn go_on(machine: &mut Machine, op: Option<SuccessorOp>) -> Option<SuccessorOp> {
    let completion = match op {
        None if machine.state().phase() == successor::Phase::Standing => {
            return say(machine, &Message::Begin { id: ID }).0;
        }
        None => {
            let input = Input::Wrote {
                link: Successor::CHANNEL,
                count: lent(machine),
            };
            return give(machine, input).0;
        }
        Some(SuccessorOp::StagePath(ticket)) => ticket.done(()),
        Some(SuccessorOp::WarmUp(ticket)) => ticket.done(()),
        Some(SuccessorOp::TryLock(ticket)) => ticket.done(LockReport::Taken { generation: 2 }),
        Some(SuccessorOp::Open(ticket)) => ticket.done(OpenReport {
            listening_on: Names::default(),
            healthy: true,
            revisions: Revisions::default(),
        }),
        Some(SuccessorOp::PublishPath(ticket)) => ticket.done(()),
        Some(SuccessorOp::Serve { .. }) => unreachable!("nothing comes after it here"),
    };
    give(machine, Input::Completed(completion)).0
}

/// How many bytes the link has been lent: as many as can be reported written.
fn lent(machine: &Machine) -> usize {
    let written = |count: &usize| {
        let (link, count) = (Successor::CHANNEL, *count);
        let mut machine = machine.clone();
        let now = Instant::from_nanos(1);
        machine.handle(now, Input::Wrote { link, count }).is_ok()
    };
    (0..512).take_while(written).last().unwrap_or_default()
}

/// A supervisor of version 1 says Abort to its successor (ours kills it): the successor leaves, if it does
/// not just take the path.
fn aborted_in(phase: successor::Phase) {
    let mut machine = Machine::new(SuccessorConfig::default());
    let (op, _) = give(&mut machine, Input::Start);
    let op = go_on(&mut machine, op);
    assert_eq!(op, None, "it waits for HelloAck");
    let count = lent(&machine);
    let link = Successor::CHANNEL;
    give(&mut machine, Input::Wrote { link, count });
    let mut op = say(&mut machine, &Message::HelloAck { version: 1, id: ID }).0;
    while machine.state().phase() != phase {
        op = go_on(&mut machine, op);
    }
    let reason = "because";
    let (_, end) = say(&mut machine, &Message::Abort { id: ID, reason });
    let left = matches!(end, Some(SuccessorOutcome::Failed(_)));
    assert_eq!(left, phase != Publishing, "in {phase}: {end:?}");
}

/// And the incumbent's machine in the same process is told so.
fn dismissed() {
    let mut machine = IncumbentMachine::<Inline<512, 512>, 1>::new(IncumbentConfig {
        on_probation: true,
        ..IncumbentConfig::default()
    });
    for input in [Input::Start, Input::Probation(Verdict::Dismissed)] {
        let now = Instant::from_nanos(1);
        let mut turn = machine.handle(now, input).expect("a good input");
        while let Step::Do(action) = turn.next() {
            drop(action);
        }
    }
    assert_eq!(machine.state().phase(), incumbent::Phase::Failed);
}

/// A supervisor falls silent while the incumbent's look at the lock hangs: two faults in a row.
fn silent_while_checking() {
    let phase =
        |name: &'static str| move |world: &World| world.phase("O1").as_deref() == Some(name);
    let setup = Setup {
        faults: 2,
        freezes: true,
        stalls: true,
        probation: 8,
        ..Setup::default()
    };
    Route::new(setup)
        .until(phase("Checking"))
        .then("O1: TryLock is STALLED")
        .then("S0 is FROZEN")
        .until(phase("Reclaiming"))
        .events();
}

/// The second handoff begins while the committed hook of the first still runs, and what may come of that.
fn while_it_is_confirmed() {
    let phase =
        |name: &'static str| move |world: &World| world.phase("N2").as_deref() == Some(name);
    let committed = |world: &World| {
        let nothing_to_do = world.moves().contains(&Move::Tick);
        world.phase("S0").is_none() && phase("Serving")(world) && nothing_to_do
    };
    let waiting = || {
        Route::new(Setup {
            faults: 1,
            freezes: true,
            handoffs: 2,
            ..Setup::default()
        })
        .until(committed)
    };
    let waiting_at_once = || waiting().until(phase("Waiting"));
    let ways = [
        waiting_at_once().until(phase("Draining")),
        waiting_at_once()
            .then("S0 is KILLED")
            .until(phase("Serving")),
        waiting_at_once()
            .then("S0 is FROZEN")
            .until(phase("Serving")),
        waiting()
            .then("8 s pass by")
            .until(phase("Waiting"))
            .then("N2 looks at the clock"),
    ];
    for way in ways {
        way.events();
    }
}

/// A supervisor that is started again cannot take the listeners that it is handed, at first.
fn adopted_at_the_second_try() {
    let setup = Setup {
        faults: 2,
        failures: true,
        restart: true,
        ..Setup::default()
    };
    Route::new(setup)
        .then("S0 is KILLED")
        .then("S0 is gone, and its lock")
        .then("S is started again")
        .until(|world| world.phase("S2").as_deref() == Some("Adopting"))
        .then("S2: AdoptListeners comes to Failed")
        .until(|world| world.is_end() && world.is_well())
        .events();
}

fn missed<P: Debug, C: Debug, A>(table: &[Row<P, C, A>], taken: &Taken) -> Vec<String> {
    let missed = table.iter().enumerate().filter(|(at, _)| !taken.was(*at));
    missed
        .map(|(_, row)| format!("{:?} on {:?}", row.from, row.on))
        .collect()
}

#[test]
fn every_row_is_taken() {
    for phase in [
        Warming, Standing, Locking, Opening, Announcing, Publishing, Probation,
    ] {
        aborted_in(phase);
    }
    dismissed();
    silent_while_checking();
    adopted_at_the_second_try();
    while_it_is_confirmed();
    let all = Setup {
        faults: 1,
        freezes: true,
        freeze_daemons: true,
        failures: true,
        stalls: true,
        restart: true,
        ..Setup::default()
    };
    let calm = Setup {
        freezes: false,
        freeze_daemons: false,
        stalls: false,
        restart: false,
        ..all
    };
    for setup in [
        Setup {
            kill_stuck: true,
            probation: 8,
            ..all
        },
        Setup { faults: 2, ..calm },
        Setup {
            old_supervisor: true,
            ..calm
        },
        Setup {
            old_incumbent: true,
            restart: true,
            ..calm
        },
        Setup {
            v1_successor: true,
            probation: 3,
            ..calm
        },
        Setup {
            asks: true,
            faults: 0,
            ..calm
        },
        all,
    ] {
        let found = explore(setup, 5_000_000);
        assert!(found.violation.is_none(), "{:#?}", found.violation);
    }
    let none = Vec::<String>::new();
    assert_eq!(missed(incumbent::INCUMBENT, &incumbent::TAKEN), none);
    assert_eq!(missed(successor::SUCCESSOR, &successor::TAKEN), none);
    assert_eq!(missed(supervisor::SUPERVISOR, &supervisor::TAKEN), none);
}
