//! What the protocol promises holds in every interleaving with one fault. `explore` does more faults.

use handoff_model_tests::explore::explore;
use handoff_model_tests::world::Setup;

/// Far above what any of these worlds has; reached, it is a failure.
const LIMIT: usize = 1_000_000;

fn holds(setup: Setup) {
    let found = explore(setup, LIMIT);
    if let Some(violation) = &found.violation {
        panic!("{}\n{}", violation.what, violation.story.join("\n"));
    }
    assert!(!found.cut, "more states than expected: {found:?}");
    assert!(found.ends > 0, "no run ends: {found:?}");
}

#[test]
fn without_faults_two_handoffs_in_a_row_end_well() {
    holds(Setup {
        handoffs: 2,
        ..Setup::default()
    });
}

#[test]
fn one_kill_and_nobody_starts_the_supervisor_again() {
    holds(Setup {
        faults: 1,
        ..Setup::default()
    });
}

#[test]
fn one_kill_and_the_supervisor_is_started_again() {
    holds(Setup {
        faults: 1,
        restart: true,
        ..Setup::default()
    });
}

#[test]
fn one_kill_with_a_second_handoff() {
    holds(Setup {
        faults: 1,
        handoffs: 2,
        ..Setup::default()
    });
}

#[test]
fn one_freeze_kill_failure_or_stall_of_anything() {
    holds(Setup {
        faults: 1,
        freezes: true,
        freeze_daemons: true,
        failures: true,
        stalls: true,
        ..Setup::default()
    });
}

#[test]
fn a_supervisor_that_kills_a_stuck_incumbent() {
    holds(Setup {
        faults: 1,
        freezes: true,
        failures: true,
        restart: true,
        kill_stuck: true,
        ..Setup::default()
    });
}
