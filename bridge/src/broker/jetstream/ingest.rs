//! Batches that are stored as they come: the publisher is told now and then how far its batch is stored, and by this how much
//! it may have under way. What it asks for is in the inbox of each message: `PREFIX.BATCH.EVERY.GAPS.SEQUENCE.OPERATION.$FI`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};

use super::batch::Effect;
use super::batches::{MAX_ID, PATIENCE, end_of};
use super::error::{self, ApiError, Result};
use super::json;
use super::publish::Taken;
use super::stream::Stream;
use super::usage::Usage;
use super::versions;
use crate::broker::protocol::Message;
use crate::broker::router::Router;

/// How many batches a stream takes at once, and how many all of them do.
pub(super) const MAX_OF_STREAM: usize = 1000;
pub(super) const MAX_OF_ALL: u64 = 50_000;
/// At most so many messages go without word of what is stored, in all batches of a stream together.
const MAX_EVERY: u16 = 500;
const DEFAULT_EVERY: u16 = 10;
/// What an inbox says of a message.
#[derive(Debug, PartialEq)]
struct Place<'a> {
    batch: &'a str,
    /// How many messages may go without word.
    every: u16,
    gaps_are_fine: bool,
    seq: u64,
    operation: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    /// Add the message to the batch.
    Add,
    /// Add it, as the last one.
    End,
    /// End the batch with the message before.
    EndBefore,
    /// Say how far the batch is.
    Ping,
}

/// Whether a message with this inbox belongs to such a batch.
pub(super) fn is_ingest(inbox: &str) -> bool {
    inbox.len() > 4 && inbox.ends_with(".$FI")
}

impl<'a> Place<'a> {
    fn of(inbox: &'a str) -> Option<Self> {
        let mut parts = inbox.strip_suffix(".$FI")?.rsplitn(6, '.');
        let operation = parts.next()?;
        let seq: u64 = parts.next()?.parse().ok()?;
        let gaps_are_fine = match parts.next()? {
            "ok" => true,
            "fail" => false,
            _ => return None,
        };
        let every = parts.next()?.parse::<i64>().unwrap_or(0);
        let every = match every {
            ..=0 => DEFAULT_EVERY,
            every => u16::try_from(every).unwrap_or(u16::MAX),
        };
        let batch = parts.next()?;
        let _prefix = parts.next()?;
        let operation = match (operation, seq) {
            (_, 0 | u64::MAX) | ("3", 1) => return None,
            ("0", 1) | ("1", 2..) => Operation::Add,
            ("2", _) => Operation::End,
            ("3", _) => Operation::EndBefore,
            ("4", _) => Operation::Ping,
            _ => return None,
        };
        Some(Place {
            batch,
            every,
            gaps_are_fine,
            seq,
            operation,
        })
    }
}

/// The batches that a stream takes, by their ids.
#[derive(Debug, Default)]
pub(super) struct FastBatches {
    by_id: HashMap<Box<str>, FastBatch>,
    /// How many have begun.
    begun: u64,
}

/// A batch for as long as something of it is on its way to the disk: another may have its id by then.
#[derive(Debug)]
pub(super) struct FastBatchId {
    id: Box<str>,
    number: u64,
}

/// How far a batch is, by its own sequences.
#[derive(Debug)]
struct FastBatch {
    number: u64,
    gaps_are_fine: bool,
    /// The last that came.
    came: u64,
    /// The last that is stored, with its sequence in the stream.
    stored: u64,
    stream_seq: u64,
    /// The last that the publisher heard of.
    told: u64,
    /// How many are on their way to the disk.
    under_way: u32,
    /// After how many messages the publisher hears again, and the most that it wants.
    every: u16,
    most: u16,
    /// Where its end is confirmed, once it is to end.
    end: Option<Box<str>>,
    /// When something of it last came, or was stored.
    last_active: Instant,
    usage: Arc<Usage>,
}

impl FastBatch {
    /// Takes note that so many have come, of which there is nothing to store but what is under way.
    fn came_up_to(&mut self, seq: u64) {
        self.came = seq;
        if self.under_way == 0 {
            self.stored = seq;
        }
    }

    /// Moves on to what is stored, if the publisher is due to hear of it.
    fn is_due(&mut self, batches: usize) -> bool {
        let every = u64::from(self.every);
        let steps = self.stored.saturating_sub(self.told) / every;
        if steps == 0 {
            return false;
        }
        self.told += steps * every;
        let share = MAX_EVERY / u16::try_from(batches).unwrap_or(u16::MAX).max(1);
        let most = share.max(1).min(self.most);
        self.every = match self.every {
            every if every < most => every.saturating_mul(2).min(most),
            every if every > most => (every / 2).max(most),
            every => every,
        };
        true
    }

