//! How messages look at the other side, and which are refused.

use super::*;

/// A route and its way back, over clusters that differ so that nothing is a loop.
pub(super) fn mapping(
    direction: Direction,
    subject: &str,
    topic: &str,
    key: Option<&str>,
) -> Mapping {
    let (source, target) = match direction {
        Direction::KafkaToNats => ("kafka-a", "nats"),
        Direction::NatsToKafka => ("nats", "kafka-b"),
    };
    Mapping::new(direction, subject, topic, key, source, target).unwrap()
}

pub(super) fn record<T: std::fmt::Debug>(mapped: Mapped<T>) -> T {
    match mapped {
        Mapped::Record(record) => record,
        Mapped::Skip => panic!("it was skipped"),
    }
}

fn to_nats(record_: &KafkaRecord) -> NatsRecord {
    let mapping = mapping(Direction::KafkaToNats, "films", "films", None);
    record(mapping.to_nats(record_).unwrap())
}

fn to_kafka(record_: &NatsRecord) -> KafkaRecord {
    let mapping = mapping(Direction::NatsToKafka, "films", "films", None);
    record(mapping.to_kafka(record_).unwrap())
}

fn film() -> KafkaRecord {
    KafkaRecord {
        topic: "films".into(),
        key: Some("f1".into()),
        value: Some(r#"{"film_id": "f1"}"#.into()),
        timestamp_ms: Some(1_700_000_000_000),
        ..KafkaRecord::default()
    }
}

fn message() -> NatsRecord {
    NatsRecord {
        subject: "films".into(),
        payload: "x".into(),
        timestamp_ms: Some(7),
        ..NatsRecord::default()
    }
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(n, v)| ((*n).into(), (*v).into()))
        .collect()
}

/// Without what relays add.
pub(super) fn without_ours(mut record: KafkaRecord) -> KafkaRecord {
    record.headers.retain(|(name, _)| name != PATH_HEADER);
    record
}

#[test]
fn an_event_of_the_bus_is_read_at_the_other_side_as_if_it_was_published_there() {
    let mut film = film();
    film.headers = vec![
        ("marquee-version".into(), Some("5".into())),
        ("marquee-id".into(), Some("x".into())),
    ];
    let relayed = to_nats(&film);
    assert_eq!(relayed.subject, "films");
    assert_eq!(relayed.payload, film.value.unwrap());
    let expected = pairs(&[
        ("marquee-key", "f1"),
        ("marquee-version", "5"),
        ("marquee-id", "x"),
        (
            RECORD_HEADER,
            r#"{"timestamp":1700000000000,"headers":["marquee-version","marquee-id"]}"#,
        ),
        (PATH_HEADER, "kafka-a"),
    ]);
    assert_eq!(relayed.headers, expected);
    let mut event = message();
    event.headers = pairs(&[("marquee-key", "f1"), ("marquee-version", "5")]);
    let relayed = to_kafka(&event);
    assert_eq!(relayed.key.as_deref(), Some(&b"f1"[..]));
    assert_eq!(relayed.timestamp_ms, Some(7));
    assert_eq!(
        relayed.headers,
        [
            ("marquee-version".to_owned(), Some("5".into())),
            (PATH_HEADER.to_owned(), Some("nats".into())),
        ]
    );
}

#[test]
fn an_order_to_a_server_acts_in_no_second_broker() {
    let mut rollup = message();
    rollup.headers = pairs(&[
        ("Nats-Rollup", "all"),
        ("Nats-Msg-Id", "7"),
        ("Status", "503"),
    ]);
    let relayed = to_kafka(&rollup);
    let back = mapping(Direction::KafkaToNats, "films", "films", None);
    let back = Mapping {
        source: "a".into(),
        target: "b".into(),
        ..back
    };
    let back = record(back.to_nats(&relayed).unwrap());
    let names: Vec<_> = back.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [RECORD_HEADER, PATH_HEADER]);
    let again = mapping(Direction::NatsToKafka, "films", "films", None);
    let again = Mapping {
        source: "c".into(),
        target: "d".into(),
        ..again
    };
    let again = record(
        again
            .to_kafka(&NatsRecord {
                headers: back.headers[..1].to_vec(),
                ..back
            })
            .unwrap(),
    );
    assert_eq!(without_ours(again).headers, without_ours(relayed).headers);
}

#[test]
fn the_id_that_the_relay_published_by_is_no_header_of_the_message() {
    let film = film();
    let mut relayed = to_nats(&film);
    let id = film.message_id("kafka-a");
    assert_eq!(id, "marquee-relay/kafka-a/films/0/0/1700000000000");
    relayed.headers.push((MESSAGE_ID_HEADER.into(), id));
    assert_eq!(without_ours(to_kafka(&relayed)), film);
}

#[test]
fn a_message_goes_no_further_where_it_has_been() {
    let there = mapping(Direction::KafkaToNats, "films", "films", None);
    let back = Mapping {
        source: "nats".into(),
        target: "kafka-a".into(),
        ..there.clone()
    };
    let relayed = record(there.to_nats(&film()).unwrap());
    assert_eq!(back.to_kafka(&relayed), Ok(Mapped::Skip));
    let elsewhere = to_kafka(&relayed);
    assert_eq!(there.to_nats(&elsewhere), Ok(Mapped::Skip));
}

