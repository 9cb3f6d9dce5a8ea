//! The task of one stream. It owns all of the stream's state, takes commands in order, gathers what they change into
//! batches, and lets the effects of a batch be seen when the batch is on disk.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::answers::{Responder, describe_consumer, describe_stream};
use super::batch::{Batch, Effect};
use super::cache::Cache;
use super::deliver::Waiting;
use super::error;
use super::json;
use super::requests::Request;
use super::state::State;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::router::Router;
use crate::broker::store::folder::delete_stream_dir;
use crate::broker::store::log::{Log, Position, Written};
use crate::broker::store::record::Record;
use crate::broker::store::syncer::{Outcome, Syncer};

/// How many commands may wait for a stream; then its publishers wait.
pub(super) const MAX_COMMANDS: usize = 256;
/// A batch that is this large takes no more commands until it is on its way.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How long records that nobody waits for may stay in memory.
const LAZY_DELAY: Duration = Duration::from_millis(50);
/// The longest sleep, so that what depends on the clock of the wall is looked at now and then.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// What a stream is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Message),
    Pull { consumer: Box<str>, body: Bytes, inbox: Box<str> },
    Acknowledge { consumer: Box<str>, seq: u64, body: Bytes, inbox: Option<Box<str>> },
    DirectGet { subject: Option<Box<str>>, body: Bytes, inbox: Box<str> },
    Request { request: Request, responder: Responder },
    /// Write what is left and end.
    Stop,
}

/// The state of the task.
pub(super) struct Stream {
    pub(super) state: State,
    pub(super) log: Log,
    pub(super) syncer: Syncer,
    pub(super) router: Arc<Router>,
    pub(super) cache: Cache,
    pub(super) waiting: HashMap<String, Waiting>,
    pub(super) batch: Batch,
    /// The batch that is being written, with its bytes.
    pub(super) writing: Option<(Batch, Bytes)>,
    outcome: Option<Outcome>,
    lazy_since: Option<Instant>,
    /// The last sequence given out, on disk or not.
    pub(super) tail_seq: u64,
    pub(super) ended: bool,
}

impl Stream {
    pub(super) fn new(state: State, log: Log, syncer: Syncer, router: Arc<Router>) -> Self {
        Stream {
            tail_seq: state.messages.last_seq,
            state,
            log,
            syncer,
            router,
            cache: Cache::default(),
            waiting: HashMap::new(),
            batch: Batch::default(),
            writing: None,
            outcome: None,
            lazy_since: None,
            ended: false,
        }
    }

    /// Serves commands until told to stop, or until the stream is deleted. Returns the stream's name.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> String {
        while !self.ended {
            let wake = self.next_wake(Instant::now());
            tokio::select! {
                biased;
                outcome = finished(&mut self.outcome) => self.written(outcome),
                command = commands.recv(), if self.batch.bytes.len() < MAX_BATCH_BYTES => {
                    self.handle(command.unwrap_or(Command::Stop)).await;
                    while self.batch.bytes.len() < MAX_BATCH_BYTES && !self.ended
                        && let Ok(command) = commands.try_recv()
                    {
                        self.handle(command).await;
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = Instant::now();
            self.tend(now);
            self.serve_pulls(now).await;
            self.write(now);
        }
        self.state.config.name
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Publish(message) => self.publish(message),
            Command::Pull { consumer, body, inbox } => self.pull(&consumer, &body, &inbox),
            Command::Acknowledge { consumer, seq, body, inbox } => self.acknowledge(&consumer, seq, &body, inbox),
            Command::DirectGet { subject, body, inbox } => self.direct_get(subject.as_deref(), &body, &inbox).await,
            Command::Request { request: Request::Delete, responder } => self.delete(responder).await,
            Command::Request { request, responder } => self.answer(request, responder).await,
            Command::Stop => {
                self.flush().await;
                self.ended = true;
            }
        }
    }

    /// Sends the gathered batch on its way, if it is due and none is.
    fn write(&mut self, now: Instant) {
        if self.outcome.is_some() || self.batch.is_empty() {
            return;
        }
        let since = *self.lazy_since.get_or_insert(now);
        if self.batch.is_awaited() || now >= since + LAZY_DELAY {
            self.submit();
        }
    }

    fn submit(&mut self) {
        self.lazy_since = None;
        let mut batch = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut batch.bytes).freeze();
        let state = &self.state;
        let write = self.log.write(bytes.clone(), |_| state.snapshot());
        self.outcome = Some(self.syncer.submit(write));
        self.writing = Some((batch, bytes));
    }

