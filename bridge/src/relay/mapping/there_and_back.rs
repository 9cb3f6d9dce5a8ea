//! What goes there and comes back is the same, whatever it is.

use proptest::{collection::vec, option, prelude::*};

use super::{
    tests::{mapping, record, without_ours},
    *,
};

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
            ..NatsRecord::default()
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
