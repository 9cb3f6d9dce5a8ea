//! What a stream's writes bring about: effects when a batch is on disk, refusals when it could not be written.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::answers::{Responder, describe_stream};
use super::batch::{Batch, Effect, Unsynced};
use super::error;
use super::json;
use super::state::Change;
use super::stream::Stream;
use super::usage::{Share, configuration_size, reservation, stream_configuration_size};
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::store::log::Position;
use crate::broker::store::record::{self, Record, StoredMessage};
use crate::broker::store::write::Written;

/// The header that names the stream which publishes a message again; there is one for each.
const ORIGIN: &str = "Nats-Stream";
/// How many streams, one after the other, may publish a message again. Those that take what the others publish would never end.
const MAX_REPUBLISHED: usize = 8;

impl Stream {
    /// Takes note of what came of the write on its way.
    pub(super) fn written(&mut self, outcome: io::Result<Written>) {
        self.outcome = None;
        let Some((batch, bytes)) = self.writing.take() else {
            return;
        };
        match outcome {
            Ok(written) => self.on_disk(batch, &bytes, written),
            Err(error) => {
                let gathered = std::mem::take(&mut self.batch);
                // Neither is what was gathered meanwhile written.
                self.atomic_batches.submit();
                self.atomic_batches.written();
                self.note_failing(Some(&error));
                self.log.failed();
                self.compactor.forget_plan();
                self.tail_seq = self.state.messages.last_seq;
                self.state.duplicates.forget_behind(self.tail_seq);
                self.state.lifetimes.retry_marks(json::now());
                self.state.schedules.retry(json::now());
                for batch in [batch, gathered] {
                    self.refuse(batch, &error);
                }
            }
        }
    }

    /// Says once that the log cannot be written, and once that it can again.
    pub(super) fn note_failing(&mut self, failure: Option<&io::Error>) {
        let stream = &self.state.config.name;
        match failure {
            Some(error) if !self.failing => {
                tracing::error!(stream, %error, "cannot write to a stream's log");
                self.stats.failing_streams.fetch_add(1, Ordering::Relaxed);
            }
            None if self.failing => {
                tracing::info!(stream, "a stream's log can be written again");
                self.stats.failing_streams.fetch_sub(1, Ordering::Relaxed);
            }
            _ => return,
        }
        self.failing = !self.failing;
    }

    /// Lets the effects of a batch be seen. What clients are told goes out with what consumers deliver.
    pub(super) fn on_disk(&mut self, batch: Batch, bytes: &Bytes, written: Written) {
        let now = Instant::now();
        self.note_failing(None);
        let (segment, begin) = (written.segment, written.offset);
        let has_begun = written.has_begun();
        self.log.finish(written);
        for effect in batch.effects {
            match effect {
                Effect::Store(message) => {
                    let body = bytes.slice(message.offset..message.offset + message.len);
                    let position = Position {
                        segment,
                        offset: begin + message.offset as u64,
                        len: u32::try_from(message.len).unwrap_or(u32::MAX),
                    };
                    self.take_stored(message, position, body);
                }
                other => self.take_effect(other, segment, now),
            }
        }
        if has_begun {
            self.begin_compaction();
        }
        self.cache.trim(bytes.len(), now);
        self.atomic_batches.written();
    }

    /// Takes a message over that is stored, with what it replaces, and publishes it again if the stream is to.
    fn take_stored(&mut self, message: Unsynced, position: Position, body: Bytes) {
        let (seq, subject) = (message.seq, &*message.subject);
        let again = self.state.republish.as_ref();
        let again = again.and_then(|transform| transform.apply(subject));
        let republished = again.map(|to| (to, self.state.messages.last_on(subject), body.clone()));
        match &mut self.state.bodies {
            // A copy, so that one message that stays does not keep the batch that it came in.
            Some(bodies) => {
                bodies.insert(seq, Bytes::copy_from_slice(&body));
            }
            None => self.cache.insert(seq, body),
        }
        let id = message.message_id.as_deref().unwrap_or_default();
        self.state
            .messages
            .note_id(position.segment, id, message.time);
        let (time, size) = (message.time, message.size);
        self.state
            .take_over(seq, subject, position, time, size, &message.headers);
        self.state.duplicates.stored(message.message_id);
        if let Some((to, last, body)) = republished
            && let Some(Record::Message(message)) = record::decode(body)
        {
            self.republish(&to, last.unwrap_or(0), &message);
        }
    }

    /// Publishes a stored message again, with headers that say where it is stored.
    fn republish(&self, to: &str, last_seq: u64, message: &StoredMessage) {
        let config = &self.state.config;
        if headers::count(&message.headers, ORIGIN) >= MAX_REPUBLISHED {
            if let Some(times) = self.circles.is_due(Instant::now()) {
                tracing::warn!(
                    stream = config.name,
                    times,
                    "not publishing a message again that many streams have published again: they may form a circle"
                );
            }
            return;
        }
        let (seq, time) = (message.seq.to_string(), json::time(message.time));
        let (last_seq, size) = (last_seq.to_string(), message.payload.len().to_string());
        let origin = [
            (ORIGIN, config.name.as_str()),
            ("Nats-Subject", &message.subject),
            ("Nats-Sequence", &seq),
            ("Nats-Time-Stamp", &time),
            ("Nats-Last-Sequence", &last_seq),
            ("Nats-Msg-Size", &size),
        ];
        let headers_only = config.republish.as_ref().is_some_and(|to| to.headers_only);
        let (origin, payload) = match origin.split_last() {
            Some((_, origin)) if !headers_only => (origin, message.payload.clone()),
            _ => (origin.as_slice(), Bytes::new()),
        };
        self.router.announce(Message {
            subject: to.into(),
            reply: None,
            headers: headers::extended(&message.headers, origin),
            payload,
        });
    }

