//! The JetStream API: requests come one after the other; those about one stream go on to its task. No stream that is busy holds
//! up the requests about others for long.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use runtime::supervision::panic_message;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::account::account_info;
use super::advisories::{AUDIT, Audit, advise_of_stream};
use super::answers::{Responder, describe_stream, page};
use super::error::{self, Result};
use super::json;
use super::operations::{about_stream, not_supported, split_operation, takes_names};
use super::recovery::Recovery;
use super::requests::{INFOS_PER_PAGE, NAMES_PER_PAGE, Request};
use super::state::State;
use super::stream::{Command, Stream};
use super::stream_config::{Storage, StreamConfig};
use super::supervision::keep_running;
use super::usage::{Usage, reservation, stream_configuration_size};
use super::{PATIENCE, StreamHandle, Streams, new_handle, versions};
use crate::broker::router::Router;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;
use crate::broker::store::syncer::Syncer;
use crate::broker::subjects;

/// Which of the API's features there are: 1 is per-message lifetimes, pauses and groups of a consumer's clients; 2 counters,
/// schedules and batches that are stored as a whole; 4 batches that are stored as they come.
pub(in crate::broker) const API_LEVEL: u32 = 4;
pub(super) const MAX_STREAMS: usize = 10_000;
/// How many requests may wait for streams; others are refused.
const MAX_ASIDE: usize = 256;
/// How long a stream is left alone of which too much is asked.
const PAUSE: Duration = Duration::from_millis(20);

/// A request as it came in; the subject is without `$JS.API.`.
#[derive(Debug)]
pub(super) struct ApiRequest {
    pub(super) subject: Box<str>,
    pub(super) headers: Bytes,
    pub(super) body: Bytes,
    pub(super) asker: Asker,
}

/// Where the answer to a request goes.
#[derive(Debug)]
pub(super) enum Asker {
    /// To a client, by the number of its connection, on a subject.
    Client { id: u64, inbox: Box<str> },
    /// To another part of the broker, past the router.
    Internal(oneshot::Sender<Result<Value>>),
}

/// The task that serves the API. It owns the tasks of the streams that it makes.
pub(super) struct Api {
    streams: Arc<Streams>,
    router: Arc<Router>,
    /// The name of the server.
    server: Arc<str>,
    folder: Folder,
    syncer: Syncer,
    recovery: Recovery,
    tasks: JoinSet<String>,
    /// Requests that wait for streams.
    aside: JoinSet<()>,
    /// Changes that take long; one of each stream at most.
    late: Vec<(Touched, AbortOnDropHandle<()>)>,
}

/// A change of a stream under way.
struct StreamChange {
    touched: Touched,
    answer: BoxFuture<'static, Result<Value>>,
}

/// What a change says of a stream, which it may have or not until it is known what came of the change.
struct Touched {
    name: Box<str>,
    subjects: Arc<[String]>,
    /// Whether it takes room from the other streams.
    reserves: bool,
}

impl Touched {
    fn of(config: &StreamConfig) -> Self {
        Touched {
            name: config.name.as_str().into(),
            subjects: config.subjects.as_slice().into(),
            reserves: reservation(config) > 0,
        }
    }

    /// Whether what becomes of one depends on what becomes of the other.
    fn excludes(&self, other: &Touched) -> bool {
        let overlaps = |own: &String| {
            let mut others = other.subjects.iter();
            others.any(|subject| subjects::overlap(own, subject))
        };
        self.name == other.name
            || self.reserves && other.reserves
            || self.subjects.iter().any(overlaps)
    }
}

/// A stream that was asked for.
enum Made {
    /// It is new: what there is to be said of it.
    Now(Value),
    /// It was there before, perhaps with another configuration than this.
    Before(Box<StreamConfig>),
}

/// Which streams a list is about, and where the page starts.
#[derive(Deserialize)]
struct ListRequest {
    #[serde(default)]
    offset: usize,
    subject: Option<String>,
}

