//! What must not happen when processes die, freeze, lie or are given nonsense: each tried on real
//! processes. The comments name the rule of the protocol that a test is about.

#[path = "../common/mod.rs"]
mod common;

mod commits;
mod counts;
mod flood;
mod hostile;
mod incumbent;
mod input;
mod listeners;
mod orphans;
mod probation;
mod quiet;
mod status;
mod successor;
mod supervisor;
mod twice;
mod warmup;
