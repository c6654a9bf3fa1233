//! A whole handoff through the three machines allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[path = "machines/world.rs"]
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

#[test]
fn a_handoff_allocates_nothing() {
    // The world's own queues and log get their room first.
    let mut world = world::World::new(usize::MAX);
    let before = ALLOCATIONS.get();
    world.run();
    let after = ALLOCATIONS.get();
    assert_eq!(after - before, 0);
    assert_eq!(
        world.log,
        ["drain", "seal", "release", "lock", "open", "publish"]
    );
    assert!(before > 0, "the allocator counts");
}