/// Counts a request when it is done with, so that an answer that says the number leaves itself out.
struct CountedRequest<'a>(&'a Option<Arc<Usage>>);

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        if let Some(usage) = self.0 {
            usage.requests.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ListRequest {
    fn subject(&self) -> Option<&str> {
        self.subject
            .as_deref()
            .filter(|subject| !subject.is_empty())
    }
}

impl Api {
    pub(super) fn new(
        streams: Arc<Streams>,
        router: Arc<Router>,
        server: Arc<str>,
        folder: Folder,
        syncer: Syncer,
        recovery: Recovery,
    ) -> Self {
        Api {
            streams,
            router,
            server,
            folder,
            syncer,
            recovery,
            tasks: JoinSet::new(),
            aside: JoinSet::new(),
            late: Vec::new(),
        }
    }

    /// Serves requests until told to stop, then stops the streams and waits for those it made.
    ///
    /// # Panics
    /// When the task of a stream panicked, so that the broker notices.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<ApiRequest>,
        stop: CancellationToken,
    ) -> String {
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    // Its client waits in vain; others do not.
                    Some(request) => if let Err(panic) = AssertUnwindSafe(self.serve(request)).catch_unwind().await {
                        tracing::error!(cause = panic_message(&*panic), "a request to the JetStream API panicked");
                    },
                    None => break,
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    ended.expect("a stream's task only ends when its stream is deleted");
                }
                Some(_) = self.aside.join_next(), if !self.aside.is_empty() => {}
                () = stop.cancelled() => break,
            }
        }
        for stream in self.streams.list(None) {
            let _ = stream.commands.send(Command::Stop).await;
        }
        while self.tasks.join_next().await.is_some() {}
        "the JetStream API".to_owned()
    }

    async fn serve(&mut self, request: ApiRequest) {
        let subject = request.subject.clone();
        let (operation, name) = split_operation(&subject);
        let is_of_client = matches!(request.asker, Asker::Client { .. });
        let (router, refusals) = (Arc::clone(&self.router), Arc::clone(&self.streams.usage));
        let audit = self.audit(&request);
        let respond = |kind| match request.asker {
            Asker::Client { inbox, .. } => Responder::Client {
                router,
                inbox,
                kind,
                usage: refusals,
                audit,
            },
            Asker::Internal(waiting) => Responder::Internal(waiting),
        };
        let body = request.body.clone();
        // Who looks at the pages is no user of the API.
        let usage = is_of_client.then(|| Arc::clone(&self.streams.usage));
        let _counted = CountedRequest(&usage);
        if versions::needs_another_level(&request.headers) {
            return respond("error_response").send(Err(error::API_LEVEL));
        }
        if !takes_names(operation, name) {
            return respond("error_response").send(Err(not_supported(&subject)));
        }
        match operation {
            #[cfg(test)]
            "PANIC" => crate::broker::panics::on_request(),
            "INFO" => respond("account_info_response")
                .send(account_info(&self.streams, self.router.domain())),
            "STREAM.CREATE" => {
                let responder = respond("stream_create_response");
                match self.create_stream(name, &body).await {
                    Ok(Made::Now(info)) => responder.send(Ok(created(info))),
                    Ok(Made::Before(config)) => {
                        let answer = same_stream(Arc::clone(&self.streams), config);
                        self.answer_aside(responder, answer);
                    }
                    Err(refusal) => responder.send(Err(refusal)),
                }
            }
            "STREAM.UPDATE" => {
                let update = self.update_stream(name, &body);
                let responder = respond("stream_update_response");
                self.change_stream(update, responder).await;
            }
            "STREAM.DELETE" => {
                let delete = self.delete_stream(name, &body);
                let responder = respond("stream_delete_response");
                self.change_stream(delete, responder).await;
            }
            "STREAM.NAMES" => respond("stream_names_response").send(self.stream_names(&body)),
            "STREAM.LIST" => {
                let answer = stream_list(Arc::clone(&self.streams), body);
                self.answer_aside(respond("stream_list_response"), answer);
            }
            _ => match about_stream(operation, name, body) {
                Ok((stream, kind, request)) => match self.streams.by_name(stream) {
                    Some(stream) => stream.pass_on(request, respond(kind)),
                    None => respond(kind).send(Err(error::STREAM_NOT_FOUND)),
                },
                Err(refusal) => respond("error_response").send(Err(refusal)),
            },
        }
    }

    /// What is to be told of a client's request, if anybody wants to hear of it.
    fn audit(&self, request: &ApiRequest) -> Option<Box<Audit>> {
        let Asker::Client { id, .. } = request.asker else {
            return None;
        };
        if !self.router.is_heard(AUDIT) {
            return None;
        }
        let client = self.streams.stats.clients.get(id);
        Some(Box::new(Audit {
            server: Arc::clone(&self.server),
            client: client.map(|client| client.info().described()),
            subject: request.subject.clone(),
            request: request.body.clone(),
        }))
    }

    /// Answers when the streams that are asked have done so. Other requests do not wait for that.
    fn answer_aside(
        &mut self,
        responder: Responder,
        answer: impl Future<Output = Result<Value>> + Send + 'static,
    ) {
        if self.aside.len() >= MAX_ASIDE {
            return responder.send(Err(error::BUSY));
        }
        self.aside
            .spawn(async move { responder.send(answer.await) });
    }

    /// Refuses a change that depends on what comes of another, as long as that is not known.
    fn check_settled(&mut self, touched: &Touched) -> Result<()> {
        self.late.retain(|(_, change)| !change.is_finished());
        if self.late.iter().any(|(late, _)| late.excludes(touched)) {
            return Err(error::BUSY);
        }
        Ok(())
    }

    /// Has a stream change, and answers when it has. Other requests do not wait for one that takes long.
    async fn change_stream(&mut self, change: Result<StreamChange>, responder: Responder) {
        let StreamChange { touched, answer } = match change {
            Ok(change) => change,
            Err(refusal) => return responder.send(Err(refusal)),
        };
        let mut answered = Box::pin(async move { responder.send(answer.await) });
        if timeout(PATIENCE, &mut answered).await.is_err() {
            let answered = AbortOnDropHandle::new(tokio::spawn(answered));
            self.late.push((touched, answered));
        }
    }

    /// Makes a stream, unless it is there already.
    async fn create_stream(&mut self, name: &str, body: &[u8]) -> Result<Made> {
        let config: StreamConfig = json::parse(body)?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH);
        }
        if name.contains(['/', '\\']) {
            return Err(error::PATH_IN_NAME);
        }
        if config.sealed {
            return Err(error::stream_config(
                "stream configuration for create can not be sealed",
            ));
        }
        let config = config.checked()?;
        self.check_settled(&Touched::of(&config))?;
        if self.streams.by_name(name).is_some() {
            return Ok(Made::Before(Box::new(config)));
        }
        if self.streams.takes_any(&config.subjects, name) {
            return Err(error::SUBJECTS_OVERLAP);
        }
        if self.streams.list(None).len() >= MAX_STREAMS {
            return Err(error::TOO_MANY_STREAMS);
        }
        let usage = &self.streams.usage;
        usage.check_reservation(&config, None)?;
        usage.check_configuration(0, stream_configuration_size(&config))?;
        let state = State::new(config, json::now(), &self.recovery);
        let log = self.create_log(&state).await?;
        let info = describe_stream(&state, self.router.domain(), false, None);
        let (handle, inbox) = new_handle(&state.config);
        let stream = Stream::new(
            state,
            log,
            self.syncer.clone(),
            Arc::clone(&self.router),
            Arc::clone(&self.streams.stats),
            Arc::clone(&self.streams.usage),
        );
        let recovery = self.recovery.clone();
        self.tasks.spawn(keep_running(stream, inbox, recovery));
        self.streams.insert(handle);
        advise_of_stream(&self.router, name, "CREATED", "create");
        Ok(Made::Now(info))
    }

    async fn create_log(&self, state: &State) -> Result<Log> {
        if state.config.storage == Storage::Memory {
            return Ok(Log::in_memory());
        }
        let (dir, segment_bytes, opening) = (
            self.folder.stream_dir(&state.config.name),
            self.recovery.segment_bytes,
            state.opening(),
        );
        let create = move || Log::create(dir, segment_bytes, opening);
        let created = tokio::task::spawn_blocking(create).await;
        created
            .map_err(|_| error::BUSY)?
            .map_err(|error| error::store_failed(&error))
    }

    fn update_stream(&mut self, name: &str, body: &[u8]) -> Result<StreamChange> {
        let config = json::parse::<StreamConfig>(body)?.checked()?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH);
        }
        let touched = Touched::of(&config);
        self.check_settled(&touched)?;
        let handle = self.streams.by_name(name).ok_or(error::STREAM_NOT_FOUND)?;
        if self.streams.takes_any(&config.subjects, name) {
            return Err(error::SUBJECTS_OVERLAP);
        }
        let (streams, router) = (Arc::clone(&self.streams), Arc::clone(&self.router));
        let answer = Box::pin(async move {
            let configure = Request::Configure(Box::new(config.clone()));
            let info = outcome(&handle, configure).await?;
            // If an answer was lost, it may be as it was.
            if info.get("config") != Some(&json!(config)) {
                return Err(error::BUSY);
            }
            advise_of_stream(&router, &handle.name, "UPDATED", "modify");
            streams.insert(StreamHandle {
                subjects: config.subjects.as_slice().into(),
                ..handle
            });
            Ok(info)
        });
        Ok(StreamChange { touched, answer })
    }

    fn delete_stream(&mut self, name: &str, body: &[u8]) -> Result<StreamChange> {
        if !json::is_empty(body) {
            return Err(error::NOT_EMPTY);
        }
        let handle = self.streams.by_name(name).ok_or(error::STREAM_NOT_FOUND)?;
        let touched = Touched {
            name: name.into(),
            subjects: Arc::clone(&handle.subjects),
            reserves: false,
        };
        self.check_settled(&touched)?;
        let (streams, router) = (Arc::clone(&self.streams), Arc::clone(&self.router));
        let answer = Box::pin(async move {
            match outcome(&handle, Request::Delete).await {
                Ok(answer) if answer == json!({"success": true}) => {}
                // The answer was lost, and the stream is gone, or is there still.
                Err(gone) if gone == error::STREAM_NOT_FOUND => {}
                Ok(_) => return Err(error::BUSY),
                Err(refusal) => return Err(refusal),
            }
            streams.remove(&handle.name);
            advise_of_stream(&router, &handle.name, "DELETED", "delete");
            Ok(json!({"success": true}))
        });
        Ok(StreamChange { touched, answer })
    }

    fn stream_names(&self, body: &[u8]) -> Result<Value> {
        let request: ListRequest = json::parse(body)?;
        let streams = self.streams.list(request.subject());
        let names = streams
            .iter()
            .map(|stream| Value::from(&*stream.name))
            .collect();
        Ok(page("streams", names, request.offset, NAMES_PER_PAGE))
    }
}

