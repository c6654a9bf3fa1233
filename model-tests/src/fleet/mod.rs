//! What one supervisor costs with one service and with many, measured from outside: through its socket,
//! its history and `/proc`.
//!
//! | file | |
//! |---|---|
//! | `service` | a daemon that is as small as one can be |
//! | `household` | a supervisor in a directory of its own, with so many of them |
//! | `desk` | what it is asked on its socket |
//! | `client` | who asks a service all the time, and notices its pause |
//! | `cost` | what a process has used, and what it holds |
//! | `run` | everything that is measured at one size |
//! | `report` | what is shown |
//!
//! The program is its own supervisor and its own service, so that nothing else has to be built.

mod client;
mod cost;
mod desk;
mod household;
mod report;
mod run;
mod service;

pub use report::{Figures, Report, Way, Whole};
pub use run::{Plan, measure};
pub use service::{Place, serve};
