//! Records that a broker refuses for good become dead letters with its reason; what is beside them arrives, in order.

use std::{collections::HashSet, time::Duration};

use async_nats::{HeaderMap, jetstream::stream::Config};
use bytes::Bytes;
use futures::future::join_all;
use testkit::eventually;

use crate::{
    cases::{
        RECORDS, TO_KAFKA, TO_NATS, assert_kafka_has, assert_kafka_has_all, assert_nats_has, key,
        provide, publish_all, record, send_all,
    },
    kafka::{Read, send},
    nats,
    scene::Pair,
};

/// More than a stream or topic of these tests takes.
const LARGE: usize = 5_000;
/// More than librdkafka takes, and less than a NATS server does.
const TOO_LARGE_TO_SEND: usize = 1_020_000;
/// How many large records there are beside others.
const BESIDE: usize = 10;

/// Bytes that cannot be compressed.
fn large(length: usize) -> Bytes {
    (0..length).map(|_| rand::random::<u8>()).collect()
}

pub(crate) async fn what_a_stream_refuses_becomes_dead_letters_and_nothing_else_does(pair: Pair) {
    let (topic, dead) = (pair.name("topic"), pair.name("topic.dlq"));
    pair.kafka.create_topic(&topic).await;
    pair.kafka.create_topic(&dead).await;
    let small_messages = Config {
        name: pair.name("stream"),
        subjects: vec![pair.name("subject")],
        max_message_size: 1_000,
        ..Config::default()
    };
    let jetstream = pair.nats.jetstream().await;
    jetstream.create_stream(small_messages).await.unwrap();
    let producer = pair.kafka.producer();
    let send_large = async |count: usize| {
        let all: Vec<_> = (0..count)
            .map(|number| Read {
                value: Some(large(LARGE)),
                ..record(number)
            })
            .collect();
        join_all(all.iter().map(|record| send(&producer, &topic, record))).await;
    };

    // A batch of nothing else, and then some among others.
    send_large(BESIDE).await;
    let relay = pair.relay(TO_NATS);
    eventually("the whole batch is among the dead letters", async || {
        relay.reports[0].status().dead_letters == BESIDE as u64
    })
    .await;
    tokio::join!(send_all(&pair, 0..RECORDS), send_large(BESIDE));
    assert_nats_has(&pair, RECORDS).await;
    eventually("all large ones are among the dead letters", async || {
        relay.reports[0].status().dead_letters == 2 * BESIDE as u64
    })
    .await;
    let letters = pair.kafka.read(&dead).await;
    assert_eq!(letters.len(), 2 * BESIDE);
    for letter in letters {
        let mut headers = letter.headers.iter();
        let reason = headers.find(|(name, _)| name == "marquee-reason").unwrap();
        let reason = String::from_utf8(reason.1.clone().unwrap().into()).unwrap();
        assert_eq!(reason, "message size exceeds maximum allowed");
        assert_eq!(letter.value.unwrap().len(), LARGE);
    }
    relay.stop().await;
}

/// A broker refuses all that it gets in one request for the sake of one record: then they are sent one by one.
pub(crate) async fn what_kafka_refuses_becomes_a_dead_letter_and_nothing_else_does(pair: Pair) {
    let (topic, subject) = (pair.name("topic"), pair.name("subject"));
    pair.kafka.create_topic_of_small_records(&topic).await;
    pair.nats
        .create_stream(&pair.name("stream"), &subject)
        .await;
    let jetstream = pair.nats.jetstream().await;
    let publish = async |length: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("marquee-key", key(0));
        let payload = large(length);
        let sent = jetstream.publish_with_headers(subject.clone(), headers, payload);
        sent.await.unwrap().await.unwrap();
    };
    publish_all(&pair, 0..RECORDS / 2).await;
    publish(TOO_LARGE_TO_SEND).await;
    if !pair.kafka.is_mock() {
        for _ in 0..BESIDE {
            publish(LARGE).await;
        }
    }
    publish_all(&pair, RECORDS / 2..RECORDS).await;

    // The mock cluster takes records of any size. It refuses so many requests: those on their way to a partition at the
    // same time, and then some that have one record.
    pair.kafka.refuse_requests(&[true; 8]);
    let relay = pair.relay(TO_KAFKA);
    let published = pair.nats.count(&pair.name("stream")).await;
    let mut dead = 0;
    eventually("each is at Kafka or among the dead letters", async || {
        let arrived = pair.kafka.read(&topic).await.len() as u64;
        dead = relay.reports[0].status().dead_letters;
        arrived + dead >= published
    })
    .await;
    match pair.kafka.is_mock() {
        true => assert!(dead >= 2),
        false => assert_eq!(dead, 1 + BESIDE as u64),
    }
    let letters = pair.nats.read(&format!("{subject}-dlq")).await;
    assert_eq!(letters.len() as u64, dead);
    let mut numbers = Vec::from_iter(0..RECORDS);
    for letter in letters {
        let reason = letter.headers.get("marquee-reason").unwrap().as_str();
        assert!(reason.contains("too large"), "{reason}");
        let number = std::str::from_utf8(&letter.payload).ok();
        let number = number.and_then(|text| text.parse::<usize>().ok());
        assert_eq!(number.is_some(), letter.payload.len() < LARGE);
        numbers.retain(|other| Some(*other) != number);
    }
    assert_kafka_has_all(&pair, &numbers).await;
    relay.stop().await;
}

