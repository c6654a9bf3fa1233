//! Every row of every transition table is taken: by the explored worlds, or where no world of ours has
//! such a peer, by a directed run.

use std::fmt::Debug;

use handoff_core::op::{LockReport, OpenReport};
use handoff_core::table::{Row, Taken};
use handoff_core::wire::{HandoffId, Message, Names, Revisions, encode};
use handoff_core::{
    Action, Inline, Input, Instant, Step, Successor, SuccessorConfig, SuccessorMachine,
    SuccessorOp, SuccessorOutcome, incumbent, successor, supervisor,
};
use handoff_model_tests::explore::explore;
use handoff_model_tests::world::Setup;

const ID: HandoffId = HandoffId::from_bytes([1; 16]);

type Machine = SuccessorMachine<Inline<512, 512>>;

/// Gives an input; returns the operation that was asked for, and how the machine ended.
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
    let link = Successor::CHANNEL;
    let bytes = &room[..len];
    give(machine, Input::Bytes { link, bytes })
}

/// A supervisor of version 1 says Abort to its successor (ours kills it), after so many of the steps
/// from `HelloAck` to `Ready`: the successor leaves.
fn aborted_after(steps: usize) {
    let mut machine = Machine::new(SuccessorConfig::default());
    let (op, _) = give(&mut machine, Input::Start);
    let Some(SuccessorOp::StagePath(ticket)) = op else {
        panic!("expected StagePath, not {op:?}");
    };
    let mut op = give(&mut machine, Input::Completed(ticket.done(()))).0;
    say(&mut machine, &Message::HelloAck { version: 1, id: ID });
    for step in 0..steps {
        op = match (step, op.take()) {
            (0, _) => say(&mut machine, &Message::Begin { id: ID }).0,
            (_, Some(SuccessorOp::TryLock(ticket))) => {
                let taken = LockReport::Taken { generation: 2 };
                give(&mut machine, Input::Completed(ticket.done(taken))).0
            }
            (_, Some(SuccessorOp::Open(ticket))) => {
                let report = OpenReport {
                    listening_on: Names::default(),
                    healthy: true,
                    revisions: Revisions::default(),
                };
                give(&mut machine, Input::Completed(ticket.done(report))).0
            }
            (step, other) => panic!("step {step} with {other:?}"),
        };
    }
    let reason = "because";
    let (_, end) = say(&mut machine, &Message::Abort { id: ID, reason });
    assert!(
        matches!(end, Some(SuccessorOutcome::Failed(_))),
        "after {steps} steps: {end:?}"
    );
}

fn missed<P: Debug, C: Debug, A>(table: &[Row<P, C, A>], taken: &Taken) -> Vec<String> {
    let missed = table.iter().enumerate().filter(|(at, _)| !taken.was(*at));
    missed
        .map(|(_, row)| format!("{:?} on {:?}", row.from, row.on))
        .collect()
}

#[test]
fn every_row_is_taken() {
    for steps in 0..=3 {
        aborted_after(steps);
    }
    let all = Setup {
        faults: 1,
        freezes: true,
        freeze_daemons: true,
        failures: true,
        stalls: true,
        restart: true,
        ..Setup::default()
    };
    for setup in [
        Setup {
            kill_stuck: true,
            ..all
        },
        Setup {
            failures: true,
            freezes: false,
            freeze_daemons: false,
            stalls: false,
            faults: 2,
            restart: false,
            ..all
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
