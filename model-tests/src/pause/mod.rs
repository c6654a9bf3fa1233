//! How long writes stall in a handoff: the same daemon on our adapters and on the published crate of
//! version 1, under the same load, in turn. `BENCHMARKS.md` shows what came of it.
//!
//! | file | what it holds |
//! |---|---|
//! | `store`, `server`, `daemon` | the daemon, but for its library |
//! | `on_v1`, `on_std`, `on_tokio`, `on_mio` | the libraries |
//! | `load` | clients |
//! | `span` | times that processes share |
//! | `round` | one handoff, and what is read from it |
//! | `series` | many, plain, slowed down or traced |
//! | `trace` | the system calls of a pause |
//! | `report`, `chart` | what is shown |
//!
//! The program is its own supervisor and its own daemon, so that nothing else has to be built.

mod awake;
mod chart;
mod daemon;
mod load;
mod on_mio;
mod on_std;
mod on_tokio;
mod on_v1;
mod report;
mod round;
mod series;
mod server;
mod span;
mod store;
mod trace;

use clap::ValueEnum;
use serde::Serialize;

pub use chart::draw;
pub use load::Trouble;
pub use report::{Figures, Report, Scenario, Setting, Spread};
pub use round::{Part, Round, be_daemon, play};
pub use series::{Conditions, Series, has_real_time, has_strace};
pub use trace::{Calls, Frame};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// The published crate `beyond-handoff` 0.1.
    V1,
    /// `handoff-std`.
    Std,
    /// `handoff-tokio`.
    Tokio,
    /// `handoff-mio`.
    Mio,
}

impl Contender {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 4] = [Self::V1, Self::Std, Self::Tokio, Self::Mio];

    /// As the command line and the report say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Std => "std",
            Self::Tokio => "tokio",
            Self::Mio => "mio",
        }
    }
}
