//! Hand a running daemon over to a new binary, on blocking sockets and threads.
//!
//! | you write | with |
//! |---|---|
//! | a daemon that can be replaced | [`detect_role`], [`Incumbent`], [`Successor`] and the hooks of [`Drainable`] |
//! | something that replaces it | [`Supervisor`], [`SpawnSpec`], [`HandoffSpec`] |
//! | something that looks at it | [`ask`] |
//! | an adapter for another event loop | [`host`], the Unix layer, and [`handoff_core`] itself |
//!
//! On a daemon's side there are two threads: the control loop (the thread that calls
//! [`Incumbent::serve`], or one of the library's own while it is a successor or on probation), and one
//! for hooks. A hook that never comes back keeps its thread, and the next one gets another. Whoever
//! asks for the daemon's status has a third one started.
//! The control loop goes on reading while hooks run, so heartbeats go out, and an abort or a lost
//! session is acted on at once (`C1`, `C2`). While it waits, the thread whose hook has ended goes on with
//! the handoff itself, so that none has to be woken for it in the pause.
//!
//! A daemon's `main` has two ways in and one way out:
//!
//! ```text
//! detect_role ─┬─ ColdStart ── DataDirLock::acquire ── Incumbent::bind ── open the data ─┐
//!              │                                                                         ├─ Incumbent::serve ── exit
//!              └─ Successor ── handshake ── warm up ── stand_by ── wait_for_begin ── open the data ── announce ──┘
//! ```
//!
//! What it promises is in [`handoff_core::protocol`]. A whole daemon in a page is
//! `examples/counter.rs`; it stands in the README as well.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod ask;
mod driver;
mod hook_thread;
pub mod hooks;
pub mod host;
mod incumbent;
mod role;
mod successor;
mod supervisor;

pub use handoff_core as core;
pub use hooks::{DrainReport, Drainable, HookContext, HookError, Progress, SealReport, Snapshot};
pub use host::engine::ServerRoom;
pub use host::supervise::{
    HandoffSpec, HealthCheck, Report, RollbackHandle, SupervisorError, SupervisorEvent,
};
pub use host::{
    Child, DataDirLock, InheritedListeners, LockError, Process, Recordings, SpawnError, SpawnSpec,
    Spawned,
};
pub use incumbent::{
    BindError, Incumbent, IncumbentEvent, IncumbentHandle, Retirement, SESSIONS, ServeError,
};
pub use role::{Role, detect_role};
pub use successor::{
    Begun, Readiness, StandingBy, Successor, SuccessorError, SuccessorSetup, Warming,
};
pub use supervisor::Supervisor;