#[test]
fn a_route_of_all_topics_leaves_out_what_is_nobodys_message() {
    let all = mapping(Direction::KafkaToNats, "{all...}", "{all...}", None);
    let all = all.without_dead_letters("relay.all.dlq");
    let mut film = film();
    for (topic, is_carried) in [
        ("films", true),
        ("relay.other.dlq", true),
        ("relay.all.dlq", false),
        ("__consumer_offsets", false),
        ("marquee-relay-leases", false),
    ] {
        film.topic = topic.into();
        let mapped = all.to_nats(&film).unwrap();
        assert_eq!(mapped != Mapped::Skip, is_carried, "{topic}");
    }
}

#[test]
fn headers_that_were_added_or_taken_away_at_nats_are_not_in_the_way() {
    let mut film = film();
    let header = |name: &str, value: &str| (name.to_owned(), Some(Bytes::from(value.to_owned())));
    film.headers = vec![header("b", "1"), header("a", "2"), header("b", "3")];
    let mut relayed = to_nats(&film);
    relayed.headers.retain(|(name, _)| name != "a");
    relayed.headers.push(("c".into(), "4".into()));
    let expected = [header("b", "1"), header("b", "3"), header("c", "4")];
    assert_eq!(without_ours(to_kafka(&relayed)).headers, expected);
}

#[test]
fn a_key_comes_from_where_the_route_says() {
    let mut film = message();
    film.subject = "films.7.updated".into();
    film.payload = r#"{"id": "f7"}"#.into();
    film.headers = pairs(&[("X-Id", "h7"), ("marquee-key", "m7")]);
    for (key, expected) in [
        (None, Some("m7")),
        (Some("none"), None),
        (Some("header:x-id"), Some("h7")),
        (Some("header:absent"), None),
        (Some("json:id"), Some("f7")),
        (Some("film-{id}"), Some("film-7")),
    ] {
        let mapping = mapping(Direction::NatsToKafka, "films.{id}.updated", "films", key);
        let relayed = record(mapping.to_kafka(&film).unwrap());
        assert_eq!(
            relayed.key.as_deref(),
            expected.map(str::as_bytes),
            "{key:?}"
        );
    }
    let mapping = mapping(
        Direction::NatsToKafka,
        "films.{id}.updated",
        "films",
        Some("json:no"),
    );
    let refusal = mapping.to_kafka(&film).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "it has no key: the field `/no` of the payload is absent"
    );
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let there = mapping(Direction::KafkaToNats, "x.{a...}", "x-{a...}", None);
    let mut film = film();
    let mut refusal = |topic: &str| {
        film.topic = topic.into();
        there.to_nats(&film).unwrap_err().to_string()
    };
    assert_eq!(refusal("films"), "`films` is not what the route reads");
    assert_eq!(
        refusal("x-a..b"),
        "it has no place at the other side: `x.a..b` is no subject"
    );
    let back = mapping(Direction::NatsToKafka, "films", "films", None);
    for (name, value) in [
        (RECORD_HEADER, "{"),
        (RECORD_HEADER, r#"{"key":{"base64":"%"}}"#),
        (PATH_HEADER, ","),
    ] {
        let mut message = message();
        message.headers = pairs(&[(name, value)]);
        let refusal = back.to_kafka(&message).unwrap_err().to_string();
        assert!(refusal.contains(name), "{refusal}");
    }
}

#[test]
fn a_route_whose_other_side_cannot_be_written_is_refused() {
    use Direction::{KafkaToNats, NatsToKafka};
    for (direction, subject, topic, key, setting) in [
        (NatsToKafka, "a.{x}", "a-{y}", None, "topic"),
        (NatsToKafka, "a.{x...}", "a-{x}", None, "topic"),
        (NatsToKafka, "a.{x}", "a-{key}", None, "topic"),
        (NatsToKafka, "a.{x}", "a", Some("{y}"), "key"),
        (KafkaToNats, "a.{x}", "a", None, "subject"),
        (KafkaToNats, "a.*", "a", None, "subject"),
        (KafkaToNats, "a.>", "a", None, "subject"),
        (KafkaToNats, "a", "a", Some("json:id"), "key"),
        (KafkaToNats, "a", "a-*b", None, "topic"),
    ] {
        let refusal = Mapping::new(direction, subject, topic, key, "a", "b").unwrap_err();
        assert_eq!(refusal.setting, setting, "{subject} {topic}: {refusal}");
    }
    for (direction, subject, topic) in [
        (NatsToKafka, "a.>", "a"),
        (NatsToKafka, "a.*.{x}", "a.{x...}"),
        (KafkaToNats, "a.{key}.{x}", "a-{x}"),
        (KafkaToNats, "a", "a.*"),
    ] {
        Mapping::new(direction, subject, topic, None, "a", "b").unwrap();
    }
}
