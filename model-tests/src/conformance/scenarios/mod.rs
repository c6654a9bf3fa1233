//! What is played: one role is the adapter's, the others are scripts.

macro_rules! scenarios {
    ($subject:expr; $($name:literal $about:literal $times:expr => $play:path;)*) => {
        pub(super) const ALL: &[Scenario] = &[$(Scenario {
            name: $name,
            about: $about,
            subject: $subject,
            times: $times,
            play: $play,
            expected: include_str!(concat!("../../../conformance/", $name, ".txt")),
        },)*];
    };
}

mod incumbent;
mod successor;
mod supervisor;

use std::time::Duration;

use handoff_core::wire::{HandoffId, Message, StatusPhase};

use super::Peer;
use super::Times;
use super::cast::Answer::Well;
use super::{Stage, Stopped};

/// The script of a scenario.
pub type Play = fn(&mut Stage) -> Result<(), Stopped>;

/// Which role is the adapter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A daemon that was started afresh.
    Incumbent,
    /// A successor.
    Successor,
    /// A supervisor.
    Supervisor,
}

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// The rule or section of `PROTOCOL.md` that it is about, and what is to happen.
    pub about: &'static str,
    /// Which role is the adapter's.
    pub subject: Subject,
    /// Changes the times that it is about.
    pub times: fn(&mut Times),
    /// The script.
    pub play: Play,
    /// What is to be seen; part of the binary, so that a port of another repository has it.
    pub expected: &'static str,
}

/// All of them.
pub const SCENARIOS: &[&[Scenario]] = &[incumbent::ALL, successor::ALL, supervisor::ALL];

pub(super) fn all() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().copied().flatten()
}

/// The times as they are.
const fn usual(_: &mut Times) {}

/// The handoff that the kit, as the supervisor, performs.
const ID: HandoffId = HandoffId::from_random([7; 16]);
/// Another one.
const OTHER: HandoffId = HandoffId::from_random([9; 16]);

const PREPARE: Message<'static> = Message::PrepareHandoff {
    id: ID,
    successor_pid: 1,
    deadline_ms: 60_000,
    drain_grace_ms: 60_000,
};
const SEAL: Message<'static> = Message::SealRequest { id: ID };
const COMMIT: Message<'static> = Message::Commit { id: ID };
const ABORT: Message<'static> = Message::Abort {
    id: ID,
    reason: "as the kit wants it",
};
const UNDO: Message<'static> = Message::ResumeAfterAbort { id: ID };
const BEGIN: Message<'static> = Message::Begin { id: ID };
const BEAT: Message<'static> = Message::Heartbeat { ts_ms: 1 };

/// A timer that is to fire.
const SHORT: Duration = Duration::from_millis(100);

type Script = Result<(), Stopped>;

/// A supervisor has connected, and is known.
fn known(stage: &mut Stage, us: &'static str, version: u16) -> Result<Peer, Stopped> {
    let mut supervisor = stage.connect(us, "O")?;
    supervisor.greets(version, ID)?;
    Ok(supervisor)
}

fn drained(stage: &mut Stage, supervisor: &mut Peer) -> Script {
    supervisor.says(&PREPARE)?;
    stage.hook(Well)?;
    supervisor.hears()
}

fn sealed(stage: &mut Stage, supervisor: &mut Peer) -> Script {
    drained(stage, supervisor)?;
    stage.lock()?;
    supervisor.says(&SEAL)?;
    stage.hook(Well)?;
    supervisor.hears()?;
    stage.lock()
}

/// A whole handoff by another supervisor; the incumbent is as good as new.
fn handed_over(stage: &mut Stage) -> Script {
    stage.is(StatusPhase::Serving)?;
    let mut supervisor = known(stage, "T", 2)?;
    sealed(stage, &mut supervisor)?;
    supervisor.says(&COMMIT)?;
    supervisor.closes()?;
    stage.leaves()
}
