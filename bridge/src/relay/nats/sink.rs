//! Publishes to JetStream. One subscription receives the confirmations of all publications, and a task a session keeps
//! those of one key apart: of each key one publication is on its way.

use std::{
    collections::{HashMap, VecDeque},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode, client::PublishErrorKind};
use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        config::NatsCluster,
        flow::{Interruption, Marks, NotWritten, Outgoing, Recalled, SharedMarks, Sink, Written},
        mapping::MESSAGE_ID_HEADER,
        record::NatsRecord,
        window::KeyedWindow,
    },
    connection::Connection,
    recall::{Progress, recall},
};

/// How long a publication may wait for its confirmation.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(6);
/// An instance that was paused for so long publishes nothing of what it has: another one may have its inputs.
const MAX_PAUSE: Duration = Duration::from_secs(4);
/// How many publications may be on their way at a time.
const MAX_ON_THEIR_WAY: usize = 4_096;
/// How many batches may wait for the session's task.
const MAX_BATCHES: usize = 4_096;
/// The errors of a stream that never takes a message, however often it is sent: the message, or its headers, are too
/// large. Others say how the stream or the server is at the moment, or answer orders that a relay does not give.
const REFUSALS: [u64; 2] = [10_054, 10_097];

/// Publishes the messages of a route.
pub(in super::super) struct NatsSink {
    cluster: NatsCluster,
    name: String,
    /// The subjects that are published to, with wildcards.
    subject: String,
    /// Whether the stream is made if there is none.
    creates: bool,
    session: Option<Session>,
    /// Whether reading what is there failed, perhaps at a message that the client cannot read.
    has_failed: bool,
    recalling: Progress,
}

struct Session {
    connection: Connection,
    batches: mpsc::Sender<Batch>,
    marks: SharedMarks,
    over: CancellationToken,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

struct Batch {
    outputs: Vec<Outgoing<NatsRecord>>,
    before: Arc<Marks>,
    reply: oneshot::Sender<Result<Written, NotWritten>>,
}

impl NatsSink {
    pub(in super::super) fn new(
        cluster: NatsCluster,
        name: &str,
        subject: &str,
        creates: bool,
    ) -> Self {
        Self {
            cluster,
            name: name.into(),
            subject: subject.into(),
            creates,
            session: None,
            has_failed: false,
            recalling: Progress::default(),
        }
    }
}

#[async_trait]
impl Sink<NatsRecord> for NatsSink {
    async fn prepare(&mut self) -> Result<(), Interruption> {
        self.session = None;
        let connection = Connection::open(&self.cluster, &self.name).await?;
        if self.creates {
            connection.stream(&self.subject, true).await?;
        }
        let (batches, received) = mpsc::channel(MAX_BATCHES);
        let marks = SharedMarks::default();
        let over = CancellationToken::new();
        let inbox = connection.client.new_inbox();
        let confirmations = connection.client.subscribe(format!("{inbox}.*"));
        let confirmations = confirmations.await.map_err(Interruption::unavailable)?;
        let publishing = Publishing {
            connection: connection.clone(),
            inbox,
            marks: marks.clone(),
            batches: HashMap::new(),
            next_batch: 0,
            window: KeyedWindow::new(),
            on_their_way: HashMap::new(),
            ready: VecDeque::new(),
            next: 0,
            active_at: Instant::now(),
        };
        let stopped = over.clone();
        tokio::spawn(async move {
            let run = publishing.run(received, confirmations);
            stopped.run_until_cancelled(run).await;
        });
        self.session = Some(Session {
            connection,
            batches,
            marks,
            over,
        });
        Ok(())
    }

    async fn recall(&mut self, marks: Option<Marks>) -> Result<Recalled, Interruption> {
        let Some(session) = &self.session else {
            return Err(Interruption::unavailable("NATS is not connected"));
        };
        let is_raw = std::mem::take(&mut self.has_failed);
        let (subject, progress) = (&self.subject, &mut self.recalling);
        let recalled = recall(
            &session.connection,
            subject,
            marks.as_ref(),
            is_raw,
            progress,
        )
        .await;
        self.has_failed = recalled.is_err() && !is_raw;
        let recalled = recalled?;
        session.marks.set(&recalled.marks);
        Ok(recalled)
    }

