//! The JetStream API: requests come one after the other; those about one stream go on to its task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::FutureExt;
use runtime::supervision::panic_message;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::account::account_info;
use super::advisories::advise_of_stream;
use super::answers::{Responder, describe_stream, page};
use super::consumer_requests::about_consumer;
use super::error::{self, ApiError, Result};
use super::json;
use super::requests::{INFOS_PER_PAGE, NAMES_PER_PAGE, Request};
use super::state::State;
use super::stream::{Command, Stream};
use super::stream_config::{Storage, StreamConfig};
use super::supervision::{Recovery, keep_running};
use super::usage::Usage;
use super::{Streams, new_handle};
use crate::broker::router::Router;
use crate::broker::store::folder::Folder;
use crate::broker::store::log::Log;
use crate::broker::store::syncer::Syncer;
use crate::broker::{Retention, headers};

/// Which of the API's features there are: 1 is per-message lifetimes, pauses and groups of a consumer's clients.
pub(super) const API_LEVEL: u32 = 1;
pub(super) const MAX_STREAMS: usize = 10_000;

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
    /// To a client, on this subject.
    Client(Box<str>),
    /// To another part of the broker, past the router.
    Internal(oneshot::Sender<Result<Value>>),
}

/// The task that serves the API. It owns the tasks of the streams that it makes.
pub(super) struct Api {
    streams: Arc<Streams>,
    router: Arc<Router>,
    folder: Folder,
    syncer: Syncer,
    segment_bytes: u64,
    retention: Retention,
    tasks: JoinSet<String>,
}

/// Which streams a list is about, and where the page starts.
#[derive(Deserialize)]
struct ListRequest {
    #[serde(default)]
    offset: usize,
    subject: Option<String>,
}

/// Counts a request when it is done with, so that an answer that says the number leaves itself out.
struct CountedRequest<'a>(&'a Usage);

