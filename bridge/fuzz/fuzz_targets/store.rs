//! See `bridge/src/broker/fuzzing.rs`, function `store`.
#![no_main]

use std::sync::LazyLock;

use tempfile::TempDir;

/// In memory, where there is such a folder: what is tried is not the disk.
static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("there is a folder for temporary files")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bridge::broker::fuzzing::store(DIR.path(), data);
});
