//! JetStream: which streams there are, and who gets what arrives on a subject: a stream, a consumer, or the API.

// In the order of reading: the ways in, a stream's task, its state, its consumers, the words of the API.
mod api;

mod account;
mod domain;
mod forwarding;
mod operations;

mod stream;
mod supervision;

mod batch;
mod batch_gets;
mod batches;
mod consumer_actions;
mod consumer_requests;
mod counters;
mod effects;
mod ingest;
mod publish;
mod reading;
mod requests;

mod state;

mod chunk;
mod compaction;
mod duplicates;
mod filter;
mod lifetimes;
mod messages;
mod recovery;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod recovery_check;
mod release;
mod replay;
mod retention;
mod schedules;
mod subject_table;
mod unreadable;
mod usage;

mod beginning;
mod consumer;

mod acks;
mod cache;
mod deliver;
mod flow;
mod pace;
mod priority;
mod pull_request;
mod pulls;
mod push;
mod timers;

mod advisories;
mod answers;
mod consumer_checks;
mod consumer_config;
mod cron;
mod error;
mod go_duration;
mod json;
mod stream_config;
mod transform;
mod versions;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) use self::account::refuse_account;
use self::answers::Responder;
pub(super) use self::api::API_LEVEL;
use self::api::{Api, ApiRequest, Asker};
pub(super) use self::domain::Domain;
use self::recovery::Recovery;
pub(super) use self::release::ROLLUP;
use self::requests::Request;
use self::stream::{Command, Inbox, Stream};
use self::supervision::keep_running;
use self::usage::Usage;
use super::message_trace::MessageTrace;
use super::protocol::Message;
use super::router::Router;
use super::store::syncer::Syncer;
use super::subjects::{self, SubjectTrie};
use super::{BrokerConfig, BrokerError, Counters};

/// How many API requests may wait; then their clients wait.
const MAX_API_REQUESTS: usize = 256;
/// How long the API waits for a stream that is busy, while others wait for the API.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a folder that is in use is tried again.
const IN_USE_PATIENCE: Duration = Duration::from_secs(2);

/// The JetStream side of a broker, as its connections see it.
pub(super) struct JetStream {
    streams: Arc<Streams>,
    api: mpsc::Sender<ApiRequest>,
    stopping: CancellationToken,
}

/// Who takes a published message.
#[derive(Debug)]
pub(super) enum Taker {
    Acknowledgements,
    FlowControl,
    Api,
    Stream(StreamHandle),
}

/// The streams that there are.
pub(super) struct Streams {
    registry: RwLock<Registry>,
    stats: Arc<Counters>,
    usage: Arc<Usage>,
}

#[derive(Default)]
struct Registry {
    by_name: BTreeMap<String, StreamHandle>,
    by_subject: SubjectTrie<StreamHandle>,
}

impl Registry {
    fn remove(&mut self, name: &str) {
        if let Some(handle) = self.by_name.remove(name) {
            for subject in handle.subjects.iter() {
                self.by_subject
                    .remove(subject, |other| other.name == handle.name);
            }
        }
    }
}

/// The way to a stream's task.
#[derive(Clone, Debug)]
pub(super) struct StreamHandle {
    name: Arc<str>,
    subjects: Arc<[String]>,
    commands: mpsc::Sender<Command>,
    /// API requests have a queue of their own: publishers that keep the other full do not hold them up.
    requests: mpsc::Sender<(Request, Responder)>,
}

impl StreamHandle {
    /// Has the stream's task answer a request. Waits for nothing.
    fn pass_on(&self, request: Request, responder: Responder) {
        match self.requests.try_send((request, responder)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, responder))) => responder.send(Err(error::BUSY)),
            Err(TrySendError::Closed((_, responder))) => {
                responder.send(Err(error::STREAM_NOT_FOUND));
            }
        }
    }

    fn ask(&self, request: Request) -> oneshot::Receiver<error::Result<Value>> {
        let (answer, answered) = oneshot::channel();
        self.pass_on(request, Responder::Internal(answer));
        answered
    }
}

