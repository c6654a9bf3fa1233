//! What must not happen when processes die, freeze, lie or are given nonsense: each tried on real
//! processes. The comments name the rule of the protocol that a test is about.

#[path = "../common/mod.rs"]
mod common;

mod hostile;
mod incumbent;
mod input;
mod quiet;
mod successor;
mod supervisor;
mod twice;
