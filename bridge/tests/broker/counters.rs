//! Streams whose messages are counters.

use async_nats::HeaderMap;
use serde_json::{Value, json};

use crate::server::on_each_server;
use crate::stream_api::{Raw, error};

async fn count(raw: &Raw, subject: &str, headers: &[(&str, &str)], payload: &'static str) -> Value {
    let mut map = HeaderMap::new();
    for (header, value) in headers {
        map.insert(*header, *value);
    }
    let answer = raw
        .client
        .request_with_headers(subject.to_owned(), map, payload.into())
        .await
        .unwrap();
    serde_json::from_slice(&answer.payload).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_counted_on() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let settings = json!({"allow_msg_counter": true, "allow_atomic": true});
        let answer = raw.create("counters", settings).await;
        assert_eq!(answer["config"]["allow_msg_counter"], true);
        let [a, b] = ["a", "b"].map(|token| raw.subject("counters", token));
        let huge = "1".repeat(60);
        let sum = format!("{}53", "1".repeat(58));
        for (subject, by, total) in [
            (&a, "1", "1"),
            (&b, "-5", "-5"),
            (&a, "+41", "42"),
            (&b, "0", "-5"),
            (&a, &*huge, &*sum),
        ] {
            let answer = count(&raw, subject, &[("Nats-Incr", by)], "").await;
            assert_eq!(answer["val"], total, "{by}: {answer}");
        }
        let (headers, payload) = raw.last("counters", "b").await;
        assert_eq!(payload, r#"{"val":"-5"}"#);
        assert!(headers.contains("Nats-Incr: 0\r\n"), "{headers}");
        // A batch counts from message to message.
        let own = |seq| {
            [
                ("Nats-Incr", "2"),
                ("Nats-Batch-Id", "id"),
                ("Nats-Batch-Sequence", seq),
            ]
        };
        count(&raw, &b, &own("1"), "").await;
        let last = [&own("2")[..], &[("Nats-Batch-Commit", "1")]].concat();
        assert_eq!(count(&raw, &b, &last, "").await["count"], 2);
        let (_, payload) = raw.last("counters", "b").await;
        assert_eq!(payload, r#"{"val":"-1"}"#);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_increment_is_refused() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("counted", json!({"allow_msg_counter": true}))
            .await;
        raw.create("others", json!({})).await;
        let [counted, others] = ["counted", "others"].map(|name| raw.subject(name, "a"));
        let by = ("Nats-Incr", "1");
        for (subject, headers, payload, expected) in [
            (&counted, &[][..], "", 10169),
            (&counted, &[by], "x", 10170),
            (&counted, &[("Nats-Incr", "1.5")], "", 10171),
            (&counted, &[("Nats-Incr", "one")], "", 10171),
            (&counted, &[by, ("Nats-Rollup", "sub")], "", 10171),
            (
                &counted,
                &[by, ("Nats-Expected-Last-Sequence", "0")],
                "",
                10171,
            ),
            (&others, &[by], "", 10168),
        ] {
            let answer = count(&raw, subject, headers, payload).await;
            assert_eq!(
                error(&answer).1,
                expected,
                "{headers:?} {payload}: {answer}"
            );
        }
        assert_eq!(raw.state("counted").await, (0, 0, 0));
        for settings in [
            json!({"allow_msg_counter": true, "discard": "new"}),
            json!({"allow_msg_counter": true, "allow_msg_ttl": true}),
            json!({"allow_msg_counter": true, "allow_msg_schedules": true}),
            json!({"allow_msg_counter": true, "retention": "workqueue"}),
            json!({"allow_msg_schedules": true, "discard": "new"}),
            json!({"persist_mode": "async", "storage": "memory"}),
            json!({"persist_mode": "async", "allow_atomic": true}),
        ] {
            let answer = raw.create("wrong", settings.clone()).await;
            assert_eq!(error(&answer).1, 10052, "{settings}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_can_do() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let needs = async |settings: Value| {
            let answer = raw.create("versions", settings).await;
            let metadata = answer["config"]["metadata"].clone();
            raw.about("STREAM.DELETE", "versions", Value::Null).await;
            let level = raw.client.server_info();
            assert_eq!(metadata["_nats.ver"], *level.version);
            metadata["_nats.req.level"].clone()
        };
        assert_eq!(needs(json!({})).await, "0");
        assert_eq!(needs(json!({"allow_msg_ttl": true})).await, "1");
        assert_eq!(needs(json!({"persist_mode": "async"})).await, "2");
        assert_eq!(needs(json!({"allow_batched": true})).await, "4");
        let client = json!({"metadata": {"_nats.req.level": "7", "own": "x"}});
        assert_eq!(needs(client).await, "0", "a client has no say in it");
    })
    .await;
}
