//! What the fuzz targets check, as ordinary functions: a target hands one its bytes, and so does the
//! test that goes through the corpus.

mod codec;
mod host;
mod script;
mod subject;

use handoff_core::journal::{Entry, Stage};
use handoff_core::wire::HandoffId;
use handoff_core::{
    Incumbent, IncumbentConfig, Successor, SuccessorConfig, Supervisor, SupervisorConfig, Task,
};

pub use crate::codec::{decode, record};
pub use crate::script::{Happening, happenings};
use crate::subject::{NEW, OLD, Subject};

/// The handoff of all scripts.
pub const ID: HandoffId = HandoffId::from_bytes([7; 16]);

/// What a target does with its bytes; it panics when something does not hold.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("decode", decode),
    ("record", record),
    ("incumbent", incumbent),
    ("successor", successor),
    ("supervisor", supervisor),
];

/// An incumbent lives through a script whose first byte sets it up.
pub fn incumbent(bytes: &[u8]) {
    let (choice, script) = split(bytes);
    let mut config = IncumbentConfig {
        bound: choice & 1 == 0,
        ..IncumbentConfig::default()
    };
    config.identity.pid = OLD.pid;
    Subject::<Incumbent, 8>::new(config, &[]).live(script);
}

/// A successor lives through a script whose first byte is ignored.
pub fn successor(bytes: &[u8]) {
    let (_, script) = split(bytes);
    let mut config = SuccessorConfig::default();
    config.identity.pid = NEW.pid;
    Subject::<Successor, 1>::new(config, &[Successor::CHANNEL]).live(script);
}

/// A supervisor lives through a script whose first byte sets its task.
pub fn supervisor(bytes: &[u8]) {
    let (choice, script) = split(bytes);
    let entry = |stage| Entry {
        id: ID,
        stage,
        incumbent: OLD,
        successor: NEW,
    };
    let task = match choice >> 1 & 3 {
        0 | 1 => Task::Handoff(ID),
        2 => Task::Recover(Some(entry(Stage::Begun))),
        _ => Task::Recover((choice & 8 == 0).then_some(entry(Stage::Prepared))),
    };
    let config = SupervisorConfig {
        kill_stuck_incumbent: choice & 1 == 1,
        ..SupervisorConfig::new(task)
    };
    Subject::<Supervisor, 2>::new(config, &[]).live(script);
}

fn split(bytes: &[u8]) -> (u8, &[u8]) {
    bytes
        .split_first()
        .map_or((0, bytes), |(first, rest)| (*first, rest))
}
