//! The handoff state machines in a simulated operating system, explored exhaustively.
//!
//! [`world`] runs the real machines of `handoff-core` in processes that can be killed or frozen, and
//! implements what an operating system does for them, and nothing of the protocol. [`explore`] visits
//! every state that such a world can reach, and holds each against what the protocol promises.
//!
//! [`matrix`] does without a model: real processes under load, with one fault at a time.
//!
//! The tests explore with one fault of any kind. For more of them:
//!
//! ```text
//! cargo run -p handoff-model-tests --bin explore -- --kills 2 --freezes --restart --hooks-fail
//! ```

pub mod explore;
pub mod matrix;
pub mod world;