    /// When it has waited for too long for its next message. A publisher that waits for the disk is not late.
    fn due(&self) -> Option<Instant> {
        (self.under_way == 0).then(|| self.last_active + PATIENCE)
    }

    fn word(&self) -> Value {
        json!({"type": "ack", "seq": self.told, "msgs": self.every})
    }
}

impl FastBatches {
    fn under_way(&mut self, batch: &FastBatchId) -> Option<&mut FastBatch> {
        let found = self.by_id.get_mut(&batch.id);
        found.filter(|found| found.number == batch.number)
    }

    /// When the first of them has waited for too long.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.by_id.values().filter_map(FastBatch::due).min()
    }

    /// Forgets those whose next message does not come.
    pub(super) fn end_late(&mut self, now: Instant) {
        self.by_id
            .retain(|_, ingest| ingest.due().is_none_or(|due| now < due));
    }
}

impl Stream {
    /// Takes a message of a batch that is stored as it comes.
    pub(super) async fn ingest(&mut self, message: Message) {
        let inbox = message.reply.clone().unwrap_or_default();
        if let Err(refusal) = self.try_ingest(message, &inbox).await {
            self.refuse_ingest(&inbox, &refusal);
        }
    }

    fn refuse_ingest(&self, inbox: &str, refusal: &ApiError) {
        if !self.state.config.no_ack {
            self.refuse_publish(inbox, refusal);
        }
    }

    async fn try_ingest(&mut self, mut message: Message, inbox: &str) -> Result<()> {
        if self.state.config.sealed {
            return Err(error::SEALED);
        }
        if !self.state.config.allow_batched {
            return Err(error::INGEST_DISABLED);
        }
        let place = Place::of(inbox).ok_or(error::INGEST_PATTERN)?;
        let id = place.batch;
        if id.len() > MAX_ID {
            return Err(error::INGEST_ID);
        }
        let batches = self.fast_batches.by_id.len();
        if !self.fast_batches.by_id.contains_key(id) {
            if place.seq != 1 {
                return Err(error::INGEST_UNKNOWN);
            }
            let of_all = self.usage.batches.fast.load(Ordering::Relaxed);
            if batches >= MAX_OF_STREAM || of_all >= MAX_OF_ALL {
                return Err(error::TOO_MANY_INGESTS);
            }
            let number = self.fast_batches.begun;
            let batch = begun(&place, number, batches, &self.usage);
            self.fast_batches.begun += 1;
            self.fast_batches.by_id.insert(id.into(), batch);
        }
        if versions::needs_another_level(&message.headers) {
            self.fast_batches.by_id.remove(id);
            return Err(error::API_LEVEL);
        }
        let Some(ingest) = self.fast_batches.by_id.get_mut(id) else {
            return Err(error::INGEST_UNKNOWN);
        };
        ingest.last_active = Instant::now();
        if place.operation == Operation::Ping {
            self.ping_ingest(&place, inbox);
            return Ok(());
        }
        // Its publisher waits for the end that is on its way.
        if ingest.end.is_some() {
            return Ok(());
        }
        let expected = ingest.came + 1;
        if place.seq != expected {
            if place.seq > expected {
                tell_gap(&self.router, inbox, expected, place.seq);
            }
            if !place.gaps_are_fine || place.seq < expected {
                self.end_ingest(id, inbox);
                return Ok(());
            }
        }
        match place.operation {
            Operation::EndBefore => {
                ingest.came_up_to(place.seq - 1);
                self.end_ingest(id, inbox);
                return Ok(());
            }
            Operation::End => ingest.end = Some(inbox.into()),
            Operation::Add | Operation::Ping => {}
        }
        ingest.came = place.seq;
        if place.seq == 1 && ingest.end.is_none() && !self.state.config.no_ack {
            let word = ingest.word();
            tell(&self.router, inbox, &word);
        }
        message.headers = versions::without_level(&message.headers);
        let message = self.transformed(message);
        if let Some(seq) = self.known_id(&message, json::now()) {
            self.ingest_known(&place, inbox, seq);
            return Ok(());
        }
        match self.take_published(message).await {
            Ok(Taken { seq, .. }) => self.await_ingested(&place, inbox, Some(seq)),
            Err(refusal) => return self.ingest_refused(&place, inbox, refusal),
        }
        Ok(())
    }

    /// Has a batch take note of a message when that, or the one that it repeats, is on disk.
    fn await_ingested(&mut self, place: &Place<'_>, inbox: &str, seq: Option<u64>) {
        let Some(ingest) = self.fast_batches.by_id.get_mut(place.batch) else {
            return;
        };
        ingest.under_way += 1;
        self.batch.add(Effect::Ingested {
            batch: FastBatchId {
                id: place.batch.into(),
                number: ingest.number,
            },
            batch_seq: place.seq,
            seq,
            inbox: inbox.into(),
        });
    }

