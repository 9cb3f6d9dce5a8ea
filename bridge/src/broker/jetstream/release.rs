//! Letting go of messages because consumers are done with them, and of those that a newer one replaces.
//!
//! What is released here has no record of its own in the log: the acknowledgements are there, and replaying
//! them releases the same messages.

use super::filter::Filter;
use super::lifetimes::{Lifetime, is_marker};
use super::state::State;
use super::stream_config::RetentionPolicy;
use crate::broker::headers;

/// Which older messages a message replaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rollup {
    /// Those on its subject.
    Subject,
    /// All.
    All,
}

impl Rollup {
    /// What the header of a message says; an error if it says nothing that is known.
    pub(super) fn of(block: &[u8]) -> Result<Option<Self>, &str> {
        match headers::value(block, "Nats-Rollup") {
            None | Some("") => Ok(None),
            Some("sub") => Ok(Some(Rollup::Subject)),
            Some("all") => Ok(Some(Rollup::All)),
            Some(other) => Err(other),
        }
    }
}

impl State {
    /// Whether a stream that keeps what is wanted has to keep a message on this subject.
    pub(super) fn is_wanted(&self, subject: &str) -> bool {
        self.config.retention != RetentionPolicy::Interest
            || self
                .consumers
                .values()
                .any(|consumer| consumer.is_interested(subject))
    }

    /// Takes a message out with which a consumer is done, if no other waits for it.
    pub(super) fn release(&mut self, seq: u64) {
        let is_done = match self.config.retention {
            RetentionPolicy::Limits => false,
            RetentionPolicy::WorkQueue => true,
            RetentionPolicy::Interest => !self.is_awaited(seq),
        };
        if is_done {
            self.remove(seq);
        }
    }

    /// Takes out what consumers are done with since the last time.
    pub(super) fn release_settled(&mut self) {
        let mut settled = Vec::new();
        for consumer in self.consumers.values_mut() {
            // What reads beside the others decides nothing.
            if self.config.retention == RetentionPolicy::Limits || consumer.config.direct {
                consumer.settled.clear();
            } else {
                settled.append(&mut consumer.settled);
            }
        }
        for seq in settled {
            self.release(seq);
        }
    }

    /// Takes out everything that no consumer waits for, in a stream that keeps what is wanted.
    pub(super) fn release_all(&mut self) {
        if self.config.retention != RetentionPolicy::Interest {
            return;
        }
        let seqs: Vec<u64> = self.messages.range(0).map(|entry| entry.seq).collect();
        for seq in seqs {
            self.release(seq);
        }
    }

    fn is_awaited(&self, seq: u64) -> bool {
        let Some(subject) = self.messages.subject_of(seq) else {
            return false;
        };
        self.consumers
            .values()
            .any(|consumer| !consumer.config.direct && consumer.awaits(seq, subject))
    }

    /// Does what the headers of a message say that is in the stream now.
    pub(super) fn follow_headers(&mut self, seq: u64, subject: &str, time: i64, headers: &[u8]) {
        if headers.is_empty() || !self.messages.contains(seq) {
            return;
        }
        let mut lifetime = Lifetime::of(headers).ok().flatten();
        // So that a mark is not older than what it stands for.
        if let Some(Lifetime::Limited(nanos)) = &mut lifetime
            && self.config.max_msgs_per_subject != 1
        {
            *nanos = (*nanos).max(self.config.subject_delete_marker_ttl);
        }
        self.lifetimes.add(seq, time, lifetime);
        if is_marker(headers) {
            self.lifetimes.add_marker(seq);
        }
        self.roll_up(seq, subject, Rollup::of(headers).ok().flatten());
    }

    fn roll_up(&mut self, seq: u64, subject: &str, rollup: Option<Rollup>) {
        match rollup {
            None => {}
            Some(Rollup::All) => self.remove_below(seq),
            Some(Rollup::Subject) => {
                let filter = Filter::of(&[subject]);
                while let Some(older) = self
                    .messages
                    .next_wanted(0, &filter)
                    .filter(|older| *older < seq)
                {
                    self.remove(older);
                }
            }
        }
    }
}
