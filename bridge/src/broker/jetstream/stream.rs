//! The task of one stream. It owns all of the stream's state, takes commands in order, gathers what they change into
//! batches, and lets the effects of a batch be seen when the batch is on disk.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot};

use super::answers::Responder;
use super::batch::Batch;
use super::batch_gets::BatchGet;
use super::batches::AtomicBatches;
use super::cache::Cache;
use super::compaction::Compactor;
use super::deliver::{Waiting, end_pull};
use super::domain;
use super::error;
use super::ingest::FastBatches;
use super::json;
use super::requests::Request;
use super::retention::Lag;
use super::state::State;
use super::unreadable::Unreadable;
use super::usage::{Share, Usage, configuration_size, reservation, stream_configuration_size};
use crate::broker::Counters;
use crate::broker::outbound::Filled;
use crate::broker::protocol::Message;
use crate::broker::router::Router;
use crate::broker::store::folder::delete_stream_dir;
use crate::broker::store::live::Runs;
use crate::broker::store::log::Log;
use crate::broker::store::syncer::{Outcome, Syncer};
use crate::broker::store::write::Written;
use crate::broker::throttle::Throttle;

/// How many commands may wait for a stream; then its publishers wait.
pub(super) const MAX_COMMANDS: usize = 256;
/// How many commands one counts for that may look at very many messages.
const LOOK_UP: usize = 16;
/// A batch that is this large takes no more commands until it is on its way.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How long records may stay in memory when no client waits for them.
const LAZY_DELAY: Duration = Duration::from_millis(50);
/// The longest sleep, so that what depends on the clock of the wall is looked at now and then.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// What a stream is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Message),
    /// Publish a message, or only find out what would become of it, and say so.
    Trace {
        message: Message,
        only: bool,
        outcome: oneshot::Sender<error::Result<Value>>,
    },
    Pull {
        consumer: Box<str>,
        body: Bytes,
        inbox: Box<str>,
        /// The number of the connection that asks.
        asker: u64,
    },
    Acknowledge {
        subject: Box<str>,
        body: Bytes,
        inbox: Option<Box<str>>,
        asker: u64,
    },
    /// A push consumer's client has what it was sent before the request that was to be answered to `subject`.
    FlowControl {
        consumer: Box<str>,
        subject: Box<str>,
    },
    DirectGet {
        subject: Option<Box<str>>,
        body: Bytes,
        inbox: Box<str>,
        asker: u64,
    },
    /// Write what is left and end.
    Stop,
    #[cfg(test)]
    Panic,
}

impl Command {
    /// How many commands it counts for where others have their turn.
    fn weight(&self) -> usize {
        match self {
            // Perhaps messages have to be searched for.
            Command::DirectGet { subject: None, .. } => LOOK_UP,
            _ => 1,
        }
    }
}

/// What waits for a stream.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) requests: mpsc::Receiver<(Request, Responder)>,
}

impl Inbox {
    /// Refuses what is still asked of a stream that has ended.
    pub(super) fn close(&mut self) {
        self.requests.close();
        while let Ok((_, responder)) = self.requests.try_recv() {
            responder.send(Err(error::STREAM_NOT_FOUND));
        }
    }
}

/// The state of the task.
pub(super) struct Stream {
    pub(super) state: State,
    pub(super) log: Log,
    pub(super) syncer: Syncer,
    pub(super) router: Arc<Router>,
    pub(super) cache: Cache,
    pub(super) waiting: HashMap<String, Waiting>,
    /// Told when a client of a push consumer may have come or gone.
    pub(super) interest: Arc<Notify>,
    pub(super) interest_changed: bool,
    pub(super) batch: Batch,
    /// The batch that is being written, with its bytes.
    pub(super) writing: Option<(Batch, Bytes)>,
    pub(super) outcome: Option<Outcome>,
    /// Batches of publishers that are not complete yet.
    pub(super) atomic_batches: AtomicBatches,
    pub(super) fast_batches: FastBatches,
    /// Requests for several messages, each with a slice of its answer in turn.
    pub(super) batch_gets: VecDeque<BatchGet>,
    lazy_since: Option<Instant>,
    pub(super) compactor: Compactor,
    pub(super) lag: Lag,
    /// The last sequence given out, on disk or not.
    pub(super) tail_seq: u64,
    pub(super) ended: bool,
    pub(super) failing: bool,
    pub(super) unreadable: Unreadable,
    pub(super) stats: Arc<Counters>,
    pub(super) usage: Arc<Usage>,
    /// What it was last said to take.
    pub(super) reported: Share,
    /// Messages that were published again too often.
    pub(super) circles: Throttle,
    pub(super) stuck_schedules: Throttle,
    /// Who has been answered and is not written to yet.
    pub(super) filled: Filled,
    /// What is the same in all acknowledgements of publications: all before the sequence.
    pub(super) ack_start: String,
}

