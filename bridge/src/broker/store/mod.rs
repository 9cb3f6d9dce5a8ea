//! Durability: a log of checksummed records per stream, synced in groups by one thread and rewritten without what is
//! gone by another.

pub(super) mod copy;
pub(super) mod folder;
pub(super) mod live;
pub(super) mod log;
pub(super) mod record;
pub(super) mod rewrite;
mod scan;
pub(super) mod syncer;
pub(super) mod write;
