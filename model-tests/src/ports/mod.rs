//! Two complete ports, each a loop of its own around the machines of `handoff-core`, in under 200 lines of code:
//! [`poll`] waits with poll(2) and has a thread for each hook, [`polling`] is on the selector of the smol
//! ecosystem and has one pool for hooks and slow operations.
//!
//! They are what `core/PORTING.md` says, and made to be copied. What an operation *does* they have from
//! [`handoff_std::host`]; the loops share nothing with its engine. The conformance kit plays both.

pub mod poll;