    fn write(
        &mut self,
        outputs: Vec<Outgoing<NatsRecord>>,
        // The task of the session looks for pauses itself: a publication may wait long for the one of its key before it.
        _: StdInstant,
    ) -> BoxFuture<'static, Result<Written, NotWritten>> {
        let failed = |reason: &str| NotWritten::by(Interruption::unavailable(reason));
        let Some(session) = &self.session else {
            let failed = failed("NATS is not connected");
            return Box::pin(async { Err(failed) });
        };
        let (reply, written) = oneshot::channel();
        let batch = Batch {
            outputs,
            before: session.marks.get(),
            reply,
        };
        let sent = session.batches.try_send(batch);
        Box::pin(async move {
            if sent.is_err() {
                return Err(failed("the session with NATS is over"));
            }
            let over = |_| Err(failed("the session with NATS is over"));
            written.await.unwrap_or_else(over)
        })
    }

    fn abandon(&mut self) {
        self.session = None;
    }
}

/// A batch of which something is on its way.
struct Unconfirmed {
    outputs: usize,
    confirmed: Vec<usize>,
    refused: Vec<(usize, String)>,
    before: Arc<Marks>,
    reply: oneshot::Sender<Result<Written, NotWritten>>,
}

/// An output in its batch.
struct Publication {
    batch: u64,
    index: usize,
    output: Outgoing<NatsRecord>,
}

/// What is kept of a publication that is on its way.
struct OnItsWay {
    batch: u64,
    index: usize,
    order: Option<u64>,
    since: Instant,
}

/// The task of a session.
struct Publishing {
    connection: Connection,
    inbox: String,
    marks: SharedMarks,
    batches: HashMap<u64, Unconfirmed>,
    next_batch: u64,
    window: KeyedWindow<Publication>,
    on_their_way: HashMap<u64, OnItsWay>,
    /// What may be published now.
    ready: VecDeque<Publication>,
    next: u64,
    /// When the process was last known to run.
    active_at: Instant,
}

/// What the task waits for.
enum Event {
    Batch(Batch),
    Confirmation(async_nats::Message),
    Tick,
}

