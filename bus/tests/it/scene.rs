//! A service on a bus as the cases see it: its producer, its consumers, and a recorder of what arrived.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bus::{Consumer, Event, EventHandler, Producer, Retention, Subscription, Verdict, consume};
use runtime::{Group, Process, Supervisor, supervision::ActorStatus};
use tokio::sync::watch;

use crate::buses::Bus;

/// A service of its own on a bus, with a topic that no other test uses.
pub(crate) struct Scene<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) topic: String,
    pub(crate) process: Process,
    /// What an operator sets.
    pub(crate) retention: Retention,
    supervisor: Supervisor,
    group: Group,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(bus: &'a Bus) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros();
        let topic = format!("test.bus_{now}-{count}");
        bus.provide(&topic);
        Self::on_topic(bus, &topic)
    }

    /// A further service that shares a topic.
    pub(crate) fn beside(&self) -> Self {
        Self::on_topic(self.bus, &self.topic)
    }

    fn on_topic(bus: &'a Bus, topic: &str) -> Self {
        if let Ok(filter) = std::env::var("LOG") {
            let format = runtime::telemetry::LogFormat::Text;
            runtime::telemetry::init(&runtime::telemetry::LogSettings {
                log: filter,
                log_format: format,
            })
            .unwrap();
        }
        let process = Process::new();
        let supervisor = Supervisor::new("test", &process);
        let group = supervisor.group("bus");
        Self {
            bus,
            topic: topic.to_owned(),
            process,
            retention: Retention::default(),
            supervisor,
            group,
        }
    }

    fn on_bus(&self) -> bus::Bus {
        bus::Bus {
            url: self.bus.url.clone(),
            retention: self.retention,
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::start(&self.group, "producer", &self.on_bus(), &[&self.topic])
    }

    pub(crate) fn consumer(&self, handler: &Arc<Recorder>) -> Consumer {
        self.consumer_of(&self.topic, handler)
    }

    pub(crate) fn dead_letters(&self, handler: &Arc<Recorder>) -> Consumer {
        self.consumer_of(&format!("{}.dlq", self.topic), handler)
    }

    fn consumer_of(&self, topic: &str, handler: &Arc<Recorder>) -> Consumer {
        let subscription = Subscription {
            topic: topic.to_owned(),
            group: format!("group.of-{topic}"),
        };
        consume(
            &self.group,
            "consumer",
            &self.on_bus(),
            subscription,
            handler.clone(),
        )
    }

    /// An event on the scene's topic.
    pub(crate) fn event(&self, key: &str, payload: &str) -> Event {
        Event {
            topic: self.topic.clone(),
            key: key.into(),
            payload: payload.into(),
            headers: Vec::new(),
        }
    }

    /// Events `from..to` of each of the keys "0" to "4", in turn.
    pub(crate) fn events(&self, from: usize, to: usize) -> Vec<Event> {
        let numbers = from..to;
        numbers
            .flat_map(|n| (0..5).map(move |key| (key, n)))
            .map(|(key, n)| self.event(&key.to_string(), &n.to_string()))
            .collect()
    }

    pub(crate) fn is_degraded(&self) -> bool {
        use runtime::supervision::Health;
        let actors = self.process.registry.actors();
        actors
            .iter()
            .any(|a| matches!(a.health, Health::Degraded(_)))
    }

    /// What the only actor `name` reports.
    pub(crate) fn status(&self, name: &str) -> ActorStatus {
        let actors = self.process.registry.actors();
        actors.into_iter().find(|actor| actor.name == name).unwrap()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.process
            .registry
            .actors()
            .iter()
            .map(|a| a.restarts)
            .sum()
    }

    pub(crate) async fn stop(&self) {
        self.supervisor.stop(Duration::from_secs(5)).await;
    }
}

/// A handler that keeps what it is given.
pub(crate) struct Recorder {
    judge: Box<dyn Fn(&Event) -> Verdict + Send + Sync>,
    seen: Mutex<Vec<(Event, Verdict)>>,
    missed: AtomicU64,
    may_repair: watch::Sender<bool>,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Self::judging(|_| Verdict::Done)
    }

    pub(crate) fn judging(judge: impl Fn(&Event) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            judge: Box::new(judge),
            seen: Mutex::default(),
            missed: AtomicU64::new(0),
            may_repair: watch::Sender::new(true),
        })
    }

    /// The events that were done, with their repetitions.
    pub(crate) fn done(&self) -> Vec<Event> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(_, v)| *v == Verdict::Done)
            .map(|(e, _)| e.clone())
            .collect()
    }

    /// How many events the consumer reported as missing.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(crate) fn hold_repairs(&self) {
        self.may_repair.send_replace(false);
    }

    pub(crate) fn finish_repairs(&self) {
        self.may_repair.send_replace(true);
    }

    /// The payloads of a key, as done, without repetitions.
    pub(crate) fn numbers_of(&self, key: &str) -> Vec<usize> {
        let mut numbers = Vec::new();
        for event in self.done().iter().filter(|e| e.key == key) {
            let number = std::str::from_utf8(&event.payload)
                .unwrap()
                .parse()
                .unwrap();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    /// Waits until `0..count` of each of the keys "0" to "4" is done, and shows that it was in order.
    pub(crate) async fn wait_for_events(&self, count: usize) {
        let all = || (0..5).all(|key| self.numbers_of(&key.to_string()).len() >= count);
        wait_until("all events are there", all).await;
        for key in 0..5 {
            let numbers = self.numbers_of(&key.to_string());
            assert_eq!(
                numbers,
                (0..count).collect::<Vec<_>>(),
                "the events of key {key}"
            );
        }
    }
}

#[async_trait]
impl EventHandler for Recorder {
    /// Decides on the events one by one, up to the first that is to be tried again.
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        for event in events {
            if let Some(retry @ Verdict::Retry(_)) = verdicts.last() {
                verdicts.push(retry.clone());
                continue;
            }
            let verdict = (self.judge)(event);
            self.seen
                .lock()
                .unwrap()
                .push((event.clone(), verdict.clone()));
            verdicts.push(verdict);
        }
        verdicts
    }

    async fn missed(&self, count: u64) {
        self.missed.fetch_add(count, Ordering::Relaxed);
        let mut may_repair = self.may_repair.subscribe();
        may_repair.wait_for(|may| *may).await.unwrap();
    }
}

pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    testkit::eventually(what, async || condition()).await;
}
