//! `handoff supervise` on real processes, with `handoff kvd` as the daemon. A binary is a shell script
//! that gives kvd a tag; INFO shows which one serves.

#[path = "../common/mod.rs"]
mod common;

mod daily;
mod ending;
mod events;
mod fleet;
mod log;
mod metrics;
mod probation;
mod recordings;
mod reload;
mod restarts;
mod status;
mod systemd;
mod talk;
mod trouble;
mod version_1;
mod world;
