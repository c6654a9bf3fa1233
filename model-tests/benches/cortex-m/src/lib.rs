//! One machine, or all three, as a firmware would have them: every input can go in, every action comes out.

#![no_std]

use core::panic::PanicInfo;

#[allow(unused_imports, reason = "each feature uses its own")]
use handoff_core::{Incumbent, Successor, Supervisor};
use handoff_core::{Inline, Input, Instant, Machine, Role, Step};

/// Room of a link, each way, in bytes.
type Room = Inline<512, 512>;

/// What the firmware calls: how a machine is made, and one turn of it.
#[allow(dead_code, reason = "it is only to be there")]
struct Used<R: Role<L>, const L: usize> {
    new: fn(R::Config) -> Machine<R, Room, L>,
    turn: Turn<R, L>,
}

type Turn<R, const L: usize> =
    fn(&mut Machine<R, Room, L>, Instant, Input<'_>, &mut dyn FnMut(&Step<'_, R, L>)) -> usize;

#[cfg(feature = "incumbent")]
#[used]
static INCUMBENT: Used<Incumbent, 1> = Used {
    new: Machine::new,
    turn,
};

#[cfg(feature = "successor")]
#[used]
static SUCCESSOR: Used<Successor, 1> = Used {
    new: Machine::new,
    turn,
};

#[cfg(feature = "supervisor")]
#[used]
static SUPERVISOR: Used<Supervisor, 2> = Used {
    new: Machine::new,
    turn,
};

/// One turn; `take` is whatever carries out a step.
fn turn<R: Role<L>, const L: usize>(
    machine: &mut Machine<R, Room, L>,
    now: Instant,
    input: Input<'_>,
    take: &mut dyn FnMut(&Step<'_, R, L>),
) -> usize {
    let Ok(mut turn) = machine.handle(now, input) else {
        return 0;
    };
    let consumed = turn.consumed();
    loop {
        let step = turn.next();
        take(&step);
        if matches!(step, Step::Wait(_) | Step::Done(_)) {
            return consumed;
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
