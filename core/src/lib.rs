//! Sans-IO state machines that replace the binary of a running stateful daemon: no refused
//! connection, no lost write, never two writers.
//!
//! A handoff has three parties: the *incumbent* serves, the *successor* takes over, the *supervisor*
//! drives. Each is a [`Machine`] here. A machine has no sockets, clocks, threads, files or heap: it
//! is told what happened, and says what is to be done. An adapter does it, and tells what came of it.
//! `handoff-std` is one; porting to another event loop means writing the loop below, which [`porting`] explains.
//!
//! Each link speaks version 1 or 2 of the protocol, the highest that its two ends have in common. Version
//! 2 adds a warm-up before anything is paused, a probation during which the incumbent can still come
//! back, listeners that outlive the supervisor, and a look at the daemon at any time. A [`Supervisor`]
//! says in its outcome what it had to do without ([`Shortfall`](supervisor::Shortfall)).
//!
//! From [`SuccessorOp::Serve`] on a successor's process is the incumbent, with two machines at once: the
//! [`SuccessorMachine`] waits for the end of the probation, an [`IncumbentMachine`] answers the control
//! path. What the first says at its end goes to the second as [`Input::Probation`].
//!
//! # The loop
//!
//! ```
//! # use std::collections::VecDeque;
//! # use handoff_core::op::{Completion, LockReport, OpId, OpenReport, Verdict};
//! # use handoff_core::wire::{encode, HandoffId, Message};
//! # use handoff_core::{Instant, LinkId, Successor, SuccessorConfig, SuccessorOp, SuccessorOutcome};
//! use handoff_core::{Action, Handles, Inline, Input, Machine, Misuse, Role, Step};
//!
//! # /// A host in memory: each operation succeeds at once, and the supervisor's words are there.
//! # struct Host { supervisor: Vec<u8>, happened: VecDeque<Happened> }
//! # enum Happened { Wrote(LinkId, usize), Ended(Completion<'static>) }
//! # trait Starts<R: Role<L>, const L: usize> { fn start(&mut self, op: R::Op); }
//! # impl Starts<Successor, 1> for Host {
//! #     fn start(&mut self, op: SuccessorOp) {
//! #         self.happened.push_back(Happened::Ended(match op {
//! #             SuccessorOp::StagePath(ticket) => ticket.done(()),
//! #             SuccessorOp::WarmUp(ticket) => ticket.done(()),
//! #             SuccessorOp::TryLock(ticket) => ticket.done(LockReport::Taken { generation: 2 }),
//! #             SuccessorOp::Open(ticket) => ticket.done(OpenReport {
//! #                 listening_on: Default::default(), healthy: true, revisions: Default::default(),
//! #             }),
//! #             SuccessorOp::PublishPath(ticket) => ticket.done(()),
//! #             SuccessorOp::Serve { ticket, .. } => ticket.done(()),
//! #         }));
//! #     }
//! # }
//! # impl Host {
//! #     fn write(&mut self, link: LinkId, bytes: &[u8], handles: Handles) {
//! #         assert!(handles.is_empty());
//! #         self.happened.push_back(Happened::Wrote(link, bytes.len()));
//! #     }
//! #     fn cancel(&mut self, _: OpId) {}
//! #     fn close(&mut self, _: LinkId) {}
//! #     fn took(&mut self, count: usize, _kept: bool) { self.supervisor.drain(..count); }
//! #     fn wait(&mut self, deadline: Option<Instant>) -> (Instant, Input<'_>) {
//! #         let link = Successor::CHANNEL;
//! #         let input = match self.happened.pop_front() {
//! #             Some(Happened::Wrote(link, count)) => Input::Wrote { link, count },
//! #             Some(Happened::Ended(done)) => Input::Completed(done),
//! #             None if self.supervisor.is_empty() => panic!("stuck until {deadline:?}"),
//! #             None => Input::Bytes { link, bytes: &self.supervisor, handles: Handles::NONE },
//! #         };
//! #         (Instant::default(), input)
//! #     }
//! # }
//! fn drive<R: Role<L>, const L: usize>(
//!     mut machine: Machine<R, Inline, L>,
//!     host: &mut Host,
//! ) -> Result<R::Outcome, Misuse>
//! # where Host: Starts<R, L>
//! {
//!     let (mut now, mut input) = (Instant::default(), Input::Start);
//!     loop {
//!         let mut turn = machine.handle(now, input)?;
//!         // The rest of the bytes comes with the next input, and so do descriptors until all are taken.
//!         host.took(turn.consumed(), turn.kept());
//!         let deadline = loop {
//!             match turn.next() {
//!                 Step::Do(Action::Send { link, bytes, handles }) => host.write(link, bytes, handles),
//!                 Step::Do(Action::Start(op)) => host.start(op),
//!                 Step::Do(Action::Cancel(op)) => host.cancel(op),
//!                 Step::Do(Action::Close { link }) => host.close(link),
//!                 Step::Do(Action::Observe(what)) => println!("{what:?}"),
//!                 Step::Wait(wait) => break wait.deadline,
//!                 Step::Done(outcome) => return Ok(outcome),
//!             }
//!         };
//!         (now, input) = host.wait(deadline);
//!     }
//! }
//! # let (id, mut supervisor) = (HandoffId::from_bytes([1; 16]), Vec::new());
//! # for message in [Message::HelloAck { version: 2, id }, Message::Begin { id }, Message::Commit { id }] {
//! #     let mut room = [0; 64];
//! #     let len = encode(2, &message, &mut room)?;
//! #     supervisor.extend(&room[..len]);
//! # }
//! # let mut host = Host { supervisor, happened: VecDeque::new() };
//! # let machine = Machine::<Successor, Inline, 1>::new(SuccessorConfig::default());
//! # let outcome = drive(machine, &mut host)?;
//! # let verdict = Verdict::Committed;
//! # assert_eq!(outcome, SuccessorOutcome::Serving { generation: 2, published: true, verdict });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The rules
//!
//! 1. **One input, one drained turn.** A [`Turn`] borrows the machine, so the next input cannot be
//!    given before it is done with; a turn that was dropped half-way is [`Misuse`]. Only its last step
//!    says how long to wait.
//! 2. **What depends on a confirmation is emitted after the confirmation.** SealComplete goes out when
//!    the release of the lock was *reported*, not when it was asked for. So actions need no order: run
//!    them one by one or side by side, and report them as they end.
//! 3. **Operations are tickets.** A [`Ticket`](op::Ticket) fits one operation, type-checks its report
//!    and can be used once. A cancelled operation still reports its end; a dropped ticket becomes a
//!    timeout, not a hang; a report that comes too late is absorbed.
//! 4. **Every wait has a name.** [`Wait`] says until when, and what for. After
//!    [`Deadline`](Input::Deadline) the next deadline is later than now, or there is none: sleeping
//!    exactly until the deadline never spins.
//! 5. **Bytes before timeouts.** Hand in `Deadline` only after every link was read until nothing was
//!    left. A reply that has arrived counts, however late it is looked at.
//! 6. **Memory is bounded.** A link has the room that its [`Storage`] gives it, a turn takes one frame
//!    and has at most [`MAX_ACTIONS_PER_TURN`] actions, and nothing is allocated.
//! 7. **Descriptors are numbers.** Those that a read brought go in with its bytes as [`Handles`], again and
//!    again until the last of the bytes is taken. Then [`Turn::kept`] says whether to keep them until an
//!    operation takes them or the link closes, or to close them now. Those of a [`Send`](Action::Send) go
//!    in the same call as its first byte.
//!
//! # When something goes wrong
//!
//! There are four kinds of failure, and they never mix:
//!
//! - The caller breaks a rule: [`Misuse`] is returned, and the machine is as it was.
//! - The peer breaks the protocol, or goes away: its link ends, which is observed as a [`Loss`] (a
//!   [`Violation`] is one). What is still owed to it is sent; the handoff goes on as the crash rules say.
//! - The host fails: [`ticket.failed(why)`](op::Ticket::failed) reports it, and the machine has a way to
//!   go on from there. A hook that panicked has failed.
//! - We have a bug: a machine does not panic for it. Debug builds assert what release builds tolerate; an
//!   operation whose end is never reported runs into its time limit; and an incumbent that does not know
//!   what holds asks the lock.
//!
//! # Where things are
//!
//! | | |
//! |---|---|
//! | [`incumbent`], [`successor`], [`supervisor`] | a role each: its words, its transition table, its configuration, operations and outcomes |
//! | [`Machine`], [`Input`], [`Turn`], [`Step`], [`Action`] | the endpoint: a role joined with the wire and the memory of its links |
//! | [`op`] | operations, tickets and reports |
//! | [`Handles`] | descriptors beside a message |
//! | [`wire`] | frames and messages |
//! | [`journal`] | what a restarted supervisor has to know |
//! | [`record`] | what happened to a machine and what it did, as bytes, to be replayed |
//! | [`table`] | transition tables as data; `TABLES.md` shows them all, `DIAGRAMS.md` whole handoffs |
//! | [`text`] | a text of bounded size |
//! | [`protocol`] | the protocol, in full: promises, wire, crash rules `C1` to `C11` |
//! | [`porting`] | a loop of one's own: the steps, the actions, the operations, and how to test it |
//! | [`architecture`] | the map of the project, and why it is built this way |
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod cause;
mod handles;
mod identity;
pub mod incumbent;
pub mod journal;
mod link;
mod machine;
pub mod op;
pub mod record;
pub mod successor;
pub mod supervisor;
pub mod table;
pub mod text;
mod time;
mod violation;
pub mod wire;

