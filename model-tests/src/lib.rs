//! The handoff state machines in a simulated operating system, explored exhaustively.
//!
//! [`world`] runs the real machines of `handoff-core` in processes that can be killed or frozen, and
//! implements what an operating system does for them, and nothing of the protocol. [`explore`] visits
//! every state that such a world can reach, and holds each against what the protocol promises.
//!
//! The tests do so for one fault of any kind; the binary `explore` for as many as asked for.
//! [`route`] follows one run, and [`diagram`] draws it. `README.md` says what is checked and what is not.
//!
//! [`matrix`] does without a model: real processes under load, with one fault at a time.
//!
//! [`conformance`] plays scripts with an adapter, also with one from another repository;
//! [`ports`] are two small ones.
//!
//! [`pause`] measures what clients notice of a handoff, next to the published version 1; [`fleet`] one
//! supervisor with many services. [`machine`] says where that was.

pub mod conformance;
pub mod diagram;
pub mod explore;
pub mod fleet;
pub mod machine;
pub mod matrix;
pub mod pause;
pub mod ports;
pub mod route;
pub mod world;
