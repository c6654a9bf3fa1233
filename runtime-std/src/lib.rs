//! Blocking adapter for [`handoff_core`].

mod driver;
mod hook_thread;
pub mod hooks;
pub mod host;
mod identity;
mod incumbent;
mod lock_keeper;
mod role;
mod room;
mod successor;
mod supervisor;

pub use handoff_core as core;
pub use hooks::{DrainReport, Drainable, HookContext, HookError, Progress, SealReport, Snapshot};
pub use host::{
    DataDirLock, InheritedListeners, LockError, Process, SpawnError, SpawnSpec, Spawned,
};
pub use incumbent::{
    BindError, Incumbent, IncumbentEvent, IncumbentHandle, Retirement, SESSIONS, ServeError,
};
pub use role::{Role, detect_role};
pub use room::ServerRoom;
pub use successor::{Begun, Readiness, Standing, Successor, SuccessorError, SuccessorSetup};
pub use supervisor::{HandoffSpec, Report, Supervisor, SupervisorError, SupervisorEvent};
