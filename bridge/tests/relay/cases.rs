//! What holds for a relay between any two brokers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::future::join_all;
use testkit::{Proxy, eventually};

use crate::{
    kafka::{self, Read, send},
    scene::Pair,
};

/// How many records a test sends, and of how many keys.
pub(crate) const RECORDS: usize = 300;
pub(crate) const KEYS: usize = 7;
/// More topics than a route can write to.
const FILMS: usize = 20;

pub(crate) const TO_NATS: &str = r#"
[[routes]]
name = "PREFIX-there"
from = "kafka.k"
to = "nats.n"
topic = "PREFIX-topic"
subject = "PREFIX-subject"
"#;

pub(crate) const TO_KAFKA: &str = r#"
[[routes]]
name = "PREFIX-back"
from = "nats.n"
to = "kafka.k"
subject = "PREFIX-subject"
topic = "PREFIX-topic"
"#;

pub(crate) fn key(number: usize) -> String {
    format!("key-{}", number % KEYS)
}

pub(crate) fn record(number: usize) -> Read {
    Read {
        key: Some(key(number).into()),
        value: Some(number.to_string().into()),
        headers: Vec::new(),
        timestamp: None,
    }
}

/// Sends records to Kafka from as many tasks as there are keys, those of each key in order.
pub(crate) async fn send_all(pair: &Pair, numbers: std::ops::Range<usize>) {
    let producer = pair.kafka.producer();
    let topic = pair.name("topic");
    let of_key = |rest: usize| {
        let (producer, topic, mut numbers) = (producer.clone(), topic.clone(), numbers.clone());
        async move {
            for number in numbers.by_ref().filter(|number| number % KEYS == rest) {
                send(&producer, &topic, &record(number)).await;
            }
        }
    };
    join_all((0..KEYS).map(of_key)).await;
}

/// Publishes messages to NATS, each acknowledged before the next one of its key.
pub(crate) async fn publish_all(pair: &Pair, numbers: std::ops::Range<usize>) {
    let jetstream = pair.nats.jetstream().await;
    let subject = pair.name("subject");
    let of_key = |rest: usize| {
        let (jetstream, subject, mut numbers) = (&jetstream, &subject, numbers.clone());
        async move {
            for number in numbers.by_ref().filter(|number| number % KEYS == rest) {
                let mut headers = HeaderMap::new();
                headers.insert("marquee-key", key(number));
                let payload = number.to_string().into();
                let sent = jetstream.publish_with_headers(subject.clone(), headers, payload);
                sent.await.unwrap().await.unwrap();
            }
        }
    };
    join_all((0..KEYS).map(of_key)).await;
}

/// Fails unless every one of `numbers` is there once, and those of each key in order.
pub(crate) fn assert_once_and_in_order(
    all: impl Iterator<Item = (String, usize)>,
    numbers: &[usize],
) {
    let mut of_keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (key, number) in all {
        of_keys.entry(key).or_default().push(number);
    }
    let expected = (0..KEYS).map(|rest| {
        let numbers = numbers.iter().copied();
        let numbers = numbers.filter(|number| number % KEYS == rest);
        (key(rest), numbers.collect::<Vec<_>>())
    });
    assert_eq!(of_keys, expected.collect());
}

pub(crate) async fn assert_nats_has(pair: &Pair, count: usize) {
    assert_nats_has_all(pair, &Vec::from_iter(0..count)).await;
}

pub(crate) async fn assert_nats_has_all(pair: &Pair, numbers: &[usize]) {
    eventually("all records are in the stream", async || {
        pair.nats.count(&pair.name("stream")).await >= numbers.len() as u64
    })
    .await;
    let all = pair.nats.read(&pair.name("stream")).await;
    let found = all.iter().map(|message| {
        let key = message.headers.get("marquee-key").unwrap().to_string();
        let number = std::str::from_utf8(&message.payload).unwrap();
        (key, number.parse().unwrap())
    });
    assert_once_and_in_order(found, numbers);
}

pub(crate) async fn assert_kafka_has(pair: &Pair, count: usize) {
    assert_kafka_has_all(pair, &Vec::from_iter(0..count)).await;
}

