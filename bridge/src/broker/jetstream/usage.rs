//! What all streams together take, and how much they may: of memory and of the disk.
//!
//! Each stream reports what it holds after every change, so that a look at the totals costs no question to the streams.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{self, ApiError, Result};
use super::stream_config::{Storage, StreamConfig, limit};
use crate::broker::JetStreamSettings;

/// The totals of one kind of storage, in bytes.
#[derive(Debug, Default)]
pub(super) struct Pool {
    used: AtomicU64,
    /// What streams with a limit of their own may come to take.
    reserved: AtomicU64,
    max: Option<u64>,
}

/// The totals of a broker.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) memory: Pool,
    pub(super) disk: Pool,
    /// Requests to the API, and those that were refused.
    pub(super) requests: AtomicU64,
    pub(super) refusals: AtomicU64,
}

impl Pool {
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// The limit as the API says it: -1 for none.
    pub(super) fn max(&self) -> i64 {
        self.max
            .map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX))
    }

    fn is_full(&self, more: u64) -> bool {
        self.max
            .is_some_and(|max| self.used().saturating_add(more) > max)
    }
}

impl Usage {
    pub(super) fn new(settings: JetStreamSettings) -> Self {
        let pool = |max| Pool {
            max,
            ..Pool::default()
        };
        Usage {
            memory: pool(settings.max_memory),
            disk: pool(settings.max_store),
            ..Usage::default()
        }
    }

    fn pool(&self, storage: Storage) -> &Pool {
        match storage {
            Storage::Memory => &self.memory,
            Storage::File => &self.disk,
        }
    }

    /// Whether a stream may take so many bytes more.
    pub(super) fn check(&self, storage: Storage, more: u64) -> Result<()> {
        if self.pool(storage).is_full(more) {
            return Err(error::NO_RESOURCES);
        }
        Ok(())
    }

    /// Whether the limit of a new configuration fits beside those of the other streams.
    pub(super) fn check_reservation(
        &self,
        config: &StreamConfig,
        current: Option<&StreamConfig>,
    ) -> Result<()> {
        let pool = self.pool(config.storage);
        let freed = current.map_or(0, reservation);
        let others = pool.reserved().saturating_sub(freed);
        let wanted = reservation(config);
        match pool.max {
            Some(max) if wanted > 0 && others.saturating_add(wanted) > max => {
                Err(too_little(config.storage))
            }
            _ => Ok(()),
        }
    }

    /// Takes note that a stream holds `now` bytes instead of `before`.
    pub(super) fn used(&self, storage: Storage, before: u64, now: u64) {
        adjust(&self.pool(storage).used, before, now);
    }

    /// Takes note that a stream's configuration took the place of another; `None` for no stream.
    pub(super) fn reserve(&self, before: Option<&StreamConfig>, now: Option<&StreamConfig>) {
        if let Some(config) = now.or(before) {
            let bytes = |config: Option<&StreamConfig>| config.map_or(0, reservation);
            adjust(
                &self.pool(config.storage).reserved,
                bytes(before),
                bytes(now),
            );
        }
    }
}

fn adjust(total: &AtomicU64, before: u64, now: u64) {
    // Both directions wrap alike, and what is subtracted was added before.
    total.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
}

fn reservation(config: &StreamConfig) -> u64 {
    limit(config.max_bytes).unwrap_or(0)
}

fn too_little(storage: Storage) -> ApiError {
    match storage {
        Storage::Memory => error::NO_MEMORY,
        Storage::File => error::NO_STORAGE,
    }
}