    /// Writes everything that is gathered, and waits for it.
    async fn flush(&mut self) {
        while self.outcome.is_some() || !self.batch.is_empty() {
            if self.outcome.is_none() {
                self.submit();
            }
            let outcome = finished(&mut self.outcome).await;
            self.written(outcome);
        }
    }

    fn written(&mut self, outcome: io::Result<Written>) {
        self.outcome = None;
        let Some((batch, bytes)) = self.writing.take() else { return };
        match outcome {
            Ok(written) => self.on_disk(batch, &bytes, written),
            Err(error) => {
                let gathered = std::mem::take(&mut self.batch);
                tracing::error!(stream = self.state.config.name, %error, "cannot write to a stream's log");
                self.log.failed();
                self.tail_seq = self.state.messages.last_seq;
                for batch in [batch, gathered] {
                    self.refuse(batch, &error);
                }
            }
        }
    }

    fn on_disk(&mut self, batch: Batch, bytes: &Bytes, written: Written) {
        let now = Instant::now();
        for message in &batch.messages {
            let body = bytes.slice(message.offset..message.offset + message.len);
            let position = Position {
                segment: written.segment,
                offset: written.offset + message.offset as u64,
                len: u32::try_from(message.len).unwrap_or(u32::MAX),
            };
            self.cache.insert(message.seq, body);
            self.state.add(message.seq, &message.subject, position, message.time, message.size);
        }
        self.log.finish(written);
        for effect in batch.effects {
            self.take_effect(effect, now);
        }
        self.drop_dead_segments();
    }

    fn drop_dead_segments(&mut self) {
        let messages = &self.state.messages;
        self.log.drop_front(|segment| messages.segment_is_live(segment));
    }

