//! What the fuzz targets check, as ordinary functions: a target hands one its bytes, and so does the
//! test that goes through the corpus.

mod codec;
mod host;
mod ledger;
mod life;
mod peer;
mod recording;
mod said;
mod script;
mod subject;
mod watch;

use std::time::Duration;

use handoff_core::journal::{Entry, Stage};
use handoff_core::supervisor::Question;
use handoff_core::wire::{HandoffId, VersionRange};
use handoff_core::{
    Incumbent, IncumbentConfig, Successor, SuccessorConfig, Supervisor, SupervisorConfig, Task,
};

pub use crate::codec::{decode, record};
pub use crate::recording::replay;
pub use crate::script::{Happening, happenings};
use crate::subject::{NEW, OLD, Setup, Subject};

/// The handoff of all scripts.
pub const ID: HandoffId = HandoffId::from_bytes([7; 16]);

/// What a target does with its bytes; it panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("decode", decode),
    ("record", record),
    ("replay", replay),
    ("incumbent", incumbent),
    ("successor", successor),
    ("supervisor", supervisor),
];

/// An incumbent lives through a script whose first byte sets it up: whether the control path is bound,
/// whether it is on probation, and its versions.
pub fn incumbent(bytes: &[u8]) {
    let (choice, script) = split(bytes);
    let config = incumbent_config(choice);
    let setup = Setup {
        open: None,
        versions: config.versions,
        on_probation: config.on_probation,
        probation: false,
    };
    Subject::<Incumbent, 8>::new(config, &setup).live(script);
}

/// The configuration that this byte stands for.
pub fn incumbent_config(choice: u8) -> IncumbentConfig {
    let mut config = IncumbentConfig {
        bound: choice & 1 == 0,
        on_probation: choice & 2 == 2,
        versions: versions(choice >> 2),
        ..IncumbentConfig::default()
    };
    config.identity.pid = OLD.pid;
    config
}

/// A successor lives through a script whose first byte sets its versions.
pub fn successor(bytes: &[u8]) {
    let (choice, script) = split(bytes);
    let config = successor_config(choice);
    let setup = Setup {
        open: Some(Successor::CHANNEL),
        versions: config.versions,
        on_probation: false,
        probation: false,
    };
    Subject::<Successor, 1>::new(config, &setup).live(script);
}

/// The configuration that this byte stands for.
pub fn successor_config(choice: u8) -> SuccessorConfig {
    let mut config = SuccessorConfig {
        versions: versions(choice),
        ..SuccessorConfig::default()
    };
    config.identity.pid = NEW.pid;
    config
}

/// A supervisor lives through a script whose first byte sets its task, its versions and a probation.
pub fn supervisor(bytes: &[u8]) {
    let (choice, script) = split(bytes);
    let config = supervisor_config(choice);
    let setup = Setup {
        open: None,
        versions: config.versions,
        on_probation: false,
        probation: !config.probation.is_zero(),
    };
    Subject::<Supervisor, 2>::new(config, &setup).live(script);
}

/// The configuration that this byte stands for.
pub fn supervisor_config(choice: u8) -> SupervisorConfig {
    let entry = |stage| Entry {
        id: ID,
        stage,
        incumbent: OLD,
        successor: NEW,
    };
    let other = choice & 8 == 8;
    let task = match choice >> 1 & 3 {
        0 => Task::Handoff(ID),
        1 if other => Task::Ask(ID, Question::Status),
        1 => Task::Ask(ID, Question::Listeners),
        2 => Task::Recover(Some(entry(Stage::Begun))),
        _ => Task::Recover((!other).then_some(entry(Stage::Prepared))),
    };
    SupervisorConfig {
        kill_stuck_incumbent: choice & 1 == 1,
        versions: versions(choice >> 4),
        probation: Duration::from_secs(if choice & 0x40 == 0 { 0 } else { 20 }),
        retired: (choice & 0x80 == 0x80).then_some(OLD.pid),
        ..SupervisorConfig::new(task)
    }
}

fn versions(choice: u8) -> VersionRange {
    match choice & 3 {
        1 => VersionRange::V1,
        2 => VersionRange { min: 2, max: 2 },
        _ => VersionRange::SUPPORTED,
    }
}

fn split(bytes: &[u8]) -> (u8, &[u8]) {
    bytes
        .split_first()
        .map_or((0, bytes), |(first, rest)| (*first, rest))
}