    /// Says how far a batch is, and that there is a gap if the publisher is ahead.
    fn ping_ingest(&mut self, place: &Place<'_>, inbox: &str) {
        let batches = self.fast_batches.by_id.len();
        let Some(ingest) = self.fast_batches.by_id.get_mut(place.batch) else {
            return;
        };
        if place.seq > ingest.came {
            let (expected, gaps_are_fine) = (ingest.came + 1, ingest.gaps_are_fine);
            if gaps_are_fine {
                ingest.came_up_to(place.seq);
                ingest.is_due(batches);
            }
            tell_gap(&self.router, inbox, expected, place.seq + 1);
            if !gaps_are_fine {
                return self.end_ingest(place.batch, inbox);
            }
        }
        if let Some(ingest) = self.fast_batches.by_id.get(place.batch) {
            tell(&self.router, inbox, &ingest.word());
        }
    }

    /// A message of a batch is in the stream already, or on its way to the disk.
    fn ingest_known(&mut self, place: &Place<'_>, inbox: &str, seq: u64) {
        if place.operation != Operation::End || place.gaps_are_fine || place.seq != 1 {
            return self.await_ingested(place, inbox, None);
        }
        self.fast_batches.by_id.remove(place.batch);
        if !self.state.config.no_ack {
            self.batch.add(Effect::Published {
                inbox: inbox.into(),
                seq,
                more: format!(",\"duplicate\":true{}", end_of(place.batch, 1)).into(),
            });
        }
    }

    /// A message of a batch is refused: the batch ends with the one before, unless gaps are fine.
    fn ingest_refused(&mut self, place: &Place<'_>, inbox: &str, refusal: ApiError) -> Result<()> {
        if !place.gaps_are_fine && place.seq == 1 {
            self.fast_batches.by_id.remove(place.batch);
            return Err(refusal);
        }
        let told = json!({"type": "err", "seq": place.seq, "error": refusal});
        tell(&self.router, inbox, &told);
        let batches = self.fast_batches.by_id.len();
        let Some(ingest) = self.fast_batches.by_id.get_mut(place.batch) else {
            return Ok(());
        };
        if place.gaps_are_fine && place.operation != Operation::End {
            ingest.came_up_to(place.seq);
            let word = ingest.is_due(batches).then(|| ingest.word());
            if let Some(word) = word {
                tell(&self.router, inbox, &word);
            }
            return Ok(());
        }
        ingest.came_up_to(place.seq - 1);
        self.end_ingest(place.batch, inbox);
        Ok(())
    }

    /// Ends a batch: at once if all of it is stored, or when that is.
    fn end_ingest(&mut self, id: &str, inbox: &str) {
        if let Some(ingest) = self.fast_batches.by_id.get_mut(id) {
            ingest.end = Some(inbox.into());
            self.end_if_stored(id);
        }
    }

    /// Whether a batch that is to end was stored as a whole and has ended.
    fn end_if_stored(&mut self, id: &str) -> bool {
        let Some(ingest) = self.fast_batches.by_id.get(id) else {
            return false;
        };
        let Some(inbox) = ingest.end.clone().filter(|_| ingest.came == ingest.stored) else {
            return false;
        };
        let (count, seq) = (ingest.came, ingest.stream_seq);
        self.fast_batches.by_id.remove(id);
        self.confirm_ingest(id, count, seq, &inbox);
        true
    }

    /// Takes note that a message of a batch is stored.
    pub(super) fn ingested(
        &mut self,
        batch: &FastBatchId,
        batch_seq: u64,
        seq: Option<u64>,
        inbox: &str,
    ) {
        let batches = self.fast_batches.by_id.len();
        let Some(ingest) = self.fast_batches.under_way(batch) else {
            return;
        };
        ingest.under_way = ingest.under_way.saturating_sub(1);
        ingest.last_active = Instant::now();
        ingest.stream_seq = seq.unwrap_or(ingest.stream_seq);
        ingest.stored = match ingest.under_way {
            0 => ingest.came,
            _ => batch_seq,
        };
        let word = ingest.is_due(batches).then(|| ingest.word().to_string());
        let word = word.filter(|_| !self.state.config.no_ack);
        if !self.end_if_stored(&batch.id)
            && let Some(word) = word
        {
            self.router
                .answer_with_others(inbox, &[], word.as_bytes(), &mut self.filled);
        }
    }

    /// A message of a batch could not be stored; the batch is over.
    pub(super) fn ingest_failed(&mut self, batch: &FastBatchId, inbox: &str, refusal: &ApiError) {
        if self.fast_batches.under_way(batch).is_some() {
            self.fast_batches.by_id.remove(&batch.id);
        }
        self.refuse_ingest(inbox, refusal);
    }