/// What a server says of a publication.
#[derive(Deserialize)]
struct Confirmation {
    stream: Option<String>,
    seq: Option<u64>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Publishing {
    async fn run(
        mut self,
        mut received: mpsc::Receiver<Batch>,
        mut confirmations: async_nats::Subscriber,
    ) {
        let mut ticks = interval(CONFIRM_DEADLINE / 6);
        let connection = self.connection.clone();
        let lost = connection.lost();
        tokio::pin!(lost);
        let interruption = loop {
            let has_room = self.on_their_way.len() < MAX_ON_THEIR_WAY;
            let event = tokio::select! {
                Some(batch) = received.recv(), if has_room => Event::Batch(batch),
                Some(confirmation) = confirmations.next() => Event::Confirmation(confirmation),
                _ = ticks.tick() => Event::Tick,
                interruption = &mut lost => break interruption,
                else => return,
            };
            if let Err(interruption) = self.look() {
                break interruption;
            }
            let done = match event {
                Event::Batch(batch) => self.begin(batch).await,
                Event::Confirmation(confirmation) => self.confirm(&confirmation).await,
                Event::Tick => self.check_deadline(),
            };
            if let Err(interruption) = done {
                break interruption;
            }
        };
        for batch in std::mem::take(&mut self.batches).into_values() {
            let failed = NotWritten {
                refused: batch.refused,
                durable: batch.confirmed,
                interruption: interruption.clone(),
            };
            batch.reply.send(Err(failed)).ok();
        }
    }

    /// Looks whether the process was paused since it last looked.
    fn look(&mut self) -> Result<(), Interruption> {
        let since = std::mem::replace(&mut self.active_at, Instant::now());
        match self.active_at - since > MAX_PAUSE {
            true => Err(Interruption::Rebalanced),
            false => Ok(()),
        }
    }

    async fn begin(&mut self, batch: Batch) -> Result<(), Interruption> {
        let number = self.next_batch;
        self.next_batch += 1;
        let unconfirmed = Unconfirmed {
            outputs: batch.outputs.len(),
            confirmed: Vec::new(),
            refused: Vec::new(),
            before: batch.before,
            reply: batch.reply,
        };
        self.batches.insert(number, unconfirmed);
        if batch.outputs.is_empty() {
            self.settle(number);
        }
        for (index, output) in batch.outputs.into_iter().enumerate() {
            let order = output.order;
            let publication = Publication {
                batch: number,
                index,
                output,
            };
            self.ready.extend(self.window.enter(order, publication));
        }
        self.publish_ready().await
    }

    async fn publish_ready(&mut self) -> Result<(), Interruption> {
        while let Some(publication) = self.ready.pop_front() {
            self.look()?;
            let Publication {
                batch,
                index,
                output,
            } = publication;
            let headers = match headers(&output) {
                Ok(headers) => headers,
                Err(reason) => {
                    self.done(batch, index, output.order, Some(reason));
                    continue;
                }
            };
            let number = self.next;
            self.next += 1;
            let on_its_way = OnItsWay {
                batch,
                index,
                order: output.order,
                since: Instant::now(),
            };
            let published = self.connection.client.publish_with_reply_and_headers(
                output.record.subject,
                format!("{}.{number}", self.inbox),
                headers,
                output.record.payload,
            );
            match published.await {
                Ok(()) => drop(self.on_their_way.insert(number, on_its_way)),
                Err(error) if error.kind() != PublishErrorKind::Send => {
                    self.done(batch, index, on_its_way.order, Some(error.to_string()));
                }
                Err(error) => return Err(Interruption::unavailable(error)),
            }
        }
        Ok(())
    }

    async fn confirm(&mut self, message: &async_nats::Message) -> Result<(), Interruption> {
        let number = message.subject.rsplit('.').next();
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        let Some(publication) = number.and_then(|number| self.on_their_way.remove(&number)) else {
            return Ok(());
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            let reason = "no stream of NATS has the subject that is published to";
            return Err(Interruption::unavailable(reason));
        }
        let confirmation = serde_json::from_slice::<Confirmation>(&message.payload);
        let confirmation = confirmation.map_err(|error| {
            Interruption::Unavailable(format!("NATS confirms by something unknown: {error}"))
        })?;
        let OnItsWay {
            batch,
            index,
            order,
            ..
        } = publication;
        match confirmation {
            Confirmation {
                error: Some(error), ..
            } if REFUSALS.contains(&error.err_code) => {
                self.done(batch, index, order, Some(error.description));
            }
            Confirmation {
                error: Some(error), ..
            } => return Err(Interruption::Unavailable(error.description)),
            Confirmation {
                stream: Some(stream),
                seq: Some(sequence),
                ..
            } => {
                self.marks.advance(&stream, sequence);
                self.done(batch, index, order, None);
            }
            _ => {
                return Err(Interruption::unavailable(
                    "NATS confirms without a sequence",
                ));
            }
        }
        self.publish_ready().await
    }

    /// A publication is confirmed, or refused for ever.
    fn done(&mut self, batch: u64, index: usize, order: Option<u64>, refusal: Option<String>) {
        self.ready.extend(self.window.confirm(order));
        let Some(unconfirmed) = self.batches.get_mut(&batch) else {
            return;
        };
        match refusal {
            None => unconfirmed.confirmed.push(index),
            Some(reason) => unconfirmed.refused.push((index, reason)),
        }
        if unconfirmed.confirmed.len() + unconfirmed.refused.len() == unconfirmed.outputs {
            self.settle(batch);
        }
    }

    /// All of a batch is confirmed or refused.
    fn settle(&mut self, batch: u64) {
        let Some(batch) = self.batches.remove(&batch) else {
            return;
        };
        let written = Written {
            refused: batch.refused,
            before: batch.before,
            marks: self.marks.get(),
        };
        batch.reply.send(Ok(written)).ok();
    }

    fn check_deadline(&self) -> Result<(), Interruption> {
        let oldest = self.on_their_way.values().map(|p| p.since).min();
        match oldest {
            Some(since) if since.elapsed() > CONFIRM_DEADLINE => Err(Interruption::unavailable(
                "NATS does not confirm a publication in time",
            )),
            _ => Ok(()),
        }
    }
}

fn headers(output: &Outgoing<NatsRecord>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut append = |name: &str, value: &str| {
        let parsed = HeaderName::from_str(name)
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let (parsed_name, parsed_value) =
            parsed.ok_or_else(|| format!("its header `{name}` is none"))?;
        headers.append(parsed_name, parsed_value);
        Ok::<_, String>(())
    };
    append(MESSAGE_ID_HEADER, &output.id)?;
    for (name, value) in &output.record.headers {
        if !name.eq_ignore_ascii_case(MESSAGE_ID_HEADER) {
            append(name, value)?;
        }
    }
    Ok(headers)
}