impl Drop for CountedRequest<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
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
        folder: Folder,
        syncer: Syncer,
        segment_bytes: u64,
        retention: Retention,
    ) -> Self {
        Api {
            streams,
            router,
            folder,
            syncer,
            segment_bytes,
            retention,
            tasks: JoinSet::new(),
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
        let (router, refusals) = (Arc::clone(&self.router), Arc::clone(&self.streams.usage));
        let respond = |kind| match request.asker {
            Asker::Client(inbox) => Responder::Client {
                router,
                inbox,
                kind,
                usage: refusals,
            },
            Asker::Internal(waiting) => Responder::Internal(waiting),
        };
        let body = request.body.clone();
        let usage = Arc::clone(&self.streams.usage);
        let _counted = CountedRequest(&usage);
        let level = headers::value(&request.headers, "Nats-Required-Api-Level");
        if level.is_some_and(|level| level.parse().is_ok_and(|level: u32| level > API_LEVEL)) {
            return respond("error_response").send(Err(error::API_LEVEL));
        }
        if !takes_names(operation, name) {
            return respond("error_response").send(Err(not_supported(&subject)));
        }
        match operation {
            #[cfg(test)]
            "PANIC" => crate::broker::panics::on_request(),
            "INFO" => respond("account_info_response").send(account_info(&self.streams).await),
            "STREAM.CREATE" => {
                respond("stream_create_response").send(self.create_stream(name, &body).await)
            }
            "STREAM.UPDATE" => {
                respond("stream_update_response").send(self.update_stream(name, &body).await)
            }
            "STREAM.DELETE" => {
                respond("stream_delete_response").send(self.delete_stream(name, &body).await)
            }
            "STREAM.NAMES" => respond("stream_names_response").send(self.stream_names(&body)),
            "STREAM.LIST" => respond("stream_list_response").send(self.stream_list(&body).await),
            _ => match about_stream(operation, name, body) {
                Ok((stream, kind, request)) => self.pass_on(stream, request, respond(kind)).await,
                Err(refusal) => respond("error_response").send(Err(refusal)),
            },
        }
    }

    async fn pass_on(&self, stream: &str, request: Request, responder: Responder) {
        match self.streams.by_name(stream) {
            Some(stream) => {
                let _ = stream
                    .commands
                    .send(Command::Request { request, responder })
                    .await;
            }
            None => responder.send(Err(error::STREAM_NOT_FOUND)),
        }
    }

    /// Makes a stream, unless it is there already, just so.
    async fn create_stream(&mut self, name: &str, body: &[u8]) -> Result<Value> {
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
        if self.streams.by_name(name).is_some() {
            let info = self.streams.ask(name, Request::Info(Bytes::new())).await?;
            return if info.get("config") == Some(&json!(config)) {
                Ok(created(info))
            } else {
                Err(error::STREAM_NAME_IN_USE)
            };
        }
        if self.streams.takes_any(&config.subjects, name) {
            return Err(error::SUBJECTS_OVERLAP);
        }
        if self.streams.list(None).len() >= MAX_STREAMS {
            return Err(error::TOO_MANY_STREAMS);
        }
        self.streams.usage.check_reservation(&config, None)?;
        let state = State::new(config, json::now(), self.retention);
        let log = self.create_log(&state).await?;
        let info = describe_stream(&state, false, None);
        let (handle, commands) = new_handle(&state.config);
        let stream = Stream::new(
            state,
            log,
            self.syncer.clone(),
            Arc::clone(&self.router),
            Arc::clone(&self.streams.stats),
            Arc::clone(&self.streams.usage),
        );
        let recovery = Recovery {
            segment_bytes: self.segment_bytes,
            retention: self.retention,
        };
        self.tasks.spawn(keep_running(stream, commands, recovery));
        self.streams.insert(handle);
        advise_of_stream(&self.router, name, "CREATED", "create");
        Ok(created(info))
    }

    async fn create_log(&self, state: &State) -> Result<Log> {
        if state.config.storage == Storage::Memory {
            return Ok(Log::in_memory());
        }
        let (dir, segment_bytes, snapshot) = (
            self.folder.stream_dir(&state.config.name),
            self.segment_bytes,
            state.snapshot(),
        );
        let create = move || Log::create(dir, segment_bytes, snapshot);
        let created = tokio::task::spawn_blocking(create).await;
        created
            .map_err(|_| error::BUSY)?
            .map_err(|error| error::store_failed(&error))
    }

    async fn update_stream(&self, name: &str, body: &[u8]) -> Result<Value> {
        let config = json::parse::<StreamConfig>(body)?.checked()?;
        if config.name != name {
            return Err(error::STREAM_MISMATCH);
        }
        let handle = self.streams.by_name(name).ok_or(error::STREAM_NOT_FOUND)?;
        if self.streams.takes_any(&config.subjects, name) {
            return Err(error::SUBJECTS_OVERLAP);
        }
        let subjects = config.subjects.as_slice().into();
        let configure = Request::Configure(Box::new(config));
        let info = self.streams.ask(name, configure).await?;
        self.streams
            .insert(super::StreamHandle { subjects, ..handle });
        advise_of_stream(&self.router, name, "UPDATED", "modify");
        Ok(info)
    }

    async fn delete_stream(&self, name: &str, body: &[u8]) -> Result<Value> {
        if !json::is_empty(body) {
            return Err(error::NOT_EMPTY);
        }
        let deleted = self.streams.ask(name, Request::Delete).await?;
        self.streams.remove(name);
        advise_of_stream(&self.router, name, "DELETED", "delete");
        Ok(deleted)
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

    async fn stream_list(&self, body: &[u8]) -> Result<Value> {
        let request: ListRequest = json::parse(body)?;
        let streams = self.streams.list(request.subject());
        let mut infos = vec![Value::Null; streams.len()];
        let wanted = infos
            .iter_mut()
            .zip(&streams)
            .skip(request.offset)
            .take(INFOS_PER_PAGE);
        for (info, stream) in wanted {
            let request = Request::Info(Bytes::new());
            *info = self.streams.ask(&stream.name, request).await?;
            if let Some(info) = info.as_object_mut() {
                // They are those of a list of subjects, which is not asked for.
                ["total", "offset", "limit"].iter().for_each(|name| {
                    info.remove(*name);
                });
            }
        }
        Ok(page("streams", infos, request.offset, INFOS_PER_PAGE))
    }
}

/// The answer to a request that made a stream, or would have.
fn created(mut info: Value) -> Value {
    if let Some(info) = info.as_object_mut() {
        info.insert("did_create".to_owned(), true.into());
    }
    info
}

/// Splits a subject into the operation, as many words of it as there are operations of, and the names behind it.
fn split_operation(subject: &str) -> (&str, &str) {
    const THREE_WORDS: [&str; 3] = [
        "STREAM.MSG.GET",
        "STREAM.MSG.DELETE",
        "CONSUMER.DURABLE.CREATE",
    ];
    let words = if THREE_WORDS
        .iter()
        .any(|operation| subject.starts_with(operation))
    {
        3
    } else {
        2
    };
    match subject.match_indices('.').nth(words - 1) {
        Some((dot, _)) => (
            subject.get(..dot).unwrap_or_default(),
            subject.get(dot + 1..).unwrap_or_default(),
        ),
        None => (subject, ""),
    }
}

/// Whether an operation has a place for each of these names. What has not is another subject, about which permissions say other things.
fn takes_names(operation: &str, names: &str) -> bool {
    let most = match operation {
        "STREAM.NAMES" | "STREAM.LIST" => 0,
        "CONSUMER.NAMES" | "CONSUMER.LIST" => 1,
        // The subject that is wanted stands behind the names.
        "CONSUMER.CREATE" => usize::MAX,
        consumers if consumers.starts_with("CONSUMER.") => 2,
        _ => 1,
    };
    names.split_terminator('.').count() <= most
}

/// The stream that a request is about, the type of its answer, and the request.
fn about_stream<'a>(
    operation: &str,
    names: &'a str,
    body: Bytes,
) -> Result<(&'a str, &'static str, Request)> {
    let (stream, rest) = names.split_once('.').unwrap_or((names, ""));
    let (kind, request) = match operation {
        "STREAM.INFO" => ("stream_info_response", Request::Info(body)),
        "STREAM.PURGE" => ("stream_purge_response", Request::Purge(body)),
        "STREAM.MSG.GET" => ("stream_msg_get_response", Request::GetMessage(body)),
        "STREAM.MSG.DELETE" => ("stream_msg_delete_response", Request::DeleteMessage(body)),
        _ => match about_consumer(operation, rest, body) {
            Some(about) => about,
            None => return Err(not_supported(operation)),
        },
    };
    Ok((stream, kind, request))
}

fn not_supported(operation: &str) -> ApiError {
    error::bad_request(format!(
        "`$JS.API.{operation}` is not supported by this server"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_the_api_are_taken_apart() {
        for (subject, operation, names) in [
            ("INFO", "INFO", ""),
            ("STREAM.NAMES", "STREAM.NAMES", ""),
            ("STREAM.INFO.S", "STREAM.INFO", "S"),
            ("STREAM.MSG.GET.S", "STREAM.MSG.GET", "S"),
            ("CONSUMER.CREATE.S.d.ev.>", "CONSUMER.CREATE", "S.d.ev.>"),
            (
                "CONSUMER.DURABLE.CREATE.S.d",
                "CONSUMER.DURABLE.CREATE",
                "S.d",
            ),
        ] {
            assert_eq!(split_operation(subject), (operation, names), "{subject}");
        }
        let (stream, _, request) =
            about_stream("CONSUMER.CREATE", "S.d.ev.>", Bytes::new()).unwrap();
        assert_eq!(stream, "S");
        let Request::CreateConsumer { names, .. } = request else {
            panic!("{request:?}")
        };
        assert_eq!(
            (names.consumer.as_deref(), names.filter.as_deref()),
            (Some("d"), Some("ev.>"))
        );
    }
}
