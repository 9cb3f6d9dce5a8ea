//! Letting go of messages because consumers are done with them, and of those that a newer one replaces.
//!
//! What is released here has no record of its own in the log: the acknowledgements are there, and replaying
//! them releases the same messages.

use super::filter::Filter;
use super::state::{Rollup, State};
use super::stream_config::RetentionPolicy;

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

    /// Takes out what the message with this sequence replaces.
    pub(super) fn roll_up(&mut self, seq: u64, subject: &str, rollup: Option<Rollup>) {
        match rollup {
            None => {}
            Some(Rollup::All) => self.remove_below(seq),
            Some(Rollup::Subject) => {
                let filter = Filter::One(subject.into());
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
