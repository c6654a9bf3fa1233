//! Whole recordings, from arbitrary bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| handoff_fuzz::replay(bytes));
