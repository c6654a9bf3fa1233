//! Version 1 on one side: what our crash rules still achieve when the peer behaves in a crash as the
//! published version does. Its incumbent tries for the lock for two seconds, without a look at the
//! control path, and leaves; it waits for a frozen supervisor without end. Its successor fails when
//! its session is lost before Begin, or when it has opened the data and cannot say Ready.
//!
//! Excused are ends in which that incumbent waits for a frozen supervisor, or serves where its control
//! path does not lead; and its leaving, when a second fault takes the rest.

use handoff_model_tests::explore::{Found, explore};
use handoff_model_tests::world::{Mutation, Setup};

fn one_fault(setup: Setup) -> Found {
    let found = explore(Setup { faults: 1, ..setup }, 1_000_000);
    assert!(!found.cut, "more states than expected");
    found
}

fn holds(setup: Setup) -> Found {
    let found = one_fault(setup);
    assert!(found.violation.is_none(), "{:#?}", found.violation);
    found
}

const THEIR_INCUMBENT: Setup = Setup {
    v1_incumbent: true,
    ..Setup::DEFAULT
};

const THEIR_SUCCESSOR: Setup = Setup {
    v1_successor: true,
    ..Setup::DEFAULT
};

#[test]
fn our_incumbent_outlives_a_successor_of_theirs() {
    for restart in [false, true] {
        let found = holds(Setup {
            freezes: true,
            restart,
            ..THEIR_SUCCESSOR
        });
        // What is excused is two daemons that exceed all patience on their own.
        assert!(found.excused < found.ends);
    }
}

#[test]
fn that_is_the_merit_of_c2() {
    let found = one_fault(Setup {
        mutations: &[Mutation::C2GivesUp],
        ..THEIR_SUCCESSOR
    });
    let story = found.violation.expect("nobody is left").story;
    assert!(
        story.iter().any(|line| line == "S0 is KILLED"),
        "{story:#?}"
    );
}

#[test]
fn our_successor_takes_over_from_an_incumbent_of_theirs() {
    for restart in [false, true] {
        holds(Setup {
            restart,
            ..THEIR_INCUMBENT
        });
    }
}

#[test]
fn with_theirs_on_both_sides_nobody_is_left() {
    let found = one_fault(Setup {
        v1_incumbent: true,
        ..THEIR_SUCCESSOR
    });
    let story = found.violation.expect("nobody is left").story;
    for line in [
        "S0 is KILLED",
        "N2 is gone, and its lock",
        "O1 is gone, and its lock",
    ] {
        assert!(story.iter().any(|told| told == line), "{line}: {story:#?}");
    }
}

/// The one thing that no rule of ours can help: their incumbent waits for a frozen supervisor.
#[test]
fn a_frozen_supervisor_is_excused_with_an_incumbent_of_theirs() {
    let kills = holds(THEIR_INCUMBENT);
    let freezes = holds(Setup {
        freezes: true,
        ..THEIR_INCUMBENT
    });
    assert!(freezes.excused > kills.excused, "{freezes:?}");
}
