//! The bodies of recent messages, so that consumers that keep up never touch the disk.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

const MAX_BYTES: usize = 8 << 20;

/// Bodies by sequence; the earliest put in go first.
#[derive(Debug, Default)]
pub(super) struct Cache {
    bodies: BTreeMap<u64, Bytes>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Cache {
    pub(super) fn get(&self, seq: u64) -> Option<&Bytes> {
        self.bodies.get(&seq)
    }

    pub(super) fn insert(&mut self, seq: u64, body: Bytes) {
        self.bytes += body.len();
        if let Some(before) = self.bodies.insert(seq, body) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(seq);
        }
        while self.bytes > MAX_BYTES && self.order.len() > 1 {
            if let Some(gone) = self.order.pop_front().and_then(|seq| self.bodies.remove(&seq)) {
                self.bytes -= gone.len();
            }
        }
    }
}