    fn take_effect(&mut self, effect: Effect, segment: u64, now: Instant) {
        match effect {
            Effect::Published { inbox, seq, more } => {
                let ack = format!("{}{seq}{more}}}", self.ack_start);
                self.router
                    .answer_with_others(&inbox, &[], ack.as_bytes(), &mut self.filled);
            }
            Effect::Ingested {
                batch,
                batch_seq,
                seq,
                inbox,
            } => self.ingested(&batch, batch_seq, seq, &inbox),
            Effect::Skipped { seq, time, id } => {
                self.state.messages.advance(0, seq, time);
                let noted = id.as_deref().unwrap_or_default();
                self.state.messages.note_id(segment, noted, time);
                self.state.duplicates.stored(id);
            }
            // [`Stream::on_disk`] knows where it is.
            Effect::Store(_) => {}
            Effect::Expire(time) => self.state.expire(time),
            Effect::Release(seqs) => seqs.iter().for_each(|seq| self.state.release(*seq)),
            Effect::Confirm { inbox } => {
                self.router
                    .answer_with_others(&inbox, &[], &[], &mut self.filled);
            }
            Effect::Answer { answer, responder } => responder.send(Ok(answer)),
            Effect::Change {
                change,
                created,
                responder,
            } => self.take_change(change, created, responder, now),
            Effect::Remove {
                seqs,
                purge,
                responder,
            } => {
                seqs.iter().for_each(|seq| self.state.remove(*seq));
                let answer = if purge {
                    json!({"success": true, "purged": seqs.len()})
                } else {
                    json!({"success": true})
                };
                responder.send(Ok(answer));
            }
            Effect::RemoveBelow { seq, responder } => {
                let before = self.state.messages.len();
                self.state.remove_below(seq);
                self.tail_seq = self.tail_seq.max(self.state.messages.last_seq);
                responder.send(Ok(
                    json!({"success": true, "purged": before - self.state.messages.len()}),
                ));
            }
        }
    }

    fn take_change(&mut self, change: Change, created: bool, responder: Responder, now: Instant) {
        let consumer = match &change {
            Change::ConsumerSaved(saved) => Some(saved.config.name.clone()),
            Change::ConsumerDeleted(name) => Some(name.clone()),
            Change::Configured(_) => None,
        };
        let before = self.configured(consumer.as_deref());
        self.state.apply(change, now);
        let after = self.configured(consumer.as_deref());
        self.report(Share {
            reserved: reservation(&self.state.config),
            configurations: self.reported.configurations + after - before,
            consumers: self.state.consumers.len() as u64,
            ..self.reported
        });
        let answer = match consumer {
            Some(name) => self.consumer_changed(&name, created, now),
            None => describe_stream(&self.state, self.router.domain(), false, None),
        };
        responder.send(Ok(answer));
    }

    /// What the configuration of a consumer counts for, or that of the stream itself.
    pub(super) fn configured(&self, consumer: Option<&str>) -> u64 {
        let Some(name) = consumer else {
            return stream_configuration_size(&self.state.config);
        };
        let consumer = self.state.consumers.get(name);
        consumer.map_or(0, |consumer| configuration_size(&consumer.config))
    }

    /// Takes back what could not be written, and says so to each client that waits for it.
    pub(super) fn refuse(&mut self, batch: Batch, error: &io::Error) {
        let refusal = error::store_failed(error);
        for effect in batch.effects {
            match effect {
                Effect::Published { inbox, .. } => self.refuse_publish(&inbox, &refusal),
                Effect::Ingested { batch, inbox, .. } => {
                    self.ingest_failed(&batch, &inbox, &refusal);
                }
                // The consumer is done with them all the same, as the state says that the next segment begins with.
                Effect::Release(seqs) => seqs.iter().for_each(|seq| self.state.release(*seq)),
                // Unconfirmed, the client asks again.
                Effect::Confirm { .. }
                | Effect::Expire(_)
                | Effect::Store(_)
                | Effect::Skipped { .. } => {}
                Effect::Change { responder, .. }
                | Effect::Answer { responder, .. }
                | Effect::Remove { responder, .. }
                | Effect::RemoveBelow { responder, .. } => {
                    responder.send(Err(refusal.clone()));
                }
            }
        }
    }

    pub(super) fn refuse_publish(&self, inbox: &str, refusal: &error::ApiError) {
        let answer = json!({"error": refusal, "stream": self.state.config.name, "seq": 0});
        self.router
            .answer(inbox, &[], answer.to_string().as_bytes());
    }
}