pub(crate) async fn assert_kafka_has_all(pair: &Pair, numbers: &[usize]) {
    let mut all = Vec::new();
    eventually("all messages are in the topic", async || {
        all = kafka_has(pair).await;
        all.len() >= numbers.len()
    })
    .await;
    assert_once_and_in_order(all.into_iter(), numbers);
}

/// The key and the number of all records of the topic.
pub(crate) async fn kafka_has(pair: &Pair) -> Vec<(String, usize)> {
    let text = |bytes: &Option<Bytes>| String::from_utf8(bytes.clone().unwrap().into()).unwrap();
    let all = pair.kafka.read(&pair.name("topic")).await;
    all.iter()
        .map(|read| (text(&read.key), text(&read.value).parse().unwrap()))
        .collect()
}

pub(crate) async fn provide(pair: &Pair) {
    pair.kafka.create_topic(&pair.name("topic")).await;
    let (stream, subject) = (pair.name("stream"), pair.name("subject"));
    pair.nats.create_stream(&stream, &subject).await;
}

pub(crate) async fn records_of_kafka_arrive_at_nats_once_and_in_order(pair: Pair) {
    provide(&pair).await;
    send_all(&pair, 0..RECORDS / 2).await;
    let relay = pair.relay(TO_NATS);
    send_all(&pair, RECORDS / 2..RECORDS).await;
    assert_nats_has(&pair, RECORDS).await;
    // The route hears of the last ones a little later than a reader does.
    eventually("all are counted", async || {
        let status = relay.reports[0].status();
        (status.received, status.delivered) == (300, 300)
    })
    .await;
    relay.stop().await;
}

pub(crate) async fn messages_of_nats_arrive_at_kafka_once_and_in_order(pair: Pair) {
    provide(&pair).await;
    publish_all(&pair, 0..RECORDS / 2).await;
    let relay = pair.relay(TO_KAFKA);
    publish_all(&pair, RECORDS / 2..RECORDS).await;
    assert_kafka_has(&pair, RECORDS).await;
    relay.stop().await;
}

/// Both directions of one pair of names: what came from Kafka does not go back, and the other way round.
pub(crate) async fn what_goes_there_and_back_is_the_same(pair: Pair) {
    provide(&pair).await;
    let there = pair.name("topic-back");
    pair.kafka.create_topic(&there).await;
    // To Kafka again, but to another topic of another cluster, as far as the relay knows.
    let relay = pair.relay(
        r#"
[kafka.other]
brokers = "BROKERS"
[[routes]]
name = "PREFIX-there"
from = "kafka.k"
to = "nats.n"
topic = "PREFIX-topic"
subject = "PREFIX-subject"
[[routes]]
name = "PREFIX-back"
from = "nats.n"
to = "kafka.other"
subject = "PREFIX-subject"
topic = "PREFIX-topic-back"
[[routes]]
name = "PREFIX-loop"
from = "nats.n"
to = "kafka.k"
subject = "PREFIX-subject"
topic = "PREFIX-topic"
"#
        .replace("BROKERS", &pair.kafka.brokers)
        .as_str(),
    );
    let plain = |name: &str, value: &[u8]| (name.to_owned(), Some(Bytes::copy_from_slice(value)));
    let odd = vec![
        record(1),
        Read {
            key: None,
            value: None,
            headers: vec![plain("b", b"2"), plain("a", b"1"), plain("b", b"\xff\x00")],
            timestamp: Some(1_700_000_000_123),
        },
        Read {
            key: Some(Bytes::new()),
            value: Some(Bytes::new()),
            headers: vec![
                ("null".to_owned(), None),
                plain("line\r\nbreak: x", b"a\r\nb"),
            ],
            timestamp: Some(1),
        },
        Read {
            key: Some(Bytes::from_static(b"\x00\xff key")),
            value: Some(Bytes::from_static(b"\x00")),
            headers: vec![plain("", b""), plain("Nats-Msg-Id", b"mine")],
            timestamp: Some(1_700_000_000_124),
        },
    ];
    let producer = pair.kafka.producer();
    for record in &odd {
        send(&producer, &pair.name("topic"), record).await;
    }
    let mut back = Vec::new();
    eventually("all came back", async || {
        back = pair.kafka.read(&there).await;
        back.len() >= odd.len()
    })
    .await;
    for sent in &odd {
        let same = back
            .iter()
            .find(|read| (&read.key, &read.value) == (&sent.key, &sent.value));
        let mut same = same.unwrap().clone();
        same.headers
            .retain(|(name, _)| !name.starts_with("Marquee-Relay-"));
        if sent.timestamp.is_none() {
            same.timestamp = None;
        }
        assert_eq!(&same, sent);
    }
    assert_eq!(back.len(), odd.len());
    // Each was looked at by the route that would close the circle.
    eventually("what closes a circle is left out", async || {
        relay.reports[2].status().skipped == odd.len() as u64
    })
    .await;
    assert_eq!(pair.kafka.read(&pair.name("topic")).await.len(), odd.len());
    relay.stop().await;
}

