//! Sans-IO protocol core for handing a running daemon over to a new binary.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod cause;
mod identity;
pub mod incumbent;
pub mod journal;
mod link;
mod machine;
pub mod op;
pub mod record;
pub mod successor;
pub mod supervisor;
pub mod table;
pub mod text;
mod time;
mod violation;
pub mod wire;

pub use cause::{Cause, Reason};
pub use identity::Identity;
pub use incumbent::{
    Incumbent, IncumbentConfig, IncumbentMachine, IncumbentOp, IncumbentOutcome, IncumbentState,
};
pub use link::{Inline, LinkId, MIN_ROOM, Storage};
pub use machine::{
    Action, Event, Input, Loss, MAX_ACTIONS_PER_TURN, MAX_LINKS, Machine, Misuse, Observation, Out,
    Role, Room, Step, Turn, Wait,
};
pub use successor::{
    Successor, SuccessorConfig, SuccessorMachine, SuccessorOp, SuccessorOutcome, SuccessorState,
};
pub use supervisor::{
    Supervisor, SupervisorConfig, SupervisorMachine, SupervisorOp, SupervisorOutcome,
    SupervisorState, Task,
};
pub use time::Instant;
pub use violation::Violation;