/// The values of a header of dead letters, in order.
fn values<'a>(letters: impl IntoIterator<Item = &'a HeaderMap>, name: &str) -> Vec<String> {
    let values = letters.into_iter().filter_map(|headers| headers.get(name));
    let mut values: Vec<_> = values.map(ToString::to_string).collect();
    values.sort_unstable();
    values
}

/// What cannot be mapped, and a place for dead letters that takes no large ones.
pub(crate) async fn a_dead_letter_too_large_for_nats_is_cut_down(pair: Pair) {
    let (subject, dead) = (pair.name("subject"), pair.name("subject-dlq"));
    pair.kafka.create_topic(&pair.name("topic")).await;
    pair.nats
        .create_stream(&pair.name("stream"), &subject)
        .await;
    let small_messages = Config {
        name: dead.clone(),
        subjects: vec![format!("{subject}.dlq")],
        max_message_size: 1_000,
        // It is not the stream which drops duplicates.
        duplicate_window: Duration::from_millis(100),
        ..Config::default()
    };
    let jetstream = pair.nats.jetstream().await;
    jetstream.create_stream(small_messages).await.unwrap();
    let payloads = (0..BESIDE).map(|number| Bytes::from(number.to_string()));
    for payload in payloads.chain([large(LARGE)]) {
        let mut headers = HeaderMap::new();
        headers.insert("Marquee-Relay-Path", "no,,path");
        let sent = jetstream.publish_with_headers(subject.clone(), headers, payload);
        sent.await.unwrap().await.unwrap();
    }
    publish_all(&pair, 0..RECORDS).await;

    let relay = pair.relay(TO_KAFKA);
    assert_kafka_has(&pair, RECORDS).await;
    eventually("all are among the dead letters", async || {
        relay.reports[0].status().dead_letters == 1 + BESIDE as u64
    })
    .await;
    relay.stop().await;
    let letters = pair.nats.read(&dead).await;
    let headers = || letters.iter().map(|letter| &letter.headers);
    let mut origins = values(headers(), "marquee-origin");
    origins.dedup();
    assert_eq!((origins.len(), letters.len()), (1 + BESIDE, 1 + BESIDE));
    let cut = values(headers(), "marquee-cut");
    let [cut] = cut.as_slice() else {
        panic!("one is cut down: {cut:?}");
    };
    assert!(cut.starts_with("its 5030 bytes"), "{cut}");
    assert!(
        cut.ends_with("message size exceeds maximum allowed"),
        "{cut}"
    );
    let is_cut = |letter: &&nats::Read| letter.headers.get("marquee-cut").is_some();
    let letter = letters.iter().find(is_cut).unwrap();
    assert!(letter.payload.is_empty());
    let reason = letter.headers.get("marquee-reason").unwrap().as_str();
    assert!(reason.contains("Marquee-Relay-Path"), "{reason}");
}