pub(crate) async fn nothing_is_lost_while_nats_is_unavailable(pair: Pair) {
    provide(&pair).await;
    let relay = pair.relay(TO_NATS);
    send_all(&pair, 0..RECORDS / 3).await;
    for third in 1..3 {
        pair.nats.become_unavailable().await;
        send_all(&pair, third * RECORDS / 3..(third + 1) * RECORDS / 3).await;
        pair.nats.come_back().await;
    }
    assert_nats_has(&pair, RECORDS).await;
    relay.stop().await;
}

/// Both directions, since both need Kafka: one reads from it, the other has its lease there.
pub(crate) async fn nothing_is_lost_while_kafka_is_unavailable(pair: Pair) {
    if !pair.kafka.is_mock() {
        return;
    }
    provide(&pair).await;
    let relay = pair.relay(TO_KAFKA);
    publish_all(&pair, 0..RECORDS / 3).await;
    for third in 1..3 {
        pair.kafka.become_unavailable();
        publish_all(&pair, third * RECORDS / 3..(third + 1) * RECORDS / 3).await;
        pair.kafka.come_back();
    }
    assert_kafka_has(&pair, RECORDS).await;
    relay.stop().await;
}

/// A topic and a stream that are made only when the relay runs: it waits, says so, and goes on by itself.
pub(crate) async fn what_is_absent_is_waited_for(pair: Pair) {
    let relay = pair.relay(TO_NATS);
    eventually("the relay says that something is absent", async || {
        let actors = relay.process.registry.actors();
        actors.iter().any(|actor| {
            let health = format!("{:?}", actor.health);
            health.contains("does not go on: no stream of NATS has the subject")
                || health.contains("does not go on: there is no such topic")
        })
    })
    .await;
    pair.kafka.create_topic(&pair.name("topic")).await;
    send_all(&pair, 0..KEYS).await;
    let (stream, subject) = (pair.name("stream"), pair.name("subject"));
    pair.nats.create_stream(&stream, &subject).await;
    send_all(&pair, KEYS..RECORDS).await;
    assert_nats_has(&pair, RECORDS).await;
    relay.stop().await;
}

/// A stream that is named, but has not all of what its route reads, is told; the route goes on when it has.
pub(crate) async fn subjects_that_a_stream_does_not_have_are_waited_for(pair: Pair) {
    pair.kafka.create_topic(&pair.name("topic")).await;
    let (stream, subject) = (pair.name("stream"), pair.name("subject"));
    pair.nats.create_stream(&stream, &pair.name("other")).await;
    let relay = pair.relay(&(TO_KAFKA.to_owned() + "stream = \"PREFIX-stream\"\n"));
    let reason = format!("the stream `{stream}` does not take the subject `{subject}`");
    eventually("the route says what is absent", async || {
        let stuck = relay.reports[0].status().stuck;
        stuck.is_some_and(|(told, _)| told.contains(&reason))
    })
    .await;
    let jetstream = pair.nats.jetstream().await;
    let mut config = jetstream
        .get_stream(&stream)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.subjects.push(subject);
    jetstream.update_stream(config).await.unwrap();
    publish_all(&pair, 0..KEYS).await;
    assert_kafka_has(&pair, KEYS).await;
    relay.stop().await;
}

