//! Blocking adapter for [`handoff_core`].

pub mod hooks;
pub mod host;