impl Stream {
    pub(super) fn new(
        state: State,
        log: Log,
        syncer: Syncer,
        router: Arc<Router>,
        stats: Arc<Counters>,
        usage: Arc<Usage>,
    ) -> Self {
        let mut ack = json!({"stream": state.config.name});
        domain::mark(router.domain(), &mut ack);
        let ack_start = format!("{},\"seq\":", ack.to_string().trim_end_matches('}'));
        let mut stream = Stream {
            tail_seq: state.messages.last_seq,
            state,
            log,
            syncer,
            router,
            cache: Cache::new(&usage),
            waiting: HashMap::new(),
            interest: Arc::default(),
            interest_changed: false,
            batch: Batch::default(),
            writing: None,
            outcome: None,
            atomic_batches: AtomicBatches::default(),
            fast_batches: FastBatches::default(),
            batch_gets: VecDeque::new(),
            lazy_since: None,
            compactor: Compactor::new(Instant::now()),
            lag: Lag::new(Instant::now()),
            ended: false,
            failing: false,
            unreadable: Unreadable::default(),
            stats,
            usage,
            reported: Share::default(),
            circles: Throttle::default(),
            stuck_schedules: Throttle::default(),
            filled: Filled::default(),
            ack_start,
        };
        stream.report(stream.share());
        stream
    }

