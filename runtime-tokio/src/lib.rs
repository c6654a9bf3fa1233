//! Hand a running daemon over to a new binary, as futures on a tokio runtime of yours.

mod driver;
pub mod hooks;
mod incumbent;
mod listeners;
mod role;
mod seat;
mod successor;
mod task;

pub use handoff_core as core;
pub use handoff_std::host::{
    DataDirLock, InheritError, InheritedListeners, LockError, Process, SpawnError, SpawnSpec,
    Spawned,
};
pub use handoff_std::{
    BindError, DrainReport, HookError, IncumbentEvent, Progress, Readiness, Retirement, SESSIONS,
    SealReport, ServeError, Snapshot, SuccessorError, SuccessorSetup,
};
pub use hooks::{Drainable, HookContext, blocking};
pub use incumbent::{Incumbent, IncumbentHandle, acquire_lock};
pub use listeners::{nonblocking, tcp_listener, unix_listener};
pub use role::{Role, detect_role};
pub use successor::{Begun, StandingBy, Successor, Warming};

#[cfg(test)]
mod tests;
