//! What travels over the bus: events, the verdicts on them, and fetched events with their positions.
//! An event that one kind of broker does not carry is refused for every kind.

use runtime::{
    request_id::REQUEST_ID_HEADER,
    traces::{Origin, TRACEPARENT_HEADER, TraceContext},
};

use super::BusError;

/// The largest event that the bus carries: key, payload and headers together, in bytes. A little
/// less than what brokers of either kind take by default, so that a dead letter fits too and an
/// event can go from one bus to the other.
pub const MAX_EVENT_BYTES: usize = 900_000;

/// Header: the id of an event. A broker that can do so drops an event whose id it has already, so an id
/// must be the same whenever the event is sent, and must not be guessable.
pub const ID_HEADER: &str = "marquee-id";

/// Something that happened, as it travels over the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it is published: letters, digits, `.`, `_` and `-`.
    pub topic: String,
    /// What it is about. Events of the same key keep their order; those of the empty key have none.
    pub key: String,
    /// What happened, as the topic's contract says.
    pub payload: Vec<u8>,
    /// What may not be in the payload, as [`ID_HEADER`].
    pub headers: Vec<(String, String)>,
}

impl Event {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        Some(value)
    }

    /// The request that led to it, if its headers say so.
    pub fn origin(&self) -> Origin {
        let (request_id, traceparent) = (REQUEST_ID_HEADER, TRACEPARENT_HEADER);
        Origin::read(self.header(request_id), self.header(traceparent))
    }

    /// Puts the place in its trace into its headers, in place of the one that is there.
    pub(super) fn set_trace(&mut self, trace: &TraceContext) {
        self.headers.retain(|(name, _)| name != TRACEPARENT_HEADER);
        let header = (TRACEPARENT_HEADER.into(), trace.to_string());
        self.headers.push(header);
    }

    /// Bytes of key, payload and headers.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(n, v)| n.len() + v.len() + 4);
        self.key.len() + self.payload.len() + headers.sum::<usize>()
    }

    /// Whether every kind of broker would carry it.
    pub(super) fn check(&self) -> Result<(), BusError> {
        let refuse = |reason: String| Err(BusError::Refused(reason));
        let is_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        let topic = self.topic.as_str();
        let empty_token = topic.split('.').any(str::is_empty);
        if empty_token || topic.len() > 200 || !topic.bytes().all(is_name) {
            return refuse(format!("`{topic}` is no topic's name"));
        }
        if self.size() > MAX_EVENT_BYTES {
            let size = self.size();
            return refuse(format!("it has {size} bytes of at most {MAX_EVENT_BYTES}"));
        }
        if self.key.contains(['\r', '\n', '\0']) {
            return refuse("its key has a line break".into());
        }
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_name) || value.contains(['\r', '\n', '\0']) {
                return refuse(format!(
                    "its header `{}` is not one line",
                    name.escape_debug()
                ));
            }
        }
        Ok(())
    }
}

/// What a handler decided on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is processed, durably.
    Done,
    /// It can never be processed, for this reason: to the dead letters, and on with the next.
    DeadLetter(String),
    /// It cannot be processed now, for this reason, of which the log knows already: it and what
    /// follows is to be tried again.
    Retry(String),
}

/// Where an event stands in its topic: over NATS the partition is 0, the offset the stream's
/// sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) partition: i32,
    pub(super) offset: u64,
}

/// Events that the broker deleted before their consumers received them: the offsets `from..until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: i32,
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Gap {
    /// How many events are missing.
    pub(super) fn events(&self) -> u64 {
        self.until.saturating_sub(self.from)
    }
}

/// Fetched events with their positions.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: Vec<Event>,
    positions: Vec<Position>,
    bytes: usize,
    gaps: Vec<Gap>,
}

impl Batch {
    /// The most events that are handled together.
    pub(super) const MAX_EVENTS: usize = 128;
    const MAX_BYTES: usize = 4 << 20;

    pub(super) fn push(&mut self, event: Event, position: Position) {
        self.bytes += event.size();
        self.events.push(event);
        self.positions.push(position);
    }

    pub(super) fn add_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// The gaps before events of this batch.
    pub(super) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= Self::MAX_EVENTS || self.bytes >= Self::MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Removes the first `count` events, which are settled.
    pub(super) fn advance(&mut self, count: usize) {
        self.events.drain(..count);
        self.positions.drain(..count);
    }

    /// Removes the events of `partitions`, which are another consumer's now.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        let mut index = 0;
        let kept: Vec<bool> = self
            .positions
            .iter()
            .map(|p| !partitions.contains(&p.partition))
            .collect();
        self.events.retain(|_| {
            index += 1;
            kept.get(index - 1).copied().unwrap_or_default()
        });
        self.positions
            .retain(|p| !partitions.contains(&p.partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            topic: "film_updates.dlq".into(),
            key: "ключ 1".into(),
            payload: vec![0, 159, 146, 150],
            headers: vec![("marquee-version".into(), "1".into())],
        }
    }

    #[test]
    fn an_event_that_one_kind_of_broker_would_not_carry_is_refused_for_both() {
        assert_eq!(event().check(), Ok(()));
        for topic in ["", "a b", "a*", "a..b", ".a", "a.>", "ä"] {
            let event = Event {
                topic: topic.into(),
                ..event()
            };
            assert!(event.check().is_err(), "{topic}");
        }
        for (name, value) in [("", "a"), ("a:", "a"), ("a", "a\nb"), ("a b", "")] {
            let event = Event {
                headers: vec![(name.into(), value.into())],
                ..event()
            };
            assert!(event.check().is_err(), "{name}: {value}");
        }
        let event = Event {
            payload: vec![0; MAX_EVENT_BYTES],
            ..event()
        };
        let error = event.check().unwrap_err().to_string();
        assert!(error.contains("of at most 900000"), "{error}");
    }

    #[test]
    fn a_batch_forgets_events_of_lost_partitions_and_keeps_the_order_of_the_rest() {
        let mut batch = Batch::default();
        for (offset, partition) in [0, 1, 0, 2, 1].into_iter().enumerate() {
            let key = offset.to_string();
            let offset = u64::try_from(offset).unwrap();
            batch.push(Event { key, ..event() }, Position { partition, offset });
        }
        batch.advance(1);
        batch.forget(&[1]);
        let keys: Vec<_> = batch.events().iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["2", "3"]);
        assert_eq!(
            batch
                .positions()
                .iter()
                .map(|p| p.offset)
                .collect::<Vec<_>>(),
            [2, 3]
        );
    }
}