    /// Serves commands until told to stop, or until the stream is deleted.
    pub(super) async fn serve(&mut self, inbox: &mut Inbox) {
        // At once, to look after what was recovered.
        let mut wake = Instant::now();
        while !self.ended {
            let has_room = self.has_room();
            tokio::select! {
                outcome = finished(&mut self.outcome) => self.written(outcome),
                command = inbox.commands.recv(), if has_room => {
                    self.handle(command.unwrap_or(Command::Stop)).await;
                    self.handle_more(&mut inbox.commands).await;
                }
                Some((request, responder)) = inbox.requests.recv(), if has_room => {
                    self.answer(request, responder).await;
                }
                outcome = self.compactor.step_done() => self.stepped(outcome),
                () = self.interest.notified() => self.interest_changed = true,
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let mut is_changed = true;
            while std::mem::take(&mut is_changed) {
                let now = Instant::now();
                self.tend(now);
                self.publish_scheduled().await;
                self.retry_reads(now).await;
                self.serve_consumers(now).await;
                self.serve_batch_gets(now).await;
                self.filled.flush();
                // What is kept in memory alone is there at once, for clients that may wait for it.
                is_changed = self.write(now);
            }
            self.report(Share {
                bytes: self.state.messages.bytes,
                ..self.reported
            });
            wake = self.next_wake(Instant::now());
        }
        self.leave();
    }

    /// Whether more may be gathered for the next write.
    pub(super) fn has_room(&self) -> bool {
        self.batch.bytes.len() < MAX_BATCH_BYTES
    }

    /// Takes back what it told of itself.
    fn leave(&mut self) {
        self.count_lag(false);
        self.forget_unreadable();
        self.report(Share::default());
    }

    /// Tells whoever waits for the stream that it begins again. What is on its way to the disk stays without an answer: it may
    /// be there.
    pub(super) fn abandon(&mut self) {
        self.leave();
        self.note_failing(None);
        for waiting in self.waiting.values_mut() {
            for pull in waiting.pulls.drain() {
                end_pull(&self.router, &pull, "409 Leadership Change");
            }
        }
        let batch = std::mem::take(&mut self.batch);
        self.refuse(batch, &io::Error::other("the stream was restarted"));
    }

    /// What it takes, counted anew.
    fn share(&self) -> Share {
        let consumers = self.state.consumers.values();
        let configurations = consumers.map(|consumer| configuration_size(&consumer.config));
        Share {
            bytes: self.state.messages.bytes,
            reserved: reservation(&self.state.config),
            configurations: stream_configuration_size(&self.state.config)
                + configurations.sum::<u64>(),
            consumers: self.state.consumers.len() as u64,
        }
    }

    pub(super) fn report(&mut self, share: Share) {
        if share != self.reported {
            let storage = self.state.config.storage;
            self.usage.changed(storage, self.reported, share);
            self.reported = share;
        }
    }

    /// Takes what else waits, but not forever: requests, consumers and the clock have their turn.
    async fn handle_more(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut left = MAX_COMMANDS;
        while left > 0 && self.has_room() && !self.ended {
            let Ok(command) = commands.try_recv() else {
                return;
            };
            left = left.saturating_sub(command.weight());
            self.handle(command).await;
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Publish(message) => {
                self.publish(message).await;
            }
            Command::Trace {
                message,
                only,
                outcome,
            } => {
                self.trace(message, only, Responder::Internal(outcome))
                    .await
            }
            Command::Pull {
                consumer,
                body,
                inbox,
                asker,
            } => self.pull(&consumer, &body, &inbox, asker),
            Command::Acknowledge {
                subject,
                body,
                inbox,
                asker,
            } => self.acknowledge(&subject, &body, inbox, asker),
            Command::FlowControl { consumer, subject } => {
                let waiting = self.waiting.get_mut(&*consumer);
                if let Some(push) = waiting.and_then(|waiting| waiting.push.as_mut()) {
                    push.answered(&subject);
                }
            }
            Command::DirectGet {
                subject,
                body,
                inbox,
                asker,
            } => {
                self.direct_get(subject.as_deref(), &body, &inbox, asker)
                    .await
            }
            Command::Stop => {
                self.flush().await;
                self.ended = true;
            }
            #[cfg(test)]
            Command::Panic => crate::broker::panics::on_request(),
        }
    }

    /// Sends the gathered batch on its way, if it is due and none is. Whether it has arrived already.
    fn write(&mut self, now: Instant) -> bool {
        if self.outcome.is_some() || self.batch.is_empty() {
            return false;
        }
        let since = *self.lazy_since.get_or_insert(now);
        let is_due = self.batch.tally.is_awaited || now >= since + LAZY_DELAY;
        if is_due {
            self.submit();
        }
        is_due && self.outcome.is_none()
    }

    pub(super) fn submit(&mut self) {
        self.lazy_since = None;
        self.atomic_batches.submit();
        let mut batch = std::mem::take(&mut self.batch);
        let bytes = std::mem::take(&mut batch.bytes).freeze();
        if let Some(written) = self.log.keep_in_memory(&bytes) {
            return self.on_disk(batch, &bytes, written);
        }
        let state = &self.state;
        let mut live = None;
        let write = self.log.write(bytes.clone(), || {
            let opening = state.opening();
            live = Some(opening.live.clone());
            opening
        });
        if let Some(live) = live {
            self.plan_compaction(Runs::new(live));
        }
        self.outcome = Some(self.syncer.submit(write));
        self.writing = Some((batch, bytes));
    }

    /// Writes everything that is gathered, and waits for it.
    pub(super) async fn flush(&mut self) {
        while self.outcome.is_some() || !self.batch.is_empty() {
            if self.outcome.is_none() {
                self.submit();
                continue;
            }
            let outcome = finished(&mut self.outcome).await;
            self.written(outcome);
        }
    }

    pub(super) async fn delete(&mut self, responder: Responder) {
        self.flush().await;
        for name in self.state.consumers.keys().cloned().collect::<Vec<_>>() {
            self.end_pulls(&name);
        }
        let dir = (!self.log.is_in_memory()).then(|| self.log.dir().to_owned());
        let delete = move || dir.map_or(Ok(()), |dir| delete_stream_dir(&dir));
        let deleted = tokio::task::spawn_blocking(delete).await;
        responder.send(match deleted {
            Ok(Ok(())) => {
                self.ended = true;
                for consumer in self.state.consumers.keys() {
                    self.advise_of_consumer(consumer, "delete");
                }
                Ok(json!({"success": true}))
            }
            Ok(Err(error)) => Err(error::store_failed(&error)),
            Err(_) => Err(error::BUSY),
        });
    }

    /// Does what time asks for: old messages out, late acknowledgements again, requests ended.
    fn tend(&mut self, now: Instant) {
        self.expire(json::now());
        self.write_marks();
        self.end_late_batches(now);
        self.fast_batches.end_late(now);
        self.cache.tend(now);
        self.watch_garbage(now);
        self.watch_lag(now);
        self.tend_consumers(now);
    }

    fn next_wake(&mut self, now: Instant) -> Instant {
        let lazy = self.lazy_since.map(|since| since + LAZY_DELAY);
        let dues = [
            lazy.filter(|_| self.outcome.is_none()),
            self.next_expiry(now),
            self.atomic_batches.next_due(),
            self.fast_batches.next_due(),
            self.next_lag_check(),
            self.next_garbage_check(),
            self.next_consumer_due(now),
            self.next_batch_get_due(now),
            self.next_read_retry(),
            self.cache.next_due(),
        ];
        dues.into_iter()
            .flatten()
            .min()
            .unwrap_or(now + MAX_SLEEP)
            .min(now + MAX_SLEEP)
    }

    /// When the next message is too old.
    fn next_expiry(&mut self, now: Instant) -> Option<Instant> {
        let first = self.state.first_aging();
        let limits = &self.state.limits;
        let acknowledged = limits
            .max_acknowledged_age
            .filter(|_| first.is_some_and(|(seq, _)| self.state.is_acknowledged(seq)));
        // The server's own limits need not be exact.
        let slack = match limits.max_acknowledged_age {
            Some(_) => Duration::from_secs(1),
            None => Duration::from_millis(1),
        };
        let age = [limits.max_age, acknowledged].into_iter().flatten().min();
        let aged = first.zip(age);
        let aged = aged.map(|((_, stored), age)| stored.saturating_add(age));
        let due = [
            aged,
            self.state.lifetimes.next_due(),
            // Those that are due and find no room have their turn after the write that is on its way.
            self.state.schedules.next_due().filter(|_| self.has_room()),
        ];
        let left = due.into_iter().flatten().min()?.saturating_sub(json::now());
        now.checked_add(super::consumer_config::nanos_to_duration(left) + slack)
    }
}

/// Waits for the write in progress; without end when there is none.
async fn finished(outcome: &mut Option<Outcome>) -> io::Result<Written> {
    match outcome {
        Some(outcome) => outcome
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the sync thread is gone"))),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