impl Streams {
    fn new(stats: Arc<Counters>, usage: Usage) -> Self {
        Streams {
            registry: RwLock::default(),
            stats,
            usage: Arc::new(usage),
        }
    }

    fn by_name(&self, name: &str) -> Option<StreamHandle> {
        self.read().by_name.get(name).cloned()
    }

    fn by_subject(&self, subject: &str) -> Option<StreamHandle> {
        let mut found = None;
        self.read()
            .by_subject
            .for_each_match(subject, &mut |stream: &StreamHandle| {
                found = Some(stream.clone())
            });
        found
    }

    fn has_subject(&self, subject: &str) -> bool {
        self.read().by_subject.has_match(subject)
    }

    /// The streams in the order of their names; those on `subject` only, if one is given.
    fn list(&self, subject: Option<&str>) -> Vec<StreamHandle> {
        let wanted = |stream: &&StreamHandle| {
            subject.is_none_or(|subject| {
                stream
                    .subjects
                    .iter()
                    .any(|own| subjects::overlap(own, subject))
            })
        };
        self.read()
            .by_name
            .values()
            .filter(wanted)
            .cloned()
            .collect()
    }

    /// Whether a stream of another name takes one of these subjects.
    fn takes_any(&self, subjects: &[String], except: &str) -> bool {
        let registry = self.read();
        let others = registry
            .by_name
            .values()
            .filter(|stream| *stream.name != *except);
        others.flat_map(|stream| stream.subjects.iter()).any(|own| {
            subjects
                .iter()
                .any(|subject| subjects::overlap(own, subject))
        })
    }

    /// Asks a stream's task and waits for its answer, but not for long.
    async fn ask(&self, stream: &str, request: Request) -> error::Result<Value> {
        let stream = self.by_name(stream).ok_or(error::STREAM_NOT_FOUND)?;
        let answer = timeout(PATIENCE, stream.ask(request)).await;
        answer.ok().and_then(Result::ok).unwrap_or(Err(error::BUSY))
    }

    fn insert(&self, handle: StreamHandle) {
        // At once with the old one's end: a publish must not meet neither.
        let mut registry = self.write();
        registry.remove(&handle.name);
        for subject in handle.subjects.iter() {
            registry.by_subject.insert(subject, handle.clone());
        }
        registry.by_name.insert(handle.name.to_string(), handle);
        self.stats
            .streams
            .store(registry.by_name.len(), Ordering::Relaxed);
    }

