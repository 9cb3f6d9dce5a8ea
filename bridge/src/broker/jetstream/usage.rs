//! What all streams together take, and how much they may: of memory and of the disk.
//!
//! Each stream reports what it holds after every change, so that a look at the totals costs no question to the streams.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use super::batches::Totals;
use super::cache::CacheTotals;
use super::error::{self, ApiError, Result};
use super::json;
use super::stream_config::{Storage, StreamConfig, limit};
use crate::broker::throttle::Throttle;
use crate::broker::{JetStreamSettings, subjects};

/// The most bytes of JSON that one configuration may be.
pub(super) const MAX_CONFIGURATION: usize = 256 << 10;
/// The most that all configurations may come to, and what each counts for besides its JSON.
const MAX_CONFIGURATIONS: u64 = 128 << 20;
const EACH_CONFIGURATION: u64 = 1 << 10;
/// What each token of a stream's subjects takes where streams are found by subject.
const EACH_TOKEN: u64 = 256;

/// The totals of one kind of storage, in bytes.
#[derive(Debug, Default)]
pub(super) struct Pool {
    used: AtomicU64,
    /// What streams with a limit of their own may come to take.
    reserved: AtomicU64,
    max: Option<u64>,
    /// Messages that there was no room for.
    refusals: Throttle,
}

/// The totals of a broker.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) memory: Pool,
    pub(super) disk: Pool,
    /// The configurations of streams and consumers.
    configurations: Pool,
    pub(super) consumers: AtomicU64,
    /// Requests to the API, and those that were refused.
    pub(super) requests: AtomicU64,
    pub(super) refusals: AtomicU64,
    /// Batches of publishers that are not complete yet.
    pub(super) batches: Totals,
    /// The bodies of messages that streams have in memory and on the disk.
    pub(super) caches: CacheTotals,
}

/// What one stream takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Share {
    /// Bytes of messages.
    pub(super) bytes: u64,
    /// What these may come to, by a limit of the stream's own.
    pub(super) reserved: u64,
    /// Bytes of its configuration and of those of its consumers.
    pub(super) configurations: u64,
    pub(super) consumers: u64,
}

impl Pool {
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    fn is_full(&self, more: u64) -> bool {
        self.max
            .is_some_and(|max| self.used().saturating_add(more) > max)
    }
}

impl Usage {
    pub(super) fn new(settings: &JetStreamSettings) -> Self {
        let pool = |max| Pool {
            max,
            ..Pool::default()
        };
        Usage {
            memory: pool(settings.max_memory),
            disk: pool(settings.max_store),
            configurations: pool(Some(MAX_CONFIGURATIONS)),
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
        let pool = self.pool(storage);
        if !pool.is_full(more) {
            return Ok(());
        }
        if let Some(refused) = pool.refusals.is_due(Instant::now()) {
            let kind = match storage {
                Storage::Memory => "memory",
                Storage::File => "file",
            };
            tracing::error!(
                refused,
                max_bytes = pool.max,
                "JetStream {kind} resource limits exceeded for server"
            );
        }
        Err(error::NO_RESOURCES)
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

    /// Whether there is room for a configuration that takes so many bytes more than the one before it.
    pub(super) fn check_configuration(&self, before: u64, now: u64) -> Result<()> {
        if now > before && self.configurations.is_full(now - before) {
            return Err(error::NO_RESOURCES);
        }
        Ok(())
    }

    /// Takes note that a stream takes `now` instead of `before`.
    pub(super) fn changed(&self, storage: Storage, before: Share, now: Share) {
        let pool = self.pool(storage);
        adjust(&pool.used, before.bytes, now.bytes);
        adjust(&pool.reserved, before.reserved, now.reserved);
        let configurations = &self.configurations.used;
        adjust(configurations, before.configurations, now.configurations);
        adjust(&self.consumers, before.consumers, now.consumers);
    }
}

/// What a configuration counts for.
pub(super) fn configuration_size(config: &impl Serialize) -> u64 {
    json::size(config) as u64 + EACH_CONFIGURATION
}

/// What the configuration of a stream counts for.
pub(super) fn stream_configuration_size(config: &StreamConfig) -> u64 {
    let tokens = config
        .subjects
        .iter()
        .map(|one| subjects::token_count(one) as u64);
    configuration_size(config) + EACH_TOKEN * tokens.sum::<u64>()
}

fn adjust(total: &AtomicU64, before: u64, now: u64) {
    // Both directions wrap alike, and what is subtracted was added before.
    total.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
}

/// The limit of a stream's own.
pub(super) fn reservation(config: &StreamConfig) -> u64 {
    limit(config.max_bytes).unwrap_or(0)
}

fn too_little(storage: Storage) -> ApiError {
    match storage {
        Storage::Memory => error::NO_MEMORY,
        Storage::File => error::NO_STORAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subjects_of_a_stream_count_for_what_it_takes_to_find_it() {
        let config = |subject: &str| {
            let text = serde_json::json!({"name": "S", "subjects": [subject]}).to_string();
            stream_configuration_size(&json::parse(text.as_bytes()).unwrap())
        };
        assert_eq!(config("a.b.c") - config("a_b_c"), 2 * EACH_TOKEN);
    }

    #[test]
    fn configurations_have_a_total() {
        let usage = Usage::new(&JetStreamSettings::default());
        let each = configuration_size(&"x".repeat(MAX_CONFIGURATION - 2));
        let most = MAX_CONFIGURATIONS / each;
        let share = |count: u64| Share {
            configurations: count * each,
            ..Share::default()
        };
        usage.changed(Storage::File, Share::default(), share(most - 1));
        usage.check_configuration(0, each).unwrap();
        usage.changed(Storage::Memory, Share::default(), share(1));
        assert_eq!(usage.check_configuration(0, each), Err(error::NO_RESOURCES));
        usage.check_configuration(each, each).unwrap();
        usage.changed(Storage::Memory, share(1), Share::default());
        usage.check_configuration(0, each).unwrap();
    }
}
