//! The bodies of recent messages, so that consumers that keep up never touch the disk.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bytes::Bytes;

use super::stream::Stream;
use super::unreadable::is_damage;
use crate::broker::store::record::{self, Record, StoredMessage};

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
            if let Some(gone) = self
                .order
                .pop_front()
                .and_then(|seq| self.bodies.remove(&seq))
            {
                self.bytes -= gone.len();
            }
        }
    }
}

impl Stream {
    /// Whether the body of a message is in memory.
    pub(super) fn has_body(&self, seq: u64) -> bool {
        self.state.bodies.is_some() || self.cache.get(seq).is_some()
    }

    /// A message that there is, from memory or from disk; `None` when it is damaged, and so there no more.
    pub(super) async fn message(&mut self, seq: u64) -> io::Result<Option<StoredMessage>> {
        if !self.has_body(seq) {
            match self.read_ahead(seq).await {
                Ok(()) => self.note_readable(seq),
                Err(error) if is_damage(&error) => {}
                Err(error) => {
                    self.note_unreadable(seq, &error);
                    return Err(error);
                }
            }
        }
        let body = match &self.state.bodies {
            Some(bodies) => bodies.get(&seq),
            None => self.cache.get(seq),
        };
        match body.cloned().and_then(record::decode) {
            Some(Record::Message(message)) if message.seq == seq => Ok(Some(message)),
            _ => {
                self.pass_over_damage(seq);
                Ok(None)
            }
        }
    }

    /// Reads a message and some that follow it, as far as they can be read, where blocking does no harm.
    async fn read_ahead(&mut self, seq: u64) -> io::Result<()> {
        // Nobody waits for the disk who need not.
        self.filled.flush();
        const MESSAGES: usize = 128;
        const BYTES: u64 = 1 << 20;
        let mut positions = Vec::new();
        let mut bytes = 0;
        for entry in self.state.messages.range(seq).take(MESSAGES) {
            if bytes > 0
                && (bytes + u64::from(entry.position.len) > BYTES
                    || self.cache.get(entry.seq).is_some())
            {
                break;
            }
            bytes += u64::from(entry.position.len);
            positions.push((entry.seq, entry.position));
        }
        let reader = self
            .log
            .reader(positions.iter().map(|(_, position)| *position).collect());
        let bodies = tokio::task::spawn_blocking(move || reader.read())
            .await
            .map_err(io::Error::other)??;
        for ((seq, _), body) in positions.into_iter().zip(bodies) {
            self.cache.insert(seq, body);
        }
        Ok(())
    }
}
