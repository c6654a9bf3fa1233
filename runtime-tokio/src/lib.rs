//! Hand a running daemon over to a new binary, as futures on a tokio runtime of yours.
//!
//! | you write | with |
//! |---|---|
//! | a daemon that can be replaced | [`detect_role`], [`Incumbent`], [`Successor`] and the hooks of [`Drainable`] |
//! | something that replaces it | [`Supervisor`], [`SpawnSpec`], [`HandoffSpec`] |
//! | something that looks at it | [`ask`] |
//!
//! The same nouns as in `handoff-std`, over the same core and the same wire: either side of a handoff
//! may be built with either. A daemon's `main` has two ways in and one way out:
//!
//! ```text
//! detect_role ─┬─ ColdStart ── acquire_lock ── Incumbent::bind ── open the data ─────────┐
//!              │                                                                         ├─ Incumbent::serve ── exit
//!              └─ Successor ── handshake ── warm up ── stand_by ── wait_for_begin ── open the data ── announce ──┘
//! ```
//!
//! `examples/http` is a whole service to copy: HTTP with kept connections, of which no request fails;
//! `examples/http_pause` measures what its clients notice of a handoff.
//! Here is a daemon without a service:
//!
//! ```
//! use std::path::Path;
//! use handoff_tokio::{
//!     DrainReport, Drainable, HookContext, HookError, Incumbent, Readiness, Retirement, Role,
//!     SealReport, SuccessorSetup, acquire_lock, ask, detect_role,
//! };
//!
//! struct Daemon;
//!
//! impl Drainable for Daemon {
//!     async fn drain(&self, _: &HookContext) -> Result<DrainReport, HookError> {
//!         Ok(DrainReport::CLEAN) // stop accepting, finish what is in flight
//!     }
//!
//!     async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
//!         Ok(SealReport::default()) // flush and close the data
//!     }
//!
//!     async fn resume(&self) -> Result<(), HookError> {
//!         Ok(()) // open it again, and accept
//!     }
//! }
//!
//! async fn start(role: Role, control: &Path, data: &Path) -> Result<Incumbent, HookError> {
//!     Ok(match role {
//!         Role::ColdStart(_) => Incumbent::bind(control, acquire_lock(data).await?).await?,
//!         Role::Successor(successor) => {
//!             let warming = successor.handshake(SuccessorSetup::new(control, data)).await?;
//!             let begun = warming.stand_by()?.wait_for_begin().await?;
//!             begun.announce(Readiness::healthy()).await? // when the data is open
//!         }
//!     })
//! }
//!
//! fn main() -> Result<(), HookError> {
//!     let role = detect_role()?; // first of all, while there is one thread
//!     # let dir = tempfile::tempdir()?;
//!     # let (control, data) = (dir.path().join("control"), dir.path());
//!     tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//!         let incumbent = start(role, &control, data).await?;
//!         let handle = incumbent.handle();
//!         let serving = tokio::spawn(incumbent.serve(Daemon));
//!         println!("{:?}", ask::status(&control).await?);
//!         handle.stop(); // not handed over, but stopped for good
//!         assert_eq!(serving.await??, Retirement::Stopped);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # What runs where
//!
//! Everything runs on the runtime that polls it, of either flavour, with I/O and time enabled; none is
//! started here. The control loop is the future itself ([`Incumbent::serve`],
//! [`Supervisor::handoff`]), or one task beside it while a process is a successor or on probation.
//! Hooks are tasks of their own, so the loop goes on reading while they run: heartbeats go out, and an
//! abort or a lost session is acted on at once (`C1`, `C2`).
//!
//! What may wait for a disk or a process (the lock, the control path, the journal, starting and
//! killing) is done on the runtime's blocking threads. Leave it one: if all of them are taken for
//! longer than the `host_limit` of 30 seconds, a handoff is given up, and an incumbent that cannot
//! give the lock back for twice that time leaves (`ServeError::CannotServe`). The exception is a
//! successor between Begin and serving, when clients wait and it has nothing else to do: it takes the
//! lock and renames the control path in place, a dozen short system calls.
//!
//! Done in place are also system calls that never wait: accept, receive, send and connect on
//! non-blocking Unix sockets, duplicating descriptors, and looking a process up in `/proc`. So is, when
//! an [`Incumbent`] is dropped, the removal of its control path.
//!
//! # Dropping
//!
//! Any future and any step may be dropped at any time, and leaves no task, process or socket file
//! behind. **The writer lock is the exception**: a process that may still write keeps it until it has
//! sealed or ended. What a drop means is with each of them: [`Incumbent`], [`Warming`], [`Begun`],
//! [`Supervisor`].
//!
//! What it promises is in [`handoff_core::protocol`].

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
    Child, DataDirLock, InheritError, InheritedListeners, LockError, Process, Recordings,
    SpawnError, SpawnSpec, Spawned,
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
