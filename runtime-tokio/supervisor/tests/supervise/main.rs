//! `handoff supervise` on real processes, with `handoff kvd` as the daemon. A binary is a shell script
//! that gives kvd a tag; INFO shows which one serves.

#[path = "../common/mod.rs"]
mod common;

mod daily;
mod events;
mod fleet;
mod metrics;
mod probation;
mod recordings;
mod restarts;
mod status;
mod talk;
mod trouble;
mod world;
