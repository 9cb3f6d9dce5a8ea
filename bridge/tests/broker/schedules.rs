//! Messages that a stream publishes later, once or again and again.

use std::time::Duration;

use bridge::broker::{Access, BrokerConfig};
use chrono::{SecondsFormat, Utc};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::server::{Embedded, Server, on_each_server, within};
use crate::stream_api::{Raw, error};

fn in_seconds(seconds: u64) -> String {
    let time = Utc::now() + Duration::from_secs(seconds);
    format!("@at {}", time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

async fn stream(raw: &Raw, name: &str) {
    let settings = json!({"allow_msg_schedules": true, "allow_msg_ttl": true});
    let answer = raw.create(name, settings).await;
    let config = &answer["config"];
    assert_eq!(config["allow_msg_schedules"], true);
    assert_eq!(
        config["allow_rollup_hdrs"], true,
        "a schedule replaces those before it"
    );
}

/// Has the last message of a schedule published on `name.target`.
async fn schedule(
    raw: &Raw,
    name: &str,
    token: &str,
    pattern: &str,
    more: &[(&str, &str)],
) -> Value {
    let target = raw.subject(name, "target");
    let mut headers = vec![
        ("Nats-Schedule", pattern),
        ("Nats-Schedule-Target", &*target),
    ];
    headers.extend(more);
    raw.publish(name, token, &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_published_later() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        stream(&raw, "later").await;
        let mut heard = raw.client.subscribe("republished").await.unwrap();
        let name = raw.subject("later", "").replace('.', "");
        let republish = json!({"src": format!("{name}.target"), "dest": "republished"});
        let info = raw.about("STREAM.INFO", "later", Value::Null).await;
        let mut config = info["config"].clone();
        config["republish"] = republish;
        raw.about("STREAM.UPDATE", "later", config).await;
        let pattern = in_seconds(1);
        let own = [
            ("Own", "1"),
            ("Nats-Schedule-TTL", "5m"),
            ("Nats-Msg-Id", "id"),
        ];
        let answer = schedule(&raw, "later", "s", &pattern, &own).await;
        assert_eq!(answer["seq"], 1);
        let message = within(heard.next()).await.unwrap();
        assert_eq!(message.payload, "x");
        let headers = message.headers.unwrap();
        let value = |name: &str| headers.get(name).map(|value| value.as_str());
        assert_eq!(value("Own"), Some("1"));
        assert_eq!(value("Nats-TTL"), Some("5m"));
        assert_eq!(value("Nats-Scheduler"), Some(&*raw.subject("later", "s")));
        assert_eq!(value("Nats-Schedule-Next"), Some("purge"));
        for gone in [
            "Nats-Schedule",
            "Nats-Schedule-Target",
            "Nats-Msg-Id",
            "Nats-Rollup",
        ] {
            assert_eq!(value(gone), None, "{gone}");
        }
        assert_eq!(raw.state("later").await, (1, 2, 2), "the schedule is gone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_goes_on_until_it_is_ended() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        stream(&raw, "every").await;
        raw.publish("every", "source", &[]).await;
        let source = raw.subject("every", "source");
        let source = [("Nats-Schedule-Source", &*source)];
        schedule(&raw, "every", "s", "@every 1s", &source).await;
        testkit::eventually("it was published twice", async || {
            raw.state("every").await.2 >= 4
        })
        .await;
        let (headers, payload) = raw.last("every", "target").await;
        assert_eq!(payload, "x");
        assert!(headers.contains("Nats-Schedule-Next: 2"), "{headers}");
        let scheduler = raw.subject("every", "s");
        let end = [
            ("Nats-Scheduler", &*scheduler),
            ("Nats-Schedule-Next", "purge"),
        ];
        raw.publish("every", "end", &end).await;
        let body = json!({"last_by_subj": scheduler});
        let answer = raw.about("STREAM.MSG.GET", "every", body).await;
        assert_eq!(error(&answer).1, 10037, "the schedule is gone");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_that_make_no_sense_are_refused() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        stream(&raw, "wrong").await;
        raw.create("none", json!({})).await;
        let (own, target) = (raw.subject("wrong", "s"), raw.subject("wrong", "target"));
        let refused = async |pattern: &str, more: &[(&str, &str)]| {
            error(&schedule(&raw, "wrong", "s", pattern, more).await).1
        };
        for pattern in ["@every 10ms", "* * * * *", "@at noon", "tomorrow"] {
            assert_eq!(refused(pattern, &[]).await, 10189, "{pattern}");
        }
        let cases: [(&str, &str, u64); 7] = [
            ("Nats-Schedule-Time-Zone", "Europe/Nowhere", 10223),
            ("Nats-Schedule-TTL", "soon", 10191),
            ("Nats-Schedule-Rollup", "all", 10192),
            ("Nats-Rollup", "all", 10192),
            ("Nats-Schedule-Source", &own, 10203),
            ("Nats-Schedule-Source", &target, 10203),
            ("Nats-Scheduler", &target, 10212),
        ];
        for (header, value, expected) in cases {
            let refusal = refused("@hourly", &[(header, value)]).await;
            assert_eq!(refusal, expected, "{header}: {value}");
        }
        for target in [&*own, "elsewhere", "a.*", ""] {
            let headers = [
                ("Nats-Schedule", "@hourly"),
                ("Nats-Schedule-Target", target),
            ];
            let answer = raw.publish("wrong", "s", &headers).await;
            assert_eq!(error(&answer).1, 10190, "{target}");
        }
        raw.publish("wrong", "plain", &[]).await;
        let plain = raw.subject("wrong", "plain");
        let end = [("Nats-Scheduler", &*plain), ("Nats-Schedule-Next", "purge")];
        let answer = raw.publish("wrong", "end", &end).await;
        assert_eq!(error(&answer).1, 10212, "that is no schedule");
        let answer = schedule(&raw, "none", "s", "@hourly", &[]).await;
        assert_eq!(error(&answer).1, 10188);
        let zone = [("Nats-Schedule-Time-Zone", "Europe/Berlin")];
        assert_eq!(refused("@daily", &zone).await, 0);
        assert_eq!(raw.state("wrong").await, (2, 1, 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Embedded::start_with(BrokerConfig::new(dir.path(), Access::Open));
    let raw = async |embedded: &Embedded| {
        let server = Server {
            url: embedded.addr.to_string(),
            prefix: String::new(),
        };
        Raw::new(server).await
    };
    let embedded = start().await;
    let before = raw(&embedded).await;
    stream(&before, "kept").await;
    schedule(&before, "kept", "s", &in_seconds(1), &[]).await;
    drop(before);
    embedded.stop().await;
    let embedded = start().await;
    let after = raw(&embedded).await;
    testkit::eventually("it is published", async || {
        after.state("kept").await == (1, 2, 2)
    })
    .await;
    embedded.stop().await;
}
