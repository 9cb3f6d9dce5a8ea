//! What is kept of a consumer across restarts. Older data folders hold it without the members that have a default.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::beginning::Beginning;
use super::super::consumer_config::ConsumerConfig;
use super::Progress;

/// What is kept of a consumer across restarts.
#[derive(Debug, Deserialize, Serialize)]
pub(in crate::broker::jetstream) struct SavedConsumer {
    pub(in crate::broker::jetstream) id: u32,
    pub(in crate::broker::jetstream) created: i64,
    pub(in crate::broker::jetstream) config: ConsumerConfig,
    pub(in crate::broker::jetstream) delivered: Progress,
    pub(in crate::broker::jetstream) ack_floor: Progress,
    /// Stream sequence, consumer sequence and deliveries of what waits for its acknowledgement.
    pub(in crate::broker::jetstream) pending: Vec<(u64, u64, u32)>,
    /// The first and the last sequence of each run of messages that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::broker::jetstream) given_up: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Beginning::is_none")]
    pub(in crate::broker::jetstream) beginning: Beginning,
}

impl SavedConsumer {
    /// A new consumer that starts behind stream sequence `start_after`.
    pub(in crate::broker::jetstream) fn new(
        id: u32,
        config: ConsumerConfig,
        created: i64,
        start_after: u64,
    ) -> Self {
        let start = Progress {
            consumer_seq: 0,
            stream_seq: start_after,
        };
        SavedConsumer {
            id,
            created,
            config,
            delivered: start,
            ack_floor: start,
            pending: Vec::new(),
            given_up: Vec::new(),
            beginning: Beginning::default(),
        }
    }

    /// Takes back all progress beyond a sequence, which comes next. It is another consumer under the same name then.
    pub(in crate::broker::jetstream) fn start_anew(&mut self, id: u32, seq: u64) {
        self.id = id;
        self.delivered = Progress {
            consumer_seq: 0,
            stream_seq: seq.saturating_sub(1),
        };
        self.ack_floor = self.delivered;
        self.pending.clear();
        self.given_up.clear();
    }

    /// Has it start with a list of messages.
    pub(in crate::broker::jetstream) fn with_beginning(mut self, beginning: Beginning) -> Self {
        self.beginning = beginning;
        self
    }
}

/// The runs of sequences that follow one another: there may be very many sequences.
pub(super) fn runs(seqs: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *seq => *last = *seq,
            _ => runs.push((*seq, *seq)),
        }
    }
    runs
}
