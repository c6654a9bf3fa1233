//! How much one turn of a machine asks for, in all the worlds with one fault of any kind.

use handoff_core::MAX_ACTIONS_PER_TURN;
use handoff_model_tests::explore::explore;
use handoff_model_tests::world::Setup;

/// The most that is ever asked for in one turn; the machines have room for more.
const MOST: usize = 6;

#[test]
fn a_turn_has_fewer_actions_than_there_is_room_for() {
    let found = explore(
        Setup {
            faults: 1,
            freezes: true,
            failures: true,
            restart: true,
            stalls: true,
            unlinks: true,
            ..Setup::default()
        },
        1_000_000,
    );
    assert_eq!(found.actions, MOST);
    const { assert!(MOST <= MAX_ACTIONS_PER_TURN) };
}
