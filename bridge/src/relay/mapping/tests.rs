//! What goes there and comes back is the same; and how some messages look at the other side.

use proptest::{collection::vec, option, prelude::*};

use super::*;

/// A route and its way back, over clusters that differ so that nothing is a loop.
fn mapping(direction: Direction, subject: &str, topic: &str, key: Option<&str>) -> Mapping {
    let (source, target) = match direction {
        Direction::KafkaToNats => ("kafka-a", "nats"),
        Direction::NatsToKafka => ("nats", "kafka-b"),
    };
    Mapping::new(direction, subject, topic, key, source, target).unwrap()
}

fn record<T: std::fmt::Debug>(mapped: Mapped<T>) -> T {
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
fn without_ours(mut record: KafkaRecord) -> KafkaRecord {
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

/// Bytes that are text often enough.
fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        "[ -~é\t\u{a0}]{0,6}".prop_map(Bytes::from),
        vec(any::<u8>(), 0..6).prop_map(Bytes::from),
    ]
}

fn kafka_header() -> impl Strategy<Value = (String, Option<Bytes>)> {
    let name = prop_oneof![
        "[a-c]{1}".boxed(),
        "[ -~é\n]{0,4}".boxed(),
        proptest::sample::select(vec![
            "marquee-key",
            "Nats-Rollup",
            RECORD_HEADER,
            "Status",
            "x-id"
        ])
        .prop_map(str::to_owned)
        .boxed(),
    ];
    (name, option::of(bytes()))
}

fn kafka_record() -> impl Strategy<Value = KafkaRecord> {
    (
        "[a-f0-9_.-]{0,6}[a-f0-9_-]",
        option::of(bytes()),
        option::of(bytes()),
        vec(kafka_header(), 0..6),
        option::of(any::<i64>()),
    )
        .prop_map(|(topic, key, value, headers, timestamp_ms)| KafkaRecord {
            topic,
            key,
            value,
            headers,
            timestamp_ms,
            ..KafkaRecord::default()
        })
}

fn nats_record() -> impl Strategy<Value = NatsRecord> {
    let header = (
        prop_oneof!["[a-c]{1}", "[!-9;-~]{1,5}", Just("marquee-key".to_owned())],
        "([!-~é]([ -~é\t]{0,4}[!-~é])?)?",
    );
    let header = header.prop_filter("it is an order to a server", |(name, _)| {
        is_plain_name(name)
    });
    (
        "[a-f0-9_%é-]{1,6}(\\.[a-f0-9_%~-]{1,6}){0,2}",
        vec(header, 0..6),
        bytes(),
    )
        .prop_map(|(subject, headers, payload)| NatsRecord {
            subject,
            headers,
            payload,
            timestamp_ms: Some(7),
            sequence: 0,
        })
}

/// Templates and keys that lose nothing, with the prefix that a subject and a topic of them has.
const WHOLE: [(&str, &str, Option<&str>, &str, &str); 4] = [
    ("{all...}", "{all...}", None, "", ""),
    (
        "films.{rest...}",
        "films_{rest...}",
        Some("header:X-Id"),
        "films.",
        "films_",
    ),
    ("x.{key}.{rest...}", "x-{rest...}", None, "x.k.", "x-"),
    ("{rest...}", "{rest...}", Some("none"), "", ""),
];

/// The values of each name, in their order.
fn by_name(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut headers = headers.to_vec();
    headers.retain(|header| !is_ours(header));
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    headers
}

proptest! {
    #[test]
    fn a_record_of_kafka_comes_back_whole(given in kafka_record(), whole in 0..WHOLE.len(), loses_order: bool) {
        let (subject, topic, key, _, prefix) = WHOLE[whole];
        let mut given = given;
        given.topic.insert_str(0, prefix);
        let there = mapping(Direction::KafkaToNats, subject, topic, key);
        let back = mapping(Direction::NatsToKafka, subject, topic, key);
        let mut relayed = match there.to_nats(&given) {
            // No subject has an empty token, and no topic that came from one.
            Err(MappingError::Place(_)) => return Ok(()),
            other => record(other.unwrap()),
        };
        for (name, value) in &relayed.headers {
            prop_assert_eq!(plain_value(value.as_bytes()), Some(value.as_str()));
            prop_assert!(!name.to_ascii_lowercase().starts_with("nats-"));
        }
        if loses_order {
            relayed.headers.sort_by(|a, b| a.0.cmp(&b.0));
        }
        prop_assert_eq!(without_ours(record(back.to_kafka(&relayed).unwrap())), given);
    }

    #[test]
    fn a_message_of_nats_comes_back_whole(given in nats_record(), whole in 0..WHOLE.len()) {
        let (subject, topic, key, prefix, _) = WHOLE[whole];
        let mut given = given;
        given.subject.insert_str(0, prefix);
        let there = mapping(Direction::NatsToKafka, subject, topic, key);
        let back = mapping(Direction::KafkaToNats, subject, topic, key);
        let back = Mapping { source: "kafka-b".into(), target: "nats-b".into(), ..back };
        let relayed = record(there.to_kafka(&given).unwrap());
        let returned = record(back.to_nats(&relayed).unwrap());
        prop_assert_eq!(&returned.subject, &given.subject);
        prop_assert_eq!(&returned.payload, &given.payload);
        // Where the subject has the key, the header of the bus gets it too.
        let says_key = |(name, _): &(String, String)| whole == 2 && name == "marquee-key";
        let headers = |record: &NatsRecord| {
            let mut headers = by_name(&record.headers);
            headers.retain(|header| !says_key(header));
            headers
        };
        if key != Some("none") {
            prop_assert_eq!(headers(&returned), headers(&given));
        }
    }
}
