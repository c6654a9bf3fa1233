//! Hand a running daemon over to a new binary, as futures on a tokio runtime of yours.

pub mod ask;
mod driver;
pub mod hooks;
mod incumbent;
mod listeners;
mod role;
mod seat;
mod successor;
mod supervisor;
mod task;

pub use handoff_core as core;
pub use handoff_std::host::{
    DataDirLock, InheritError, InheritedListeners, LockError, Process, SpawnError, SpawnSpec,
    Spawned,
};
pub use handoff_std::{
    BindError, DrainReport, HandoffSpec, HealthCheck, HookError, IncumbentEvent, Progress,
    Readiness, Report, Retirement, RollbackHandle, SESSIONS, SealReport, ServeError, Snapshot,
    SuccessorError, SuccessorSetup, SupervisorError, SupervisorEvent,
};
pub use hooks::{Drainable, HookContext, blocking};
pub use incumbent::{Incumbent, IncumbentHandle, acquire_lock};
pub use listeners::{nonblocking, tcp_listener, unix_listener};
pub use role::{Role, detect_role};
pub use successor::{Begun, StandingBy, Successor, Warming};
pub use supervisor::{Supervisor, wait};

#[cfg(test)]
mod tests;
