//! Questions that an incumbent of version 1 cannot answer, and that do not disturb it.

use handoff_std::ask::{self, AskError};

use super::common::World;
use super::{By, Old, Them, daemon};

fn has_no_answer(incumbent: By) {
    let world = World::new();
    let old = world.start(&daemon(&world, incumbent, ""));
    for _ in 0..3 {
        let listeners = ask::listeners(world.control()).map(drop);
        let status = ask::status(world.control()).map(drop);
        for answer in [listeners, status] {
            let error = answer.unwrap_err();
            assert!(
                matches!(error, AskError::Version1 { pid } if pid == old.pid),
                "{error}"
            );
        }
    }
    world.assert_serves(old.pid);
    world.assert_next_handoff_works();
}

#[test]
fn their_incumbent_has_no_answer() {
    has_no_answer(Them);
}

#[test]
fn an_old_incumbent_has_no_answer() {
    has_no_answer(Old);
}
