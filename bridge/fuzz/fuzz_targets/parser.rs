//! See `bridge/src/broker/fuzzing.rs`, function `parser`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bridge::broker::fuzzing::parser(data));
