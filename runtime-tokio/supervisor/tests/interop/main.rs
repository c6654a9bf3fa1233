//! Supervisor, incumbent and successor by different hands, each a process of its own: ours, the published
//! crate of version 1, and ours limited to version 1.

#[path = "../common/mod.rs"]
mod common;

mod hooks;
mod matrix;
mod probation;
mod questions;

use common::{World, published, stand_in};
use handoff_std::SpawnSpec;
use handoff_std::core::SupervisorConfig;
use handoff_std::core::wire::VersionRange;

/// Who writes the code of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// Ours.
    Us,
    /// Ours, limited to version 1.
    Old,
    /// The published crate.
    Them,
}
use By::{Old, Them, Us};

impl By {
    /// The highest version that it speaks.
    const fn version(self) -> u16 {
        match self {
            Us => 2,
            Old | Them => 1,
        }
    }
}

/// A sound daemon, or one with this fault.
fn daemon(world: &World, by: By, fault: &str) -> SpawnSpec {
    match (by, fault) {
        (Them, fault) => world.stand_in(published::DAEMON, &[(stand_in::FLAGS, fault)]),
        (Old, fault) => {
            let flags = format!("v1,{fault}");
            world.stand_in(stand_in::DAEMON, &[(stand_in::FLAGS, &flags)])
        }
        (Us, "fail-open") => world.kvd(&["--fail", "open"]),
        (Us, "hold-open") => world.kvd(&["--open-delay-ms", "600000"]),
        (Us, "fail-drain") => world.kvd(&["--fail", "drain"]),
        (Us, _) => world.kvd(&[]),
    }
}

/// The times of a supervisor of ours.
fn times(by: By) -> SupervisorConfig {
    SupervisorConfig {
        versions: if by == Us {
            VersionRange::SUPPORTED
        } else {
            VersionRange::V1
        },
        ..common::times()
    }
}

/// A published supervisor as a process, which hands over to this daemon.
fn their_supervisor(world: &World, successor: By, fault: &str) -> SpawnSpec {
    if successor == Us {
        let kvd = daemon(world, Us, fault);
        let lines: Vec<_> = kvd.args.iter().map(|a| a.to_str().unwrap()).collect();
        let lines = lines.join("\n");
        return world.stand_in(published::SUPERVISOR, &[(stand_in::SUCCESSOR, &lines)]);
    }
    let (role, flags) = match successor {
        Them => (published::DAEMON, fault.to_owned()),
        _ => (stand_in::DAEMON, format!("v1,{fault}")),
    };
    stand_in_supervisor(world, role, &flags)
}

/// The same to a stand-in.
fn stand_in_supervisor(world: &World, role: &str, flags: &str) -> SpawnSpec {
    world.stand_in(
        published::SUPERVISOR,
        &[
            (stand_in::SUCCESSOR_ROLE, role),
            (stand_in::SUCCESSOR_FLAGS, flags),
        ],
    )
}