/// The answer of a stream to a change. If that was lost because it panicked: what is to be said of it as soon as it is recovered
/// from its log.
async fn outcome(stream: &StreamHandle, change: Request) -> Result<Value> {
    if let Ok(answer) = stream.ask(change).await {
        return answer;
    }
    loop {
        match stream.ask(Request::Info(Bytes::new())).await {
            Ok(Err(refusal)) if refusal == error::BUSY => sleep(PAUSE).await,
            Ok(answer) => return answer,
            // It has panicked again; it does not do so without end.
            Err(_) => {}
        }
    }
}

/// The answer to a request for a stream that is there: it is the one that was asked for, or another.
async fn same_stream(streams: Arc<Streams>, config: Box<StreamConfig>) -> Result<Value> {
    let info = streams
        .ask(&config.name, Request::Info(Bytes::new()))
        .await?;
    if info.get("config") == Some(&json!(config)) {
        Ok(created(info))
    } else {
        Err(error::STREAM_NAME_IN_USE)
    }
}

/// The streams with all that is to be said of them. Those that do not answer soon are named apart.
async fn stream_list(streams: Arc<Streams>, body: Bytes) -> Result<Value> {
    let request: ListRequest = json::parse(&body)?;
    let streams = streams.list(request.subject());
    let wanted = || streams.iter().skip(request.offset).take(INFOS_PER_PAGE);
    let asked: Vec<_> = wanted()
        .map(|stream| stream.ask(Request::Info(Bytes::new())))
        .collect();
    let until = Instant::now() + PATIENCE;
    let mut infos = vec![Value::Null; streams.len()];
    let mut missing: Vec<&str> = Vec::new();
    for ((stream, answer), info) in wanted()
        .zip(asked)
        .zip(infos.iter_mut().skip(request.offset))
    {
        match timeout_at(until, answer).await {
            Ok(Ok(Ok(answer))) => *info = answer,
            _ => missing.push(&stream.name),
        }
        if let Some(info) = info.as_object_mut() {
            // They are those of a list of subjects, which is not asked for.
            ["total", "offset", "limit"].iter().for_each(|name| {
                info.remove(*name);
            });
        }
    }
    let mut page = page("streams", infos, request.offset, INFOS_PER_PAGE);
    if let Some(infos) = page.pointer_mut("/streams").and_then(Value::as_array_mut) {
        infos.retain(|info| !info.is_null());
    }
    if !missing.is_empty() {
        json::set(&mut page, "missing", missing);
    }
    Ok(page)
}

/// The answer to a request that made a stream, or would have.
fn created(mut info: Value) -> Value {
    if let Some(info) = info.as_object_mut() {
        info.insert("did_create".to_owned(), true.into());
    }
    info
}