    fn take_effect(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Published { inbox, seq, duplicate } => {
                let mut ack = json!({"stream": self.state.config.name, "seq": seq});
                if duplicate && let Some(ack) = ack.as_object_mut() {
                    ack.insert("duplicate".to_owned(), true.into());
                }
                self.router.answer(&inbox, &[], ack.to_string().as_bytes());
            }
            Effect::Confirm { inbox } => self.router.answer(&inbox, &[], &[]),
            Effect::Change { change, created, responder } => self.take_change(change, created, responder, now),
            Effect::Remove { seqs, purge, responder } => {
                seqs.iter().for_each(|seq| self.state.remove(*seq));
                let answer = if purge { json!({"success": true, "purged": seqs.len()}) } else { json!({"success": true}) };
                responder.send(Ok(answer));
            }
            Effect::RemoveBelow { seq, responder } => {
                let before = self.state.messages.len();
                self.state.remove_below(seq);
                responder.send(Ok(json!({"success": true, "purged": before - self.state.messages.len()})));
            }
        }
    }

    fn take_change(&mut self, change: super::state::Change, created: bool, responder: Responder, now: Instant) {
        use super::state::Change;
        let consumer = match &change {
            Change::ConsumerSaved(saved) => Some(saved.config.name.clone()),
            Change::ConsumerDeleted(name) => {
                self.end_pulls(name);
                None
            }
            Change::Configured(_) => None,
        };
        let deleted = matches!(change, Change::ConsumerDeleted(_));
        self.state.apply(change, now);
        let answer = match consumer.and_then(|name| self.state.consumers.get(&name)) {
            Some(consumer) => {
                self.waiting.entry(consumer.config.name.clone()).or_insert_with(|| Waiting::new(now));
                let mut answer = describe_consumer(&self.state.config.name, consumer, 0);
                if created && let Some(answer) = answer.as_object_mut() {
                    answer.insert("did_create".to_owned(), true.into());
                }
                answer
            }
            None if deleted => json!({"success": true}),
            None => describe_stream(&self.state, false, None),
        };
        responder.send(Ok(answer));
    }

    /// Takes back what could not be written, and says so to everybody who waits for it.
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
                Effect::Change { responder, .. } | Effect::Remove { responder, .. } | Effect::RemoveBelow { responder, .. } => {
                    responder.send(Err(refusal.clone()));
                }
            }
        }
    }

    pub(super) fn refuse_publish(&self, inbox: &str, refusal: &error::ApiError) {
        let answer = json!({"error": refusal, "stream": self.state.config.name, "seq": 0});
        self.router.answer(inbox, &[], answer.to_string().as_bytes());
    }

    async fn delete(&mut self, responder: Responder) {
        self.flush().await;
        for name in self.state.consumers.keys().cloned().collect::<Vec<_>>() {
            self.end_pulls(&name);
        }
        let dir = self.log.dir().to_owned();
        let deleted = tokio::task::spawn_blocking(move || delete_stream_dir(&dir)).await;
        responder.send(match deleted {
            Ok(Ok(())) => {
                self.ended = true;
                Ok(json!({"success": true}))
            }
            Ok(Err(error)) => Err(error::store_failed(&error)),
            Err(_) => Err(error::BUSY),
        });
    }

    fn end_pulls(&mut self, consumer: &str) {
        if let Some(mut waiting) = self.waiting.remove(consumer) {
            for pull in waiting.pulls.drain() {
                self.router.answer(&pull.inbox, &headers::status("409 Consumer Deleted"), &[]);
            }
        }
    }

    /// Does what time asks for: old messages out, late acknowledgements again, requests ended.
    fn tend(&mut self, now: Instant) {
        let before = self.state.messages.len();
        self.state.expire(json::now());
        if self.state.messages.len() != before {
            self.drop_dead_segments();
        }
        self.tend_consumers(now);
    }

    fn next_wake(&self, now: Instant) -> Instant {
        let lazy = self.lazy_since.map(|since| since + LAZY_DELAY);
        let age = (self.state.config.max_age > 0 && self.state.messages.len() > 0).then(|| {
            let left = self.state.messages.first_time() + self.state.config.max_age - json::now();
            now + super::consumer_config::nanos_to_duration(left) + Duration::from_millis(1)
        });
        let dues = [lazy.filter(|_| self.outcome.is_none()), age, self.next_consumer_due(now)];
        dues.into_iter().flatten().min().unwrap_or(now + MAX_SLEEP).min(now + MAX_SLEEP)
    }

    /// The body of a message, from memory or from disk; `None` when it cannot be read.
    pub(super) async fn body(&mut self, seq: u64) -> io::Result<Option<Record>> {
        if self.cache.get(seq).is_none() {
            self.read_ahead(seq).await?;
        }
        Ok(self.cache.get(seq).cloned().and_then(crate::broker::store::record::decode))
    }

    /// Reads a message and some that follow it, where blocking hurts nobody.
    async fn read_ahead(&mut self, seq: u64) -> io::Result<()> {
        const MESSAGES: usize = 128;
        const BYTES: u64 = 1 << 20;
        let mut positions = Vec::new();
        let mut bytes = 0;
        for (seq, entry) in self.state.messages.range(seq).take(MESSAGES) {
            if bytes > 0 && (bytes + u64::from(entry.position.len) > BYTES || self.cache.get(seq).is_some()) {
                break;
            }
            bytes += u64::from(entry.position.len);
            positions.push((seq, entry.position));
        }
        let reader = self.log.reader(positions.iter().map(|(_, position)| *position).collect());
        let bodies = tokio::task::spawn_blocking(move || reader.read()).await.map_err(io::Error::other)??;
        for ((seq, _), body) in positions.into_iter().zip(bodies) {
            self.cache.insert(seq, body);
        }
        Ok(())
    }
}

/// Waits for the write on its way; for ever when there is none.
async fn finished(outcome: &mut Option<Outcome>) -> io::Result<Written> {
    match outcome {
        Some(outcome) => outcome.await.unwrap_or_else(|_| Err(io::Error::other("the sync thread is gone"))),
        None => std::future::pending().await,
    }
}
