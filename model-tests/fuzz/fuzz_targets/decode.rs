//! Frames and messages, from arbitrary bytes in arbitrary pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| handoff_fuzz::decode(bytes));
