//! Durability: a log of checksummed records per stream, synced in groups by one thread.

pub(super) mod folder;
pub(super) mod log;
pub(super) mod record;
mod scan;
pub(super) mod syncer;
pub(super) mod write;