pub use cause::{Cause, Reason};
pub use handles::Handles;
pub use identity::Identity;
pub use incumbent::{
    Incumbent, IncumbentConfig, IncumbentMachine, IncumbentOp, IncumbentOutcome, IncumbentState,
};
pub use link::{Inline, LinkId, MIN_ROOM, Storage};
pub use machine::{
    Action, Event, Input, Loss, MAX_ACTIONS_PER_TURN, MAX_LINKS, Machine, Misuse, Observation, Out,
    Party, Role, Room, Step, Turn, Wait,
};
pub use successor::{
    Successor, SuccessorConfig, SuccessorMachine, SuccessorOp, SuccessorOutcome, SuccessorState,
};
pub use supervisor::{
    Supervisor, SupervisorConfig, SupervisorMachine, SupervisorOp, SupervisorOutcome,
    SupervisorState, Task,
};
pub use time::Instant;
pub use violation::Violation;

#[doc = include_str!("../PROTOCOL.md")]
#[allow(clippy::doc_markdown, reason = "a document of its own")]
pub mod protocol {}

#[doc = include_str!("../ARCHITECTURE.md")]
#[allow(clippy::doc_markdown, reason = "a document of its own")]
pub mod architecture {}

#[doc = include_str!("../PORTING.md")]
#[allow(clippy::doc_markdown, reason = "a document of its own")]
pub mod porting {}
