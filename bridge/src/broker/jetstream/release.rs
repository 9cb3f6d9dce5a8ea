//! Letting go of messages because consumers are done with them, and of those that a newer one replaces.
//!
//! What is released here has no record of its own in the log: the acknowledgements are there, and replaying
//! them releases the same messages.

use super::batch::Effect;
use super::consumer::Consumer;
use super::filter::Filter;
use super::lifetimes::{Lifetime, is_marker};
use super::state::{MESSAGE_ID, State};
use super::stream::Stream;
use super::stream_config::RetentionPolicy;
use crate::broker::headers;

pub(in crate::broker) const ROLLUP: &str = "Nats-Rollup";

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
        match headers::value(block, ROLLUP) {
            None | Some("") => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("sub") => Ok(Some(Rollup::Subject)),
            Some(text) if text.eq_ignore_ascii_case("all") => Ok(Some(Rollup::All)),
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
            RetentionPolicy::Interest => !self.is_needed(seq),
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

    /// Takes out what a consumer alone waited for that is gone or has changed, in a stream that keeps what is wanted.
    pub(super) fn release_awaited(&mut self, seqs: &[u64]) {
        for seq in seqs {
            self.release(*seq);
        }
    }

    /// What would have to be looked at if a consumer were not there.
    pub(super) fn awaited_by(&self, name: &str) -> Vec<u64> {
        let consumer = self.consumers.get(name);
        let counts = |consumer: &&Consumer| {
            self.config.retention == RetentionPolicy::Interest && !consumer.config.direct
        };
        consumer
            .filter(counts)
            .map_or(Vec::new(), |consumer| consumer.needed(&self.messages))
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

    fn is_needed(&self, seq: u64) -> bool {
        let Some(subject) = self.messages.subject_of(seq) else {
            return false;
        };
        self.consumers
            .values()
            .any(|consumer| !consumer.config.direct && consumer.needs(seq, subject))
    }

    /// Does what the headers of a message say that is in the stream now.
    pub(super) fn follow_headers(&mut self, seq: u64, subject: &str, time: i64, headers: &[u8]) {
        if headers::has_no_other(headers, MESSAGE_ID) || !self.messages.contains(seq) {
            return;
        }
        self.note_lifetime(seq, time, headers);
        self.roll_up(seq, subject, Rollup::of(headers).ok().flatten());
        self.end_schedule(seq, headers);
    }

    /// Takes note of how long a message is to be kept, and of what it stands for.
    pub(super) fn note_lifetime(&mut self, seq: u64, time: i64, headers: &[u8]) {
        let mut lifetime = Lifetime::of(headers).ok().flatten();
        // So that a mark is not older than what it stands for.
        if let Some(Lifetime::Limited(nanos)) = &mut lifetime
            && self.config.max_msgs_per_subject != 1
        {
            *nanos = (*nanos).max(self.config.subject_delete_marker_ttl);
        }
        self.lifetimes.add(seq, time, lifetime);
        self.note_schedule(seq, time, headers);
        if is_marker(headers) {
            self.lifetimes.add_marker(seq);
        }
    }

    pub(super) fn roll_up(&mut self, seq: u64, subject: &str, rollup: Option<Rollup>) {
        match rollup {
            None => {}
            Some(Rollup::All) => self.remove_below(seq),
            Some(Rollup::Subject) => {
                let filter = Filter::of(&[subject]);
                match filter {
                    Filter::All => self.remove_below(seq),
                    Filter::One(_) => self.roll_up_one(seq, &filter),
                    Filter::Few(_) | Filter::Many(_) => self.roll_up_many(seq, &filter),
                }
            }
        }
    }

    fn roll_up_one(&mut self, seq: u64, filter: &Filter) {
        while let Some(older) = self
            .messages
            .next_wanted(0, filter)
            .filter(|older| *older < seq)
        {
            self.remove(older);
        }
    }

    /// Looks at each message once: a search for each that goes would begin at the front each time.
    fn roll_up_many(&mut self, seq: u64, filter: &Filter) {
        // The message itself is one of them.
        if self.messages.count_wanted(0, filter) > 1 {
            for older in self.messages.to_purge(filter, Some(seq), 0) {
                self.remove(older);
            }
        }
    }
}

impl Stream {
    /// Takes out what a consumer is done with since the last time: at once, or in its turn if a record before that of the
    /// consumer moves messages that has yet to be on disk. Limits would otherwise put out other messages in a replay.
    pub(super) fn release_settled_by(&mut self, name: &str) {
        let Some(consumer) = self.state.consumers.get_mut(name) else {
            return;
        };
        let settled = std::mem::take(&mut consumer.settled);
        let counts =
            self.state.config.retention != RetentionPolicy::Limits && !consumer.config.direct;
        if settled.is_empty() || !counts {
            return;
        }
        if self.batch.tally.moves_messages || self.writing.is_some() {
            return self.batch.add(Effect::Release(settled));
        }
        for seq in settled {
            self.state.release(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::jetstream::consumer::SavedConsumer;
    use crate::broker::jetstream::consumer_config::ConsumerConfig;
    use crate::broker::jetstream::json;
    use crate::broker::jetstream::recovery::Recovery;
    use crate::broker::jetstream::state::Change;
    use crate::broker::jetstream::stream_config::ConsumerLimits;
    use crate::broker::store::log::Position;

    /// It would take hours if each message that goes were searched for from the first that stays.
    #[test]
    fn a_rollup_of_many_subjects_looks_at_each_message_once() {
        const EACH: u64 = 50_000;
        let config = br#"{"name": "S", "subjects": ["d.>", "e.>"], "allow_rollup_hdrs": true}"#;
        let config: super::super::stream_config::StreamConfig = json::parse(config).unwrap();
        let mut state = State::new(config.checked().unwrap(), 0, &Recovery::default());
        let mut add = |seq, subject: &str| {
            let position = Position {
                segment: 1,
                offset: seq,
                len: 1,
            };
            state.add(seq, subject, position, 0, 1);
        };
        for seq in 1..=EACH {
            add(seq, "e.x");
        }
        for seq in EACH + 1..=2 * EACH {
            add(seq, &format!("d.{seq}"));
        }
        let rollup = 2 * EACH + 1;
        add(rollup, "d.>");
        let headers = crate::broker::headers::with_status("", &[("Nats-Rollup", "sub")]);
        state.follow_headers(rollup, "d.>", 0, &headers);
        assert_eq!(state.messages.len(), EACH + 1);
        assert!(state.messages.contains(EACH) && state.messages.contains(rollup));
    }

    /// It would take minutes if each consumer that goes had all messages looked at.
    #[test]
    fn a_consumer_that_goes_takes_along_what_it_alone_waited_for() {
        let config = br#"{"name": "S", "subjects": ["a.*"], "retention": "interest"}"#;
        let config: super::super::stream_config::StreamConfig = json::parse(config).unwrap();
        let mut state = State::new(config.checked().unwrap(), 0, &Recovery::default());
        let now = std::time::Instant::now();
        let save = |state: &mut State, id: u32, name: &str, filters: &[&str], after: u64| {
            let config = serde_json::json!({
                "durable_name": name, "ack_policy": "explicit", "filter_subjects": filters,
            });
            let config: ConsumerConfig = json::parse(config.to_string().as_bytes()).unwrap();
            let config = config.checked(&ConsumerLimits::default()).unwrap();
            let saved = SavedConsumer::new(id, config, 0, after);
            state.apply(Change::ConsumerSaved(Box::new(saved)), now);
        };
        save(&mut state, 1, "one", &["a.1"], 0);
        save(&mut state, 2, "both", &["a.1", "a.2"], 0);
        for seq in 1..=20_000 {
            let position = Position {
                segment: 1,
                offset: seq,
                len: 1,
            };
            state.add(seq, &format!("a.{}", 1 + seq % 3), position, 0, 1);
        }
        assert_eq!(state.messages.count_on("a.3"), 0, "no consumer wants them");
        for id in 3..10_000 {
            save(&mut state, id, "new", &["a.1"], 20_000);
            state.apply(Change::ConsumerDeleted("new".into()), now);
        }
        assert_eq!(state.messages.len(), 13_333);
        save(&mut state, 2, "both", &["a.2"], 0);
        assert_eq!(state.messages.len(), 13_333);
        state.apply(Change::ConsumerDeleted("one".into()), now);
        assert_eq!(state.messages.len(), state.messages.count_on("a.2"));
        save(&mut state, 2, "both", &["a.1"], 0);
        assert_eq!(state.messages.len(), 0, "the consumer wants others now");
    }
}
