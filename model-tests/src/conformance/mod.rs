//! A conformance kit: whether an adapter does with real sockets, files and processes what the protocol asks.
//!
//! An author implements [`Adapter`], three calls, and has a test target without a harness:
//!
//! ```toml
//! [dev-dependencies]
//! handoff-model-tests = { git = "…" }
//!
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```no_run
//! use handoff_model_tests::conformance::Ported;
//! use handoff_model_tests::ports::poll::Poll; // or yours
//!
//! fn main() -> std::process::ExitCode {
//!     handoff_model_tests::conformance::main(&[&Ported("mine", Poll)])
//! }
//! ```
//!
//! `cargo test --test conformance` then plays every [`Scenario`], each with processes of its own. The words after
//! `--` choose: those scenarios are played whose `adapter/scenario` contains one of them.
//!
//! # How a scenario is played
//!
//! One role, the *subject*, is the adapter's, in a process of its own: the test binary, started again, which calls
//! the adapter before it does anything else. The others are played by the kit, which speaks on real sockets, holds
//! the lock or lets it go, and answers the daemon's hooks ([`Daemon`]), one step after the other ([`Stage`]). Where
//! a process is needed that can die, a *stand-in* is started, which gives its descriptors to the kit.
//!
//! What the subject is seen to do is written down, a line a step, and must be what `model-tests/conformance` says
//! ([`trace`]); so all adapters do the same. No step waits for a time to pass: the next step is taken when the last
//! one has been seen. Timers are those of the defaults, but for the one that a scenario is about. Heartbeats are left
//! out, and so are numbers and words that an adapter is free to choose.
//!
//! After a change that is meant: `HANDOFF_BLESS=1 cargo test -p handoff-model-tests --test conformance`

mod cast;
mod daemon;
mod log;
mod part;
mod peer;
mod ported;
pub mod recordings;
mod run;
mod scenarios;
mod stage;
pub mod trace;

use std::path::PathBuf;

use handoff_core::{Cause, IncumbentConfig, IncumbentOutcome};
use handoff_core::{SuccessorConfig, SupervisorConfig, SupervisorOutcome};
use handoff_std::host::supervise::Household;
use handoff_std::{Recordings, SpawnSpec};

pub use cast::{Answer, Called, StandIn};
pub use daemon::Daemon;
pub use log::Stopped;
pub use peer::Peer;
pub use ported::{Hooks, Ported};
pub use run::main;
pub use scenarios::{Play, SCENARIOS, Scenario, Subject};
pub use stage::Stage;

/// What the kit can play with: each call runs one role to its end, on the thread that calls.
///
/// It is called first of all in a process of its own, with one thread and an environment that nobody has looked at:
/// listeners and the channel of a successor are found there, as in any process that a supervisor starts.
pub trait Adapter: Sync {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Be a daemon that was started afresh: take the lock and the control path, and serve until it is to leave.
    fn incumbent(&self, post: Post) -> IncumbentOutcome;

    /// Be a successor, and then the incumbent. `Err` says why it does not take over, or was sent away.
    ///
    /// # Errors
    /// What its machine failed with.
    fn successor(&self, post: Post) -> Result<IncumbentOutcome, Box<Cause>>;

    /// Carry out one task of a supervisor.
    fn supervisor(&self, post: SupervisorPost) -> SupervisorOutcome;
}

/// The place of a daemon.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its control path.
    pub control: PathBuf,
    /// Its data directory, where the writer lock is.
    pub data_dir: PathBuf,
    /// Its hooks.
    pub daemon: Daemon,
    /// How an incumbent is to be set up; its identity, `bound`, `generation` and `on_probation` are the adapter's to
    /// fill in.
    pub incumbent: IncumbentConfig,
    /// How a successor is to be set up; its identity is the adapter's to fill in.
    pub successor: SuccessorConfig,
    /// Where to record what its machines are told, if that is wanted and the adapter can.
    pub recordings: Option<Recordings>,
}

/// The place of a supervisor.
#[derive(Debug, Clone)]
pub struct SupervisorPost {
    /// The daemon that it looks after.
    pub home: Household,
    /// What is started as the successor.
    pub successor: SpawnSpec,
    /// How it is to be set up, and what for: a handoff, whose id the adapter may choose, or a recovery, which is to
    /// go by the journal of `home`.
    pub config: SupervisorConfig,
    /// Where to record what its machine is told, if that is wanted and the adapter can.
    pub recordings: Option<Recordings>,
}

/// The times of all roles; a scenario shortens the one that it is about.
#[derive(Debug, Clone)]
pub struct Times {
    /// Those of an incumbent.
    pub incumbent: IncumbentConfig,
    /// Those of a successor.
    pub successor: SuccessorConfig,
    /// Those of a supervisor, and its task.
    pub supervisor: SupervisorConfig,
}