pub(crate) async fn a_dead_letter_too_large_for_kafka_is_cut_down(pair: Pair) {
    let (topic, dead) = (pair.name("topic"), pair.name("topic.dlq"));
    pair.kafka.create_topic(&topic).await;
    pair.kafka.create_topic_of_small_records(&dead).await;
    pair.nats
        .create_stream(&pair.name("stream"), &pair.name("subject"))
        .await;
    let poison = |value: Bytes| Read {
        headers: vec![("Marquee-Relay-Path".to_owned(), Some("no,,path".into()))],
        value: Some(value),
        ..record(0)
    };
    let producer = pair.kafka.producer();
    let values = (0..BESIDE).map(|number| Bytes::from(number.to_string()));
    for value in values.chain([large(LARGE)]) {
        send(&producer, &topic, &poison(value)).await;
    }
    send_all(&pair, 0..RECORDS).await;

    // Of the mock cluster, which takes records of any size: all at once, and then some after others.
    let mut are_refused = [true; 12];
    are_refused[1..3].fill(false);
    pair.kafka.refuse_requests(&are_refused);
    let relay = pair.relay(TO_NATS);
    assert_nats_has(&pair, RECORDS).await;
    eventually("all are among the dead letters", async || {
        relay.reports[0].status().dead_letters > BESIDE as u64
    })
    .await;
    relay.stop().await;
    let letters = pair.kafka.read(&dead).await;
    let values = |name: &str| {
        let all = letters.iter().flat_map(|letter| &letter.headers);
        let values = all.filter(|(other, _)| other == name);
        let values: Vec<_> = values.filter_map(|(_, value)| value.clone()).collect();
        values
    };
    let origins: HashSet<_> = values("marquee-origin").into_iter().collect();
    assert_eq!((origins.len(), letters.len()), (1 + BESIDE, 1 + BESIDE));
    let cut = values("marquee-cut");
    let whole = letters.iter().filter(|letter| letter.value.is_some());
    assert_eq!(whole.count() + cut.len(), letters.len());
    if !pair.kafka.is_mock() {
        let is_large = |cut: &Bytes| cut.starts_with(b"its 5031 bytes");
        assert!(!cut.is_empty() && cut.iter().all(is_large), "{cut:?}");
    }
}

/// More than a server takes of headers, though less than it takes of a message.
const LARGE_HEADER: usize = 70_000;
/// What a server takes, until a relay has added its headers.
const JUST_TOO_LARGE: usize = 1_048_400;

pub(crate) async fn what_no_server_takes_becomes_dead_letters(pair: Pair) {
    provide(&pair).await;
    pair.kafka.create_topic(&pair.name("topic.dlq")).await;
    let header = Bytes::from("x".repeat(LARGE_HEADER));
    let poison = [
        Read {
            headers: vec![("large".to_owned(), Some(header))],
            ..record(0)
        },
        Read {
            value: Some(large(JUST_TOO_LARGE)),
            ..record(0)
        },
    ];
    let producer = pair.kafka.producer();
    for record in &poison {
        send(&producer, &pair.name("topic"), record).await;
    }
    send_all(&pair, 0..RECORDS).await;
    let relay = pair.relay(TO_NATS);
    assert_nats_has(&pair, RECORDS).await;
    eventually("the others are dead letters", async || {
        relay.reports[0].status().dead_letters == poison.len() as u64
    })
    .await;
    relay.stop().await;
}

/// What servers take as headers and the client cannot read.
const UNREADABLE: [&[u8]; 5] = [
    b"x: \xff",
    b"no colon",
    b"a name: v",
    b"x: a\rb",
    b"x: 1\r\n a\rb",
];

pub(crate) async fn headers_that_cannot_be_read_make_dead_letters(pair: Pair) {
    provide(&pair).await;
    let relay = pair.relay(TO_KAFKA);
    publish_all(&pair, 0..RECORDS / 3).await;
    for header in UNREADABLE {
        pair.nats
            .publish_raw(&pair.name("subject"), header, b"raw")
            .await;
    }
    publish_all(&pair, RECORDS / 3..RECORDS / 2).await;
    pair.nats
        .publish_raw(&pair.name("subject"), UNREADABLE[0], b"raw")
        .await;
    publish_all(&pair, RECORDS / 2..RECORDS).await;
    assert_kafka_has(&pair, RECORDS).await;
    let expected = 1 + UNREADABLE.len();
    eventually("the others are dead letters", async || {
        relay.reports[0].status().dead_letters == expected as u64
    })
    .await;
    relay.stop().await;
    let letters = pair.nats.read(&pair.name("subject-dlq")).await;
    assert_eq!(letters.len(), expected);
    for letter in letters {
        assert_eq!(letter.payload, "raw");
        let reason = letter.headers.get("marquee-reason").unwrap().as_str();
        assert!(reason.contains("headers cannot be read"), "{reason}");
    }
}

/// What is written is looked for among messages of others.
pub(crate) async fn headers_that_cannot_be_read_are_no_outputs(pair: Pair) {
    provide(&pair).await;
    send_all(&pair, 0..RECORDS / 2).await;
    let relay = pair.relay(TO_NATS);
    assert_nats_has(&pair, RECORDS / 2).await;
    relay.stop().await;
    for header in UNREADABLE {
        pair.nats
            .publish_raw(&pair.name("subject"), header, b"raw")
            .await;
    }
    send_all(&pair, RECORDS / 2..RECORDS).await;
    let relay = pair.relay(TO_NATS);
    let expected = (RECORDS + UNREADABLE.len()) as u64;
    eventually("the others are in the stream", async || {
        pair.nats.count(&pair.name("stream")).await >= expected
    })
    .await;
    relay.stop().await;
    assert_eq!(pair.nats.count(&pair.name("stream")).await, expected);
}
