//! See `bridge/src/broker/fuzzing.rs`, function `subjects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bridge::broker::fuzzing::subjects(data));
