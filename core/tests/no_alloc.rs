//! A whole handoff through the three machines allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use handoff_core::SupervisorOutcome;
use handoff_core::supervisor::Question;

#[path = "machines/world/mod.rs"]
mod world;

struct Counting;

thread_local! {
    /// Of this thread alone: the test runner has others, which do as they like.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A handoff with all that there is: warm standby, probation, and questions while the data is opened.
#[test]
fn a_handoff_allocates_nothing() {
    // The world's own queues and log get their room first.
    let mut world = world::World::with(
        usize::MAX,
        world::Setup {
            probation: Duration::from_secs(30),
            ..world::Setup::default()
        },
    );
    let mut askers = [Question::Listeners, Question::Status].map(world::World::asker);
    let before = ALLOCATIONS.get();
    world.start();
    while world.step() {
        if world.log.last() == Some(&"open") {
            for asker in &mut askers {
                if asker.outcome.is_none() {
                    world.ask(asker);
                }
            }
        }
    }
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    assert_eq!(world.log, world::HANDED_OVER);
    assert_eq!(askers[0].kept, world::KEPT);
    for asker in askers {
        let answered = SupervisorOutcome::Answered {
            pid: world::OLD.pid,
        };
        assert_eq!(asker.outcome, Some(answered));
    }
    assert!(before > 0, "the allocator counts");
}