pub(crate) async fn nothing_is_lost_while_the_relay_is_stopped_again_and_again(pair: Pair) {
    provide(&pair).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let (done, pair) = (is_done.clone(), &pair);
    let restarting = async move {
        while !done.load(Ordering::Relaxed) {
            let relay = pair.relay(TO_NATS);
            let before = pair.nats.count(&pair.name("stream")).await;
            eventually("the relay has begun, or there is no more", async || {
                done.load(Ordering::Relaxed) || pair.nats.count(&pair.name("stream")).await > before
            })
            .await;
            relay.stop().await;
        }
    };
    let sending = async move {
        for tenth in 0..10 {
            send_all(pair, tenth * RECORDS / 10..(tenth + 1) * RECORDS / 10).await;
        }
        is_done.store(true, Ordering::Relaxed);
    };
    tokio::join!(restarting, sending);
    let relay = pair.relay(TO_NATS);
    assert_nats_has(pair, RECORDS).await;
    relay.stop().await;
}

/// Two instances of a route from NATS: one works, the other is ready to, and does when the first one stops.
pub(crate) async fn a_second_instance_is_ready_and_takes_over(pair: Pair) {
    provide(&pair).await;
    let first = pair.relay(TO_KAFKA);
    publish_all(&pair, 0..RECORDS / 2).await;
    assert_kafka_has(&pair, RECORDS / 2).await;
    let retried = first.reports[0].status().retried;
    let second = pair.relay(TO_KAFKA);
    eventually("the second instance is ready", async || second.is_ready()).await;
    // The one that works was not interrupted, and goes on.
    publish_all(&pair, RECORDS / 2..2 * RECORDS / 3).await;
    assert_kafka_has(&pair, 2 * RECORDS / 3).await;
    assert_eq!(first.reports[0].status().retried, retried);
    assert_eq!(second.reports[0].status().received, 0);
    first.stop().await;
    publish_all(&pair, 2 * RECORDS / 3..RECORDS).await;
    assert_kafka_has(&pair, RECORDS).await;
    assert!(second.reports[0].status().received > 0);
    second.stop().await;
}

/// An instance that could not take over is not ready, though it has nothing to do.
pub(crate) async fn an_instance_on_standby_looks_at_its_source(pair: Pair) {
    provide(&pair).await;
    let proxy = Proxy::to(pair.nats.url().replace("nats://", ""))
        .await
        .unwrap();
    let by = |url: &str| {
        let nats = format!("[nats.same]\nid = \"PREFIX-nats\"\nurl = \"{url}\"\n");
        nats + &TO_KAFKA.replace("nats.n", "nats.same")
    };
    let first = pair.relay(&by(&pair.nats.url()));
    publish_all(&pair, 0..KEYS).await;
    assert_kafka_has(&pair, KEYS).await;
    let second = pair.relay(&by(&format!("nats://{}", proxy.address())));
    let status = || second.reports[0].status();
    let stands_by = async || second.is_ready() && status().is_standby && status().lag == Some(0);
    eventually("the second instance stands by", stands_by).await;
    proxy.down();
    let mut stuck = None;
    eventually("it cannot reach its source", async || {
        stuck = status().stuck;
        stuck.is_some()
    })
    .await;
    let (reason, _) = stuck.unwrap();
    assert!(reason.contains("NATS"), "{reason}");
    assert_eq!((second.is_ready(), status().lag), (false, None));
    proxy.up();
    eventually("it stands by again", stands_by).await;
    publish_all(&pair, KEYS..RECORDS).await;
    assert_kafka_has(&pair, RECORDS).await;
    assert_eq!(status().received, 0);
    second.stop().await;
    first.stop().await;
}

