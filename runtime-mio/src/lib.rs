//! Hand a running daemon over to a new binary, on a mio `Poll` of yours: one thread, and none of its
//! own.
//!
//! | you write | with |
//! |---|---|
//! | a daemon that can be replaced | [`detect_role`], [`Incumbent`], [`Successor`], and [`Request`]s that you answer |
//! | something that replaces it | [`Supervisor`], [`SpawnSpec`], [`HandoffSpec`], [`Daemon`] |
//!
//! The same nouns as in `handoff-std`, over the same core and the same wire: either side of a handoff
//! may be built with either. [`Incumbent`], [`Succession`] and [`Supervisor`] are sources of your
//! `Registry`, each under a token that you give. All of them are served alike, in every turn of your
//! loop:
//!
//! ```text
//! timeout() ──→ Poll::poll ──→ ready(event) ──→ turn(), until it has no more ──→ your own work
//!     ↑                                           │ Request, Step, Report           │ done, failed,
//!     └───────────────────────────────────────────┴─────────────────────────────────┘ progress
//! ```
//!
//! What comes out of `turn` is a value that is the daemon's to keep: a drain or a seal may take many
//! turns, and the loop goes on with heartbeats, aborts and status questions meanwhile. Its answer goes
//! in by a method of its own, from any thread, and wakes the poll.
//!
//! `examples/kv` is a whole daemon to copy: a key-value store with kept connections. Here is one
//! without a service:
//!
//! ```
//! use handoff_mio::{
//!     DataDirLock, DrainReport, Incumbent, Readiness, Request, Retirement, Role, SealReport,
//!     Snapshot, Step, Successor, SuccessorSetup, detect_role,
//! };
//! use mio::{Events, Interest, Poll, Token};
//! use std::io::{self, ErrorKind};
//! use std::{error::Error, path::Path, time::Duration};
//!
//! const HANDOFF: Token = Token(0);
//!
//! fn wait(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
//!     match poll.poll(events, timeout) {
//!         Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
//!         _ => Ok(()), // a signal was caught, and nothing was found
//!     }
//! }
//!
//! fn start(poll: &Poll, control: &Path, data: &Path) -> Result<Incumbent, Box<dyn Error>> {
//!     let mut incumbent = Incumbent::bind(control, DataDirLock::acquire(data)?)?;
//!     poll.registry().register(&mut incumbent, HANDOFF, Interest::READABLE)?;
//!     Ok(incumbent) // and open the data
//! }
//!
//! fn take_over(
//!     poll: &mut Poll,
//!     successor: Successor,
//!     setup: SuccessorSetup,
//! ) -> Result<Incumbent, Box<dyn Error>> {
//!     let mut succession = successor.handshake(setup)?;
//!     poll.registry().register(&mut succession, HANDOFF, Interest::READABLE)?;
//!     let mut events = Events::with_capacity(16);
//!     loop {
//!         while let Some(step) = succession.turn()? {
//!             match step {
//!                 Step::WarmUp(warming) => warming.stand_by(), // what needs neither lock nor data
//!                 Step::Open(begun) => begun.announce(Readiness::healthy()), // open the data
//!                 Step::Serve(serving) => return Ok(succession.into_incumbent(serving)),
//!             }
//!         }
//!         wait(poll, &mut events, succession.timeout())?;
//!         for event in &events {
//!             succession.ready(event);
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let role = detect_role()?; // first of all
//!     # let dir = tempfile::tempdir()?;
//!     # let (control, data) = (dir.path().join("control"), dir.path());
//!     let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(128));
//!     let mut incumbent = match role {
//!         Role::ColdStart(_) => start(&poll, &control, data)?,
//!         Role::Successor(successor) => {
//!             take_over(&mut poll, successor, SuccessorSetup::new(&control, data))?
//!         }
//!     };
//!     loop {
//!         while let Some(request) = incumbent.turn()? {
//!             match request {
//!                 Request::Drain(drain) => drain.done(DrainReport::CLEAN), // or keep it, and answer later
//!                 Request::Seal(seal) => seal.done(SealReport::default()),
//!                 Request::Resume(resume) => resume.done(),
//!                 Request::Committed(committed) => committed.done(),
//!                 Request::Snapshot(asked) => asked.done(Snapshot::default()),
//!                 Request::Retire(retirement) => {
//!                     assert_eq!(retirement, Retirement::Stopped);
//!                     return Ok(());
//!                 }
//!             }
//!         }
//!         # incumbent.stop();
//!         wait(&mut poll, &mut events, incumbent.timeout())?;
//!         for event in &events {
//!             if !incumbent.ready(event) {
//!                 // one of your own
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! # What it does, and does not
//!
//! - **No thread, no signal handler, no wait.** A turn makes system calls that do not wait: on Unix
//!   sockets that do not block, on the lock file and the control path, on the journal. The longest is
//!   [`Supervisor`]'s start of a process, which returns when the new program runs. A process that is
//!   killed, or on probation, is watched through its pidfd; where the system has none, it is asked for ten
//!   times a second.
//! - **Your work is the loop's.** While a step of yours holds the loop no heartbeat is sent, and after 10
//!   seconds without one the supervisor takes the daemon for dead. So do what takes longer in pieces, or on
//!   a thread of yours that gives the answer.
//! - **One token each.** Sessions and children come and go, so each source has an epoll instance of its
//!   own (a kqueue, elsewhere) in which they are, and that is what your `Registry` is given. It can be
//!   registered anew, with the same `Registry` or another, at any time.
//! - **Edge-triggered.** Readiness is remembered until there is nothing more to be read or accepted, a
//!   false alarm costs one system call, and a turn does a bounded piece of work. If something is left,
//!   `timeout` is zero, so a loop that asks for it in each turn forgets nothing. So call `turn` in every
//!   turn of your loop, not only after an event: without anything to do it makes no system call. Hand
//!   every event to `ready`: one that is thrown away is not seen before the next, or the next deadline.
//! - **No wake-up for nothing.** While nothing is under way `timeout` is `None`. During a handoff the
//!   loop is woken for what the supervisor says, for heartbeats (every 2 seconds each way) and for
//!   deadlines.
//! - **Interrupted.** `Poll::poll` fails with `Interrupted` when a signal is caught; go on then, as after
//!   a poll that found nothing.
//!
//! A question to another daemon, how it is or for its listeners, is `handoff_std::ask`; it blocks, and is
//! for a supervisor that starts, before its loop.
//!
//! What it promises is in [`handoff_core::protocol`].

mod answers;
mod daemon;
mod driver;
mod hub;
mod incumbent;
mod request;
mod role;
mod successor;
mod supervisor;

pub use daemon::Daemon;
pub use handoff_core as core;
pub use handoff_std::host::{
    Child, DataDirLock, InheritError, InheritedListeners, LockError, Process, Recordings,
    SpawnError, SpawnSpec, Spawned,
};
pub use handoff_std::{
    BindError, DrainReport, HandoffSpec, HealthCheck, IncumbentEvent, Progress, Readiness, Report,
    Retirement, RollbackHandle, SESSIONS, SealReport, ServeError, Snapshot, SuccessorError,
    SuccessorSetup, SupervisorError, SupervisorEvent,
};
pub use incumbent::Incumbent;
pub use request::{Committed, Drain, Hook, Request, Resume, Seal};
pub use role::{Role, detect_role};
pub use successor::{Begun, Serving, Step, Succession, Successor, Warming};
pub use supervisor::Supervisor;

#[cfg(test)]
mod tests;
