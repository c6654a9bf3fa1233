//! The three machines as an adapter sees them: inputs go in, actions come out.

mod allowed;
mod bench;
mod descriptors;
mod handoff;
mod incumbent;
mod interface;
mod outbox;
mod properties;
mod recorded;
mod successor;
mod supervisor;
mod world;
