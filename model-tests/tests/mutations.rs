//! The checker sees what it is there to see: with a rule switched off it finds the failure.

use handoff_model_tests::explore::{Violation, explore};
use handoff_model_tests::world::{Mutation, Setup};

fn missed_without(mutation: Mutation, setup: Setup) -> Violation {
    let mutation = Some(mutation);
    let found = explore(Setup { mutation, ..setup }, 1_000_000);
    found.violation.expect("the mutation is found")
}

fn one_kill() -> Setup {
    Setup {
        faults: 1,
        ..Setup::default()
    }
}

fn says(violation: &Violation, line: &str) -> bool {
    violation.story.iter().any(|told| told.contains(line))
}

/// Section 12, failure 1: S is killed after Begin, N fails on its lost session and O gives up.
#[test]
fn impatience_on_both_sides_leaves_nobody() {
    let violation = missed_without(Mutation::Impatient, one_kill());
    assert!(says(&violation, "S0 is KILLED"), "{violation:#?}");
    assert!(says(&violation, "N2 is gone"), "{violation:#?}");
    assert!(says(&violation, "O1 is gone"), "{violation:#?}");
}

#[test]
fn an_incumbent_that_leaves_at_once_is_missed_when_its_successor_is_killed() {
    let violation = missed_without(Mutation::LeavesAtOnce, one_kill());
    assert!(says(&violation, "Kill(1000002) comes to Done"));
    assert!(says(&violation, "S0 is KILLED"));
}

#[test]
fn a_failed_seal_that_counts_lets_go_of_the_lock_of_a_writer() {
    let setup = Setup {
        failures: true,
        ..one_kill()
    };
    let violation = missed_without(Mutation::FailedSealCounts, setup);
    assert_eq!(
        violation.what,
        "O may write, but the lock is held by nobody"
    );
}

#[test]
fn an_unwatched_daemon_stays_dead() {
    missed_without(Mutation::Unwatched, one_kill());
}

#[test]
fn two_writers_are_seen() {
    let violation = missed_without(Mutation::OpenLock, one_kill());
    assert_eq!(violation.what, "O may write, but the lock is held by N");
}

/// Bytes before timeouts: without it a successor that has said Ready is killed. Since O stays as long
/// as that can happen, it costs a handoff and nothing else.
#[test]
fn timeouts_before_bytes_do_not_cost_the_service() {
    let setup = Setup {
        freezes: true,
        mutation: Some(Mutation::TimeoutsFirst),
        ..one_kill()
    };
    assert!(explore(setup, 1_000_000).violation.is_none());
}
