//! Nothing is left behind: no descriptor, no thread, no process.

use std::time::Duration;

use crate::common::{World, stand_in, wait_until};

/// So many handoffs in a row.
const HANDOFFS: usize = 100;

// The same supervisor each time, with three listeners, which asks the daemon everything in between; each
// daemon was a successor once.
#[test]
fn a_hundred_handoffs_leave_something_behind() {
    let world = World::new();
    for name in ["p", "j"] {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
    let supervisor = world.launch(&world.stand_in(
        stand_in::SUPERVISOR,
        &[
            (stand_in::FLAGS, "start,count,more-listeners"),
            (
                stand_in::SUCCESSOR_ROLE,
                &[stand_in::DAEMON; HANDOFFS].join(","),
            ),
            (stand_in::SUCCESSOR_FLAGS, ""),
        ],
    ));
    let done = || world.told("Counts(") == HANDOFFS;
    assert!(
        wait_until(Duration::from_mins(2), done),
        "{:?}",
        world.events().last()
    );
    assert_eq!(world.exit_code(supervisor), Some(0));
    assert_eq!(world.told("Outcome(committed"), HANDOFFS);
    let events = world.events();
    let counts: Vec<_> = events.iter().filter(|e| e.starts_with("Counts(")).collect();
    assert!(counts.iter().all(|found| *found == counts[0]), "{counts:?}");
    // Our descriptors and threads, and one child, the daemon.
    assert_eq!(counts[0].split(' ').nth(2), Some("1"), "{}", counts[0]);
    world.assert_next_handoff_works();
}