/// Messages of one record in two subjects of one stream are two messages.
pub(crate) async fn two_routes_lead_from_one_topic_into_one_stream(pair: Pair) {
    pair.kafka.create_topic(&pair.name("topic")).await;
    let subjects = pair.name("subject.>");
    pair.nats
        .create_stream(&pair.name("stream"), &subjects)
        .await;
    let routes = ["one", "two"].map(|name| {
        TO_NATS
            .replace("PREFIX-there", &format!("PREFIX-{name}"))
            .replace("PREFIX-subject", &format!("PREFIX-subject.{name}"))
    });
    let relay = pair.relay(&routes.concat());
    send_all(&pair, 0..RECORDS).await;
    eventually("all records are in both subjects", async || {
        pair.nats.count(&pair.name("stream")).await >= 2 * RECORDS as u64
    })
    .await;
    let all = pair.nats.read(&pair.name("stream")).await;
    let of_one = all.iter().filter(|m| m.subject.ends_with(".one")).count();
    assert_eq!((all.len(), of_one), (2 * RECORDS, RECORDS));
    relay.stop().await;
}

/// Dead letters of several batches at a time are each there once, and what is among them arrives.
pub(crate) async fn many_dead_letters_hold_up_nothing(pair: Pair) {
    provide(&pair).await;
    let dead = pair.name("topic.dlq");
    pair.kafka.create_topic(&dead).await;
    let producer = pair.kafka.producer();
    let poison = |number| kafka::Read {
        headers: vec![("Marquee-Relay-Path".to_owned(), Some("no,,path".into()))],
        ..record(number)
    };
    let topic = pair.name("topic");
    let poisons: Vec<_> = (0..RECORDS).map(poison).collect();
    let sending = poisons.iter().map(|poison| send(&producer, &topic, poison));
    join_all(sending).await;
    let relay = pair.relay(TO_NATS);
    send_all(&pair, 0..RECORDS).await;
    assert_nats_has(&pair, RECORDS).await;
    eventually("all poison is among the dead letters", async || {
        relay.reports[0].status().dead_letters >= RECORDS as u64
    })
    .await;
    assert_eq!(pair.kafka.read(&dead).await.len(), RECORDS);
    relay.stop().await;
}

pub(crate) async fn a_record_that_cannot_be_mapped_becomes_a_dead_letter(pair: Pair) {
    provide(&pair).await;
    let dead = pair.name("topic.dlq");
    pair.kafka.create_topic(&dead).await;
    let relay = pair.relay(TO_NATS);
    let producer = pair.kafka.producer();
    let poison = kafka::Read {
        headers: vec![("Marquee-Relay-Path".to_owned(), Some("no,,path".into()))],
        ..record(0)
    };
    send(&producer, &pair.name("topic"), &poison).await;
    send_all(&pair, 0..KEYS).await;
    assert_nats_has(&pair, KEYS).await;
    let mut letters = Vec::new();
    eventually("the poison is among the dead letters", async || {
        letters = pair.kafka.read(&dead).await;
        !letters.is_empty()
    })
    .await;
    assert_eq!(
        (&letters[0].key, &letters[0].value),
        (&poison.key, &poison.value)
    );
    let reason = letters[0]
        .headers
        .iter()
        .find(|(name, _)| name == "marquee-reason");
    let reason = reason.unwrap().1.clone().unwrap();
    assert!(
        String::from_utf8(reason.into())
            .unwrap()
            .contains("Marquee-Relay-Path")
    );
    assert_eq!(relay.reports[0].status().dead_letters, 1);
    relay.stop().await;
}

/// A relay that has nothing to do ends in the time that its program has for that.
pub(crate) async fn an_idle_relay_stops_in_time(pair: Pair) {
    provide(&pair).await;
    let relay = pair.relay(&[TO_NATS, TO_KAFKA].concat());
    eventually("all routes are ready", async || relay.is_ready()).await;
    relay.stop_within(Duration::from_millis(2_250)).await;
}

