//! Any mix of versions among supervisor, incumbent and successor works, with a probation and without.

use handoff_model_tests::explore::explore;
use handoff_model_tests::world::Setup;

/// All mixes.
fn mixes() -> impl Iterator<Item = Setup> {
    (0..8_u8).map(|bits| Setup {
        old_supervisor: bits & 1 != 0,
        old_incumbent: bits & 2 != 0,
        old_successor: bits & 4 != 0,
        ..Setup::default()
    })
}

fn holds(setup: Setup) {
    let found = explore(setup, 1_000_000);
    assert!(!found.cut, "more states than expected: {setup:?}");
    assert!(
        found.violation.is_none(),
        "{setup:?}: {:#?}",
        found.violation
    );
}

/// What nothing keeps up is committed, twice in a row.
#[test]
fn every_mix_hands_over_twice() {
    for probation in [0, 8] {
        for setup in mixes() {
            holds(Setup {
                handoffs: 2,
                probation,
                ..setup
            });
        }
    }
}

/// And whatever process is killed, or S frozen, somebody serves, and what was confirmed stays so.
#[test]
fn every_mix_survives_one_fault() {
    // With a supervisor of version 1 all the links speak it, whoever else is older or newer.
    let plain = |setup: &Setup| setup.old_incumbent || setup.old_successor;
    for setup in mixes().filter(|setup| !setup.old_supervisor || !plain(setup)) {
        holds(Setup {
            faults: 1,
            freezes: true,
            restart: true,
            probation: 8,
            ..setup
        });
    }
}