    fn remove(&self, name: &str) {
        let mut registry = self.write();
        registry.remove(name);
        self.stats
            .streams
            .store(registry.by_name.len(), Ordering::Relaxed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl JetStream {
    /// Recovers the streams of the data folder and starts their tasks in `tasks`.
    pub(super) async fn open(
        config: &BrokerConfig,
        router: Arc<Router>,
        stats: Arc<Counters>,
        tasks: &mut JoinSet<String>,
    ) -> Result<Self, BrokerError> {
        let data_dir = config.data_dir.clone();
        let recovery = Recovery {
            segment_bytes: config.segment_bytes,
            retention: config.retention,
            known_ids: Arc::default(),
        };
        let settings = config.jetstream.clone().unwrap_or_default();
        let begun = Instant::now();
        let ((folder, recovered), settings) = loop {
            let (data_dir, settings) = (data_dir.clone(), settings.clone());
            let recovery = recovery.clone();
            let recovered = tokio::task::spawn_blocking(move || {
                let recovered = recovery::recover_all(&data_dir, &recovery)?;
                Ok((recovered, settings.or_shares(&data_dir)))
            })
            .await;
            match recovered.map_err(|error| BrokerError::Crashed(error.to_string()))? {
                // The threads of a broker that has just ended may hold the folder a little longer.
                Err(BrokerError::InUse(_)) if begun.elapsed() < IN_USE_PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                outcome => break outcome?,
            }
        };
        let syncer = Syncer::start(folder.clone()).map_err(|source| BrokerError::DataDir {
            path: config.data_dir.clone(),
            source,
        })?;
        if let Some(domain) = &settings.domain {
            router.set_domain(Domain::new(domain));
        }
        let streams = Arc::new(Streams::new(stats, Usage::new(&settings)));
        for (state, log) in recovered {
            tracing::info!(
                stream = state.config.name,
                messages = state.messages.len(),
                "recovered a stream"
            );
            let (handle, inbox) = new_handle(&state.config);
            let mut stream = Stream::new(
                state,
                log,
                syncer.clone(),
                Arc::clone(&router),
                Arc::clone(&streams.stats),
                Arc::clone(&streams.usage),
            );
            stream.forget_memory_consumers();
            tasks.spawn(keep_running(stream, inbox, recovery.clone()));
            streams.insert(handle);
        }
        let (api, requests) = mpsc::channel(MAX_API_REQUESTS);
        let stopping = CancellationToken::new();
        let (inlet, forwarded) = forwarding::forwarding(&streams);
        router.set_inlet(Box::new(inlet));
        tasks.spawn(forwarded.run(stopping.clone()));
        let server = config.server_name.as_str().into();
        let service = Api::new(
            Arc::clone(&streams),
            router,
            server,
            folder,
            syncer,
            recovery,
        );
        tasks.spawn(service.run(requests, stopping.clone()));
        Ok(JetStream {
            streams,
            api,
            stopping,
        })
    }

    /// Makes the task of a stream panic.
    #[cfg(test)]
    pub(super) async fn panic_in(&self, stream: &str) {
        let stream = self.streams.by_name(stream).expect("the test made it");
        let _ = stream.commands.send(Command::Panic).await;
    }

    /// Tells all streams to write what they have and end.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Who takes messages on a subject, if a stream, a consumer or the API does.
    pub(super) fn taker(&self, subject: &str) -> Option<Taker> {
        match subject.strip_prefix("$JS.") {
            Some(operation) if operation.starts_with("ACK.") => Some(Taker::Acknowledgements),
            Some(operation) if operation.starts_with("FC.") => Some(Taker::FlowControl),
            Some(operation) if operation.starts_with("API.") => Some(Taker::Api),
            // A wildcard in it is a word as any other, until the message rolls up what it matches.
            _ => (self.streams.by_subject(subject))
                .filter(|_| subjects::is_valid_pattern(subject))
                .map(Taker::Stream),
        }
    }

    /// Gives a message that client `from` published to who takes it, and back if it is not for that after all. Waits while that is behind
    /// with its work.
    pub(super) async fn accept(
        &self,
        message: Message,
        taker: Taker,
        from: u64,
    ) -> Result<(), Message> {
        match taker {
            Taker::Acknowledgements => self.acknowledge(message, from).await,
            Taker::FlowControl => self.flow_control(message).await,
            Taker::Api => self.request(message, from).await,
            Taker::Stream(stream) => command(&stream, message, Command::Publish).await,
        }
    }

    /// Does as [`JetStream::accept`], and has the stream say what becomes of the message. One that is only traced goes nowhere.
    pub(super) async fn trace(
        &self,
        message: Message,
        taker: Taker,
        from: u64,
        trace: &mut MessageTrace,
    ) -> Result<(), Message> {
        let stream = match taker {
            Taker::Stream(stream) => stream,
            _ if trace.is_only => return Ok(()),
            taker => return self.accept(message, taker, from).await,
        };
        let (outcome, became) = oneshot::channel();
        let only = trace.is_only;
        let publish = |message| Command::Trace {
            message,
            only,
            outcome,
        };
        command(&stream, message, publish).await?;
        if let Ok(Ok(Value::Object(became))) = became.await {
            trace.reached_stream(became);
        }
        Ok(())
    }

    async fn acknowledge(&self, message: Message, asker: u64) -> Result<(), Message> {
        let stream =
            acks::parse_subject(&message.subject).and_then(|ack| self.streams.by_name(ack.stream));
        let Some(stream) = stream else {
            return Err(message);
        };
        let acknowledge = |message: Message| Command::Acknowledge {
            subject: message.subject,
            body: message.payload,
            inbox: message.reply,
            asker,
        };
        command(&stream, message, acknowledge).await
    }

    async fn flow_control(&self, message: Message) -> Result<(), Message> {
        let mut names = message.subject.split('.').skip(2);
        let stream = names.next().and_then(|name| self.streams.by_name(name));
        let (Some(stream), Some(consumer)) = (stream, names.next()) else {
            return Err(message);
        };
        let consumer = consumer.into();
        let control = |message: Message| Command::FlowControl {
            consumer,
            subject: message.subject,
        };
        command(&stream, message, control).await
    }

    async fn request(&self, message: Message, asker: u64) -> Result<(), Message> {
        // Permissions that name the operation do not match a subject with an empty token.
        if !subjects::is_routable(&message.subject) {
            return Err(message);
        }
        let Some(inbox) = message.reply.clone() else {
            return Ok(());
        };
        let subject = message.subject.strip_prefix("$JS.API.").unwrap_or_default();
        if let Some(names) = subject.strip_prefix("CONSUMER.MSG.NEXT.") {
            let names = names.split_once('.');
            let found = names.and_then(|(stream, consumer)| {
                Some((self.streams.by_name(stream)?, Box::from(consumer)))
            });
            let Some((stream, consumer)) = found else {
                return Err(message);
            };
            let pull = |message: Message| Command::Pull {
                consumer,
                body: message.payload,
                inbox,
                asker,
            };
            return command(&stream, message, pull).await;
        }
        if let Some(names) = subject.strip_prefix("DIRECT.GET.") {
            let (stream, subject) = names
                .split_once('.')
                .map_or((names, None), |(stream, subject)| {
                    (stream, Some(subject.into()))
                });
            let Some(stream) = self.streams.by_name(stream) else {
                return Err(message);
            };
            let get = |message: Message| Command::DirectGet {
                subject,
                body: message.payload,
                inbox,
                asker,
            };
            return command(&stream, message, get).await;
        }
        let Ok(place) = self.api.reserve().await else {
            return Err(message);
        };
        place.send(ApiRequest {
            subject: subject.into(),
            headers: message.headers,
            body: message.payload,
            asker: Asker::Client { id: asker, inbox },
        });
        Ok(())
    }

    /// Asks the API from within the broker. No client hears the answer, whatever it subscribes to.
    pub(super) async fn ask(&self, subject: &str, body: &Value) -> error::Result<Value> {
        let (waiting, answer) = oneshot::channel();
        let request = ApiRequest {
            subject: subject.into(),
            headers: Bytes::new(),
            body: body.to_string().into(),
            asker: Asker::Internal(waiting),
        };
        let _ = self.api.send(request).await;
        answer.await.unwrap_or(Err(error::BUSY))
    }
}

/// Gives a stream a message as a command; the message comes back when the stream is gone.
async fn command(
    stream: &StreamHandle,
    message: Message,
    command: impl FnOnce(Message) -> Command,
) -> Result<(), Message> {
    let Ok(place) = stream.commands.reserve().await else {
        return Err(message);
    };
    place.send(command(message));
    Ok(())
}

fn new_handle(config: &stream_config::StreamConfig) -> (StreamHandle, Inbox) {
    let (commands, waiting) = mpsc::channel(stream::MAX_COMMANDS);
    let (requests, asked) = mpsc::channel(stream::MAX_COMMANDS);
    (
        StreamHandle {
            name: config.name.as_str().into(),
            subjects: config.subjects.as_slice().into(),
            commands,
            requests,
        },
        Inbox {
            commands: waiting,
            requests: asked,
        },
    )
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;
