//! Events of the bus cross the relay: a service at one side understands what a service at the other side published.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bus::{Bus, BusUrl, Event, EventHandler, Producer, Subscription, Verdict, consume};
use runtime::{Process, Supervisor};
use testkit::eventually;

use crate::scene::Pair;

/// One topic, both ways under the same name.
const BOTH_WAYS: &str = r#"
[[routes]]
name = "PREFIX-there"
from = "kafka.k"
to = "nats.n"
topic = "PREFIX-events"
subject = "PREFIX-events"

[[routes]]
name = "PREFIX-back"
from = "nats.n"
to = "kafka.k"
topic = "PREFIX-events"
subject = "PREFIX-events"
"#;

/// Key, payload and headers of an event.
type Seen = (String, Vec<u8>, Vec<(String, String)>);

/// Keeps what a service receives.
#[derive(Default)]
struct Received(Mutex<Vec<Event>>);

impl Received {
    /// What was received, with the headers of the bus, sorted.
    fn events(&self) -> Vec<Seen> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = events.iter().map(|event| {
            let mut headers = event.headers.clone();
            headers.retain(|(name, _)| name.starts_with("marquee-"));
            headers.sort();
            (event.key.clone(), event.payload.clone(), headers)
        });
        let mut seen: Vec<_> = seen.collect();
        seen.sort();
        seen
    }
}

#[async_trait]
impl EventHandler for Received {
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.extend_from_slice(events);
        events.iter().map(|_| Verdict::Done).collect()
    }
}

pub(crate) async fn events_of_the_bus_are_understood_at_the_other_side(pair: Pair) {
    let topic = pair.name("events");
    for topic in [topic.clone(), format!("{topic}.dlq")] {
        pair.kafka.create_topic(&topic).await;
    }
    pair.nats.create_stream(&pair.name("stream"), &topic).await;
    let relay = pair.relay(BOTH_WAYS);

    let process = Process::new();
    let supervisor = Supervisor::new("services", &process);
    let group = supervisor.group("services");
    let mut received = Vec::new();
    let mut producers = Vec::new();
    for (side, url) in [
        ("kafka", format!("kafka://{}", pair.kafka.brokers)),
        ("nats", pair.nats.url()),
    ] {
        let bus = Bus::from(url.parse::<BusUrl>().unwrap());
        let handler = Arc::new(Received::default());
        let subscription = Subscription {
            topic: topic.clone(),
            group: pair.name("services"),
        };
        consume(
            &group,
            &format!("{side}-consumer"),
            &bus,
            subscription,
            handler.clone(),
        );
        producers.push(Producer::start(
            &group,
            &format!("{side}-producer"),
            &bus,
            &[&topic],
        ));
        received.push(handler);
    }
    let mut expected = Vec::new();
    for round in ["first", "second"] {
        for (side, producer) in ["kafka", "nats"].iter().zip(&producers) {
            let event = Event {
                topic: topic.clone(),
                key: format!("key of {side}, ключ"),
                payload: format!(r#"{{"{side}": "{round}"}}"#).into(),
                headers: vec![
                    ("marquee-version".into(), "7".into()),
                    ("marquee-id".into(), format!("{topic}-{side}-{round}")),
                ],
            };
            let mut headers = event.headers.clone();
            headers.sort();
            expected.push((event.key.clone(), event.payload.clone(), headers));
            producer.publish(vec![event]).await.unwrap();
        }
        expected.sort();
        // Nothing went round: the second pair would come after what did.
        for (side, received) in ["kafka", "nats"].iter().zip(&received) {
            eventually(&format!("the {round} events are at {side}"), async || {
                received.events().len() >= expected.len()
            })
            .await;
            assert_eq!(received.events(), expected, "{side}");
        }
    }
    supervisor.stop(std::time::Duration::from_secs(10)).await;
    relay.stop().await;
}
