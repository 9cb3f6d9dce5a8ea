//! What a stream's writes bring about: effects when a batch is on disk, refusals when it could not be written.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::answers::{Responder, describe_stream};
use super::batch::{Batch, Effect};
use super::error;
use super::state::Change;
use super::stream::Stream;
use crate::broker::store::log::Position;
use crate::broker::store::write::Written;

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
                self.note_failing(Some(&error));
                self.log.failed();
                self.tail_seq = self.state.messages.last_seq;
                for batch in [batch, gathered] {
                    self.refuse(batch, &error);
                }
            }
        }
    }

    /// Says once that the log cannot be written, and once that it can again.
    fn note_failing(&mut self, failure: Option<&io::Error>) {
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

    fn on_disk(&mut self, batch: Batch, bytes: &Bytes, written: Written) {
        let now = Instant::now();
        self.note_failing(None);
        for message in &batch.messages {
            let body = bytes.slice(message.offset..message.offset + message.len);
            let position = Position {
                segment: written.segment,
                offset: written.offset + message.offset as u64,
                len: u32::try_from(message.len).unwrap_or(u32::MAX),
            };
            self.cache.insert(message.seq, body);
            self.state.add(
                message.seq,
                &message.subject,
                position,
                message.time,
                message.size,
            );
        }
        self.log.finish(written);
        if let Some(id) = batch
            .messages
            .into_iter()
            .rev()
            .find_map(|message| message.message_id)
        {
            self.state.duplicates.stored(id);
        }
        for effect in batch.effects {
            self.take_effect(effect, now);
        }
        self.drop_dead_segments();
    }

    pub(super) fn drop_dead_segments(&mut self) {
        let messages = &self.state.messages;
        self.log
            .drop_front(|segment| messages.segment_is_live(segment));
    }

    fn take_effect(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Published {
                inbox,
                seq,
                duplicate,
            } => {
                let mut ack = json!({"stream": self.state.config.name, "seq": seq});
                if duplicate && let Some(ack) = ack.as_object_mut() {
                    ack.insert("duplicate".to_owned(), true.into());
                }
                self.router.answer(&inbox, &[], ack.to_string().as_bytes());
            }
            Effect::Confirm { inbox } => self.router.answer(&inbox, &[], &[]),
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
        self.state.apply(change, now);
        let answer = match consumer {
            Some(name) => self.consumer_changed(&name, created, now),
            None => describe_stream(&self.state, false, None),
        };
        responder.send(Ok(answer));
    }

    /// Takes back what could not be written, and says so to each client that waits for it.
    fn refuse(&mut self, batch: Batch, error: &io::Error) {
        let refusal = error::store_failed(error);
        for message in &batch.messages {
            if let Some(id) = &message.message_id {
                self.state.duplicates.remove(id);
            }
        }
        for effect in batch.effects {
            match effect {
                Effect::Published { inbox, .. } => self.refuse_publish(&inbox, &refusal),
                // Unconfirmed, the client asks again.
                Effect::Confirm { .. } => {}
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