    fn confirm_ingest(&mut self, id: &str, count: u64, seq: u64, inbox: &str) {
        if self.state.config.no_ack {
            return;
        }
        let ack = format!("{}{seq}{}}}", self.ack_start, end_of(id, count));
        self.router
            .answer_with_others(inbox, &[], ack.as_bytes(), &mut self.filled);
    }
}

fn tell(router: &Router, inbox: &str, word: &Value) {
    router.answer(inbox, &[], word.to_string().as_bytes());
}

/// Says that what was expected has not come before `seq`.
fn tell_gap(router: &Router, inbox: &str, expected: u64, seq: u64) {
    let gap = json!({"type": "gap", "last_seq": expected, "seq": seq});
    tell(router, inbox, &gap);
}

impl Drop for FastBatch {
    fn drop(&mut self) {
        self.usage.batches.fast.fetch_sub(1, Ordering::Relaxed);
    }
}

fn begun(place: &Place<'_>, number: u64, others: usize, usage: &Arc<Usage>) -> FastBatch {
    usage.batches.fast.fetch_add(1, Ordering::Relaxed);
    FastBatch {
        number,
        gaps_are_fine: place.gaps_are_fine,
        came: 0,
        stored: 0,
        stream_seq: 0,
        told: 0,
        under_way: 0,
        // Beside others it begins slowly.
        every: if others > 0 {
            1
        } else {
            place.every.min(MAX_EVERY)
        },
        most: place.every,
        end: None,
        last_active: Instant::now(),
        usage: Arc::clone(usage),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::lifetimes::tests::Bench;
    use super::*;
    use crate::broker::headers;
    use crate::broker::outbound::Outbound;
    use crate::broker::router::Subscription;

    /// What the publisher hears whose messages are, one after the other, at these places, with such a level of the API and
    /// of such a length. All go into one write.
    async fn heard(gaps: &str, messages: &[(&str, &str, usize)]) -> String {
        let config = json!({
            "name": "S", "subjects": ["a"], "allow_batched": true, "max_msg_size": 50,
        });
        let mut bench = Bench::new(&config, &[], 0);
        let client = Outbound::new(1, 1 << 20);
        let inbox = Subscription::new("i.>".into(), None, "1".into(), Arc::clone(&client));
        bench.stream.router.subscribe(Arc::new(inbox));
        for (place, level, size) in messages {
            let message = Message {
                subject: "a".into(),
                reply: Some(format!("i.b.2.{gaps}.{place}.$FI").into()),
                headers: headers::with_status("", &[("Nats-Required-Api-Level", level)]),
                payload: vec![b'x'; *size].into(),
            };
            bench.stream.publish(message).await;
        }
        bench.stream.flush().await;
        let mut heard = String::new();
        while let Some(Some(buffers)) = client.next().now_or_never() {
            for bytes in buffers {
                heard.push_str(std::str::from_utf8(&bytes).unwrap());
                client.written(bytes.len());
            }
        }
        heard
    }

    #[tokio::test]
    async fn a_batch_is_not_taken_for_an_earlier_one_with_its_id() {
        let heard = heard("fail", &[("1.0", "", 1), ("2.1", "9", 1), ("1.2", "", 1)]).await;
        let end = r#""seq":2,"batch":"b","count":1"#;
        assert!(heard.contains(end), "{heard}");
        assert_eq!(heard.matches("count").count(), 1, "{heard}");
    }

    #[tokio::test]
    async fn a_batch_goes_on_of_which_nothing_is_taken() {
        let refused = [
            ("1.0", "", 99),
            ("2.1", "", 99),
            ("3.1", "", 99),
            ("3.1", "", 1),
        ];
        let heard = heard("ok", &refused).await;
        assert_eq!(heard.matches(r#""type":"err""#).count(), 3, "{heard}");
        assert!(
            heard.contains(r#""msgs":2,"seq":2,"type":"ack""#),
            "{heard}"
        );
        assert!(heard.contains(r#""count":3"#), "it is over: {heard}");
    }

    #[test]
    fn inboxes_say_where_a_message_belongs() {
        let place = Place::of("_INBOX.a.b.5.fail.1.0.$FI").unwrap();
        assert_eq!((place.batch, place.every, place.seq), ("b", 5, 1));
        let place = Place::of("x.b.0.ok.7.3.$FI").unwrap();
        assert_eq!((place.every, place.operation), (10, Operation::EndBefore));
        assert!(place.gaps_are_fine);
        for wrong in [
            "x.b.5.fail.0.1.$FI",
            "x.b.5.fail.2.0.$FI",
            "x.b.5.fail.1.1.$FI",
            "x.b.5.fail.1.3.$FI",
            "x.b.5.maybe.1.0.$FI",
            "x.b.5.fail.1.5.$FI",
            "b.5.fail.1.0.$FI",
        ] {
            assert_eq!(Place::of(wrong), None, "{wrong}");
        }
    }
}
