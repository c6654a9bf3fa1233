//! Sans-IO protocol core for handing a running daemon over to a new binary.
#![no_std]
#![forbid(unsafe_code)]

pub mod text;
pub mod wire;
