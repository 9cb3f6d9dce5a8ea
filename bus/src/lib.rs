//! The event bus: what services publish to and consume from, over NATS JetStream or Kafka.
//!
//! A [`Producer`] says that a batch is published when the broker has all of it durably. A
//! [`Consumer`](consume) gives events to an [`EventHandler`] and acknowledges each after the
//! handler is done with it; what cannot be processed goes to `<topic>.dlq`. Events of a key keep
//! their order, also under failure, at the price that some may come twice. Both are supervised
//! actors that know no broker: `nats` and `kafka` each hold a `Publisher` and a `Source`, and
//! these two traits are all that the actors see.
//!
//! While the broker is unavailable both reconnect without limit and report themselves degraded. An event that
//! was not confirmed stays with its publisher, one that was not acknowledged with the broker.
//!
//! Over NATS there is one stream a topic; the subject is the topic's name, the payload is the same
//! bytes as over Kafka, and the key travels in the header `marquee-key`.
//!
//! ```no_run
//! # use std::{error::Error, sync::Arc};
//! # use bus::{Bus, BusUrl, Event, EventHandler, Producer, Subscription, Verdict, consume};
//! struct Print;
//!
//! #[async_trait::async_trait]
//! impl EventHandler for Print {
//!     async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
//!         events.iter().map(|event| { println!("{event:?}"); Verdict::Done }).collect()
//!     }
//! }
//!
//! async fn greet(group: &runtime::Group) -> Result<(), Box<dyn Error>> {
//!     let bus = Bus::from("nats://127.0.0.1:4222".parse::<BusUrl>()?);
//!     let all = Subscription { topic: "greetings".into(), group: "printers".into() };
//!     consume(group, "greetings-consumer", &bus, all, Arc::new(Print));
//!     let producer = Producer::start(group, "greetings-producer", &bus, &["greetings"]);
//!     let hello = Event { topic: "greetings".into(), key: "ann".into(), payload: b"hello".to_vec(), headers: vec![] };
//!     producer.publish(vec![hello]).await?; // the broker has it on disk now
//!     Ok(())
//! }
//! ```
//!
//! Start reading at [`Event`], then `producer` and `consumer`.

pub mod clients;

mod batch_worker;
mod condition;
mod consumer;
mod dead_letter_log;
mod dead_letters;
mod event;
mod examination;
mod kafka;
mod lag;
mod nats;
mod outbox_courier;
mod producer;
mod retention;
mod settings;
mod spans;
mod url;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use proto::events::dead_letter_topic;
use runtime::AskError;
use thiserror::Error;

pub use consumer::{Consumer, EventHandler, Subscription, consume};
pub use event::{Event, ID_HEADER, MAX_EVENT_BYTES, Verdict};
pub use examination::examine;
pub use kafka::KafkaSecurity;
pub use nats::{BadNatsFile, NatsFiles};
pub use outbox_courier::{Outbox, OutboxCourier, OutboxError, Outlet, WaitingEvent};
pub use producer::Producer;
pub use retention::Retention;
pub use settings::{BusSettings, NatsSettings};
pub use url::{BusUrl, BusUrlError, KafkaBrokers, NatsServers, kafka_certificate_files};

use condition::Condition;
use event::{Batch, Position};
use lag::LagProbe;

/// Why the bus did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BusError {
    /// An event that no broker would take, however often it is sent.
    #[error("the bus cannot carry the event: {0}")]
    Refused(String),
    /// Too many events, or bytes of them, wait to be published already.
    #[error("too much waits to be published already; send it again later")]
    QueueFull,
    /// The broker is unavailable, or did not confirm in time. A prefix of the batch may be durable.
    #[error("the bus is unavailable: {0}")]
    Unavailable(String),
    /// The actor that owns the connection gave no answer.
    #[error(transparent)]
    Actor(#[from] AskError),
}

/// A bus, and the limits of the topics that are created on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bus {
    /// Where it is.
    pub url: BusUrl,
    /// How much of a topic is kept.
    pub retention: Retention,
}

impl From<BusUrl> for Bus {
    fn from(url: BusUrl) -> Self {
        Self {
            url,
            retention: Retention::default(),
        }
    }
}

/// How far a publication came.
#[derive(Debug)]
struct Published {
    /// How many of the events, counted from the first, the broker has durably.
    durable: usize,
    /// Why there are not more of them.
    failure: Option<BusError>,
}

/// The way out to one broker. Connecting and reconnecting is its own affair.
#[async_trait]
trait Publisher: Send {
    /// Makes those topics that are absent.
    async fn prepare(&mut self, topics: &[String]) -> Result<(), BusError>;

    /// Publishes `events` and waits until the broker has them durably, however long that takes. No
    /// event overtakes an earlier one of its key, neither now nor when the caller sends again what
    /// was not durable. May be cancelled.
    async fn publish(&mut self, events: &[Event]) -> Published;

    /// Looks whether the broker answers. Called now and then while nothing is published.
    async fn probe(&mut self);
}

/// The way in from one broker, for one subscription. Connecting and reconnecting is its own affair.
/// What it gives out is settled, in order, before more is fetched. Dropping it leaves what is not
/// settled to be delivered again.
#[async_trait]
trait Source: Send {
    /// Waits for the next events, of each key in order: at least one, or a gap. Creates the topic, with
    /// that of its dead letters, when absent. After an error it is called again. May be cancelled.
    async fn fetch(&mut self) -> Result<Batch, BusError>;

    /// Keeps the claim on the events that are not settled while they take long; to be called every
    /// [`KEEP_INTERVAL`]. Returns the partitions that now belong to another consumer.
    async fn keep(&mut self) -> Vec<i32>;

    /// Acknowledges an event.
    async fn settle(&mut self, position: Position);

    /// Tells the broker that nothing more is fetched, and waits until it knows what is settled.
    async fn close(&mut self);
}

/// How often a source has to be told that its events are still worked on.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

fn publisher(bus: &Bus, name: &str, condition: &Arc<Condition>) -> Box<dyn Publisher> {
    let limits = bus.retention;
    match &bus.url {
        BusUrl::Nats(servers) => {
            Box::new(nats::NatsPublisher::new(servers, limits, name, condition))
        }
        BusUrl::Kafka(brokers) => {
            Box::new(kafka::KafkaPublisher::new(brokers, limits, name, condition))
        }
    }
}

fn source(
    bus: &Bus,
    name: &str,
    subscription: &Subscription,
    condition: &Arc<Condition>,
    lag: LagProbe,
) -> Box<dyn Source> {
    let limits = bus.retention;
    match &bus.url {
        BusUrl::Nats(servers) => Box::new(nats::NatsSource::new(
            servers,
            limits,
            name,
            subscription,
            condition,
            lag,
        )),
        BusUrl::Kafka(brokers) => Box::new(kafka::KafkaSource::new(
            brokers,
            limits,
            name,
            subscription,
            condition,
            lag,
        )),
    }
}

/// Each topic, followed by that of its dead letters if it is not one for dead letters itself.
fn with_dead_letters<'a>(topics: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut all = Vec::new();
    for topic in topics {
        all.push(topic.to_owned());
        if !topic.ends_with(&dead_letter_topic("")) {
            all.push(dead_letter_topic(topic));
        }
    }
    all
}