/// What waits at NATS is known when nothing can be written, also to an instance that has never written anything.
pub(crate) async fn what_waits_is_counted_while_kafka_is_unavailable(pair: Pair) {
    if !pair.kafka.is_mock() {
        return;
    }
    provide(&pair).await;
    let relay = pair.relay(TO_KAFKA);
    publish_all(&pair, 0..KEYS).await;
    assert_kafka_has(&pair, KEYS).await;
    pair.kafka.become_unavailable();
    publish_all(&pair, KEYS..RECORDS).await;
    let all_wait = (RECORDS - KEYS) as u64;
    eventually("the route that has worked tells what waits", async || {
        relay.reports[0].status().lag == Some(all_wait)
    })
    .await;
    relay.stop().await;
    let relay = pair.relay(TO_KAFKA);
    eventually("the new instance tells what waits", async || {
        relay.reports[0].status().lag == Some(all_wait)
    })
    .await;
    pair.kafka.come_back();
    assert_kafka_has(&pair, RECORDS).await;
    eventually("nothing waits", async || {
        relay.reports[0].status().lag == Some(0)
    })
    .await;
    relay.stop().await;
}

/// A mock cluster cannot be asked to make a topic.
pub(crate) async fn topics_of_a_pattern_are_made_when_they_are_needed(pair: Pair) {
    if pair.kafka.is_mock() {
        return;
    }
    let (stream, subjects) = (pair.name("stream"), pair.name("films.*"));
    pair.nats.create_stream(&stream, &subjects).await;
    let jetstream = pair.nats.jetstream().await;
    let publish = async |film: usize| {
        let subject = pair.name(&format!("films.{film}"));
        let sent = jetstream.publish(subject, "Heat".into()).await.unwrap();
        sent.await.unwrap();
    };
    publish(1).await;
    publish(2).await;
    let route = TO_KAFKA
        .replace("PREFIX-subject", "PREFIX-films.{id}")
        .replace("PREFIX-topic", "PREFIX-film-{id}");
    let relay = pair.relay(&(route + "create = true\n"));
    let delivered = || relay.reports[0].status().delivered;
    eventually("two topics are made", async || delivered() == 2).await;
    publish(3).await;
    eventually("another one is made", async || delivered() == 3).await;
    for film in 1..=3 {
        let topic = pair.name(&format!("film-{film}"));
        assert_eq!(pair.kafka.read(&topic).await.len(), 1);
    }
    relay.stop().await;
}

/// A client that publishes to more and more subjects does not have more and more topics made, nor stops the route.
pub(crate) async fn a_route_makes_no_more_topics_than_it_can_write_to(pair: Pair) {
    if pair.kafka.is_mock() {
        return;
    }
    let (stream, subjects) = (pair.name("stream"), pair.name("films.*"));
    pair.nats.create_stream(&stream, &subjects).await;
    let jetstream = pair.nats.jetstream().await;
    // Long names have less room.
    let film = |number: usize| format!("{number}-{}", "x".repeat(200));
    for number in 0..FILMS {
        let subject = pair.name(&format!("films.{}", film(number)));
        let sent = jetstream.publish(subject, "Heat".into()).await.unwrap();
        sent.await.unwrap();
    }
    let route = TO_KAFKA
        .replace("PREFIX-subject", "PREFIX-films.{id}")
        .replace("PREFIX-topic", "PREFIX-film-{id}");
    let relay = pair.relay(&(route + "create = true\n"));
    let (mut delivered, mut dead_letters) = (0, 0);
    eventually("each is delivered or a dead letter", async || {
        let status = relay.reports[0].status();
        (delivered, dead_letters) = (status.delivered, status.dead_letters);
        delivered + dead_letters == FILMS as u64
    })
    .await;
    relay.stop().await;
    assert!(delivered > 0 && dead_letters > 0, "{delivered}");
    let topics = pair.kafka.topics_of(&pair.prefix).await;
    assert_eq!(topics.len() as u64, delivered);
    let letters = pair
        .nats
        .read(&format!("relay-{}-back-dlq", pair.prefix))
        .await;
    assert_eq!(letters.len() as u64, dead_letters);
    for letter in letters {
        let reason = letter.headers.get("marquee-reason").unwrap().as_str();
        assert!(reason.contains("the route makes no more"), "{reason}");
    }
}
