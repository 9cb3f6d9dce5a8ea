//! What the server tells of consumers and their messages, and consumers that are paused.

use async_nats::{Client, Subscriber};
use serde_json::{Value, json};

use crate::messages::publish;
use crate::push::{ask, make, next};
use crate::server::{on_each_server, settle, within};

/// The next event, without what differs each time.
async fn event(events: &mut Subscriber) -> (String, Value) {
    let message = next(events).await;
    let mut event: Value = serde_json::from_slice(&message.payload).unwrap();
    let members = event.as_object_mut().unwrap();
    assert!(members.remove("id").is_some() && members.remove("timestamp").is_some());
    (message.subject.to_string(), event)
}

/// Subscribes to an inbox and has a new consumer deliver there.
async fn listen(client: &Client, stream: &str, mut config: Value) -> Subscriber {
    let inbox = client.new_inbox();
    let messages = client.subscribe(inbox.clone()).await.unwrap();
    settle(client).await;
    config["durable_name"] = "d".into();
    config["deliver_subject"] = inbox.into();
    let made = make(client, stream, config).await;
    assert_eq!(made["error"], Value::Null);
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_what_becomes_of_messages() {
    on_each_server(async |server| {
        let (context, _) = server.stream("events").await;
        let (client, name) = (context.client(), server.name("events"));
        publish(&context, &format!("{name}.a"), 0..4).await;
        let mut events = client
            .subscribe(format!("$JS.EVENT.*.CONSUMER.*.{name}.d"))
            .await
            .unwrap();
        let config = json!({
            "ack_policy": "explicit", "max_deliver": 2, "ack_wait": 300_000_000, "sample_freq": "100%",
        });
        let mut messages = listen(&client, &name, config).await;
        let (subject, created) = event(&mut events).await;
        assert_eq!(
            subject,
            format!("$JS.EVENT.ADVISORY.CONSUMER.CREATED.{name}.d")
        );
        let kind = "io.nats.jetstream.advisory.v1.consumer_action";
        assert_eq!(
            created,
            json!({"type": kind, "stream": name, "consumer": "d", "action": "create"})
        );

        let about = |kind: &str, seq: u64| {
            json!({
                "type": format!("io.nats.jetstream.{kind}"), "stream": name, "consumer": "d",
                "consumer_seq": seq, "stream_seq": seq, "deliveries": 1,
            })
        };
        for (body, what, kind) in [
            ("+ACK", "METRIC.CONSUMER.ACK", "metric.v1.consumer_ack"),
            (
                "+TERM for good",
                "ADVISORY.CONSUMER.MSG_TERMINATED",
                "advisory.v1.terminated",
            ),
            (
                "-NAK {\"delay\": 3600000000000}",
                "ADVISORY.CONSUMER.MSG_NAKED",
                "advisory.v1.nak",
            ),
        ] {
            let message = next(&mut messages).await;
            let seq: u64 = message
                .reply
                .as_ref()
                .unwrap()
                .split('.')
                .nth(5)
                .unwrap()
                .parse()
                .unwrap();
            within(client.request(message.reply.unwrap(), body.into()))
                .await
                .unwrap();
            let (subject, mut told) = event(&mut events).await;
            assert_eq!(subject, format!("$JS.EVENT.{what}.{name}.d"));
            let mut expected = about(kind, seq);
            if body.starts_with("+TERM") {
                expected["reason"] = "for good".into();
            }
            if body == "+ACK" {
                let took = told.as_object_mut().unwrap().remove("ack_time").unwrap();
                assert!(took.as_u64().is_some_and(|took| took > 0), "{took}");
            }
            assert_eq!(told, expected);
        }

        let (subject, told) = event(&mut events).await;
        let what = "MAX_DELIVERIES";
        assert_eq!(
            subject,
            format!("$JS.EVENT.ADVISORY.CONSUMER.{what}.{name}.d")
        );
        let kind = "io.nats.jetstream.advisory.v1.max_deliver";
        assert_eq!(
            told,
            json!({"type": kind, "stream": name, "consumer": "d", "stream_seq": 4, "deliveries": 2})
        );

        ask(&client, &format!("CONSUMER.DELETE.{name}.d"), Value::Null).await;
        let (subject, deleted) = event(&mut events).await;
        assert_eq!(
            subject,
            format!("$JS.EVENT.ADVISORY.CONSUMER.DELETED.{name}.d")
        );
        assert_eq!(deleted["action"], "delete");

        let _messages = listen(&client, &name, json!({})).await;
        event(&mut events).await;
        context.delete_stream(&name).await.unwrap();
        let (_, of_stream) = event(&mut events).await;
        assert_eq!(of_stream, deleted);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_the_api_are_told_with_their_answers() {
    on_each_server(async |server| {
        let (context, _) = server.stream("told").await;
        let (client, name) = (context.client(), server.name("told"));
        publish(&context, &format!("{name}.a"), 0..1).await;
        let mut told = client.subscribe("$JS.EVENT.ADVISORY.API").await.unwrap();
        settle(&client).await;
        for (operation, request) in [
            (
                format!("STREAM.INFO.{name}"),
                json!({"deleted_details": true}),
            ),
            (format!("STREAM.MSG.GET.{name}"), json!({"seq": 1})),
            (format!("STREAM.MSG.GET.{name}"), json!({"seq": 9})),
            (format!("CONSUMER.NAMES.{name}"), Value::Null),
            (format!("STREAM.DELETE.{name}"), Value::Null),
        ] {
            let answer = ask(&client, &operation, request.clone()).await;
            if answer["message"] != Value::Null {
                continue;
            }
            let subject = format!("$JS.API.{operation}");
            // Others ask too.
            let event = loop {
                let (_, event) = event(&mut told).await;
                let has_message = event["response"].as_str().unwrap().contains("\"message\"");
                assert!(!has_message, "what is stored is not told: {event}");
                if event["subject"] == *subject {
                    break event;
                }
            };
            assert_eq!(event["type"], "io.nats.jetstream.advisory.v1.api_audit");
            let text = |name| event[name].as_str().unwrap_or_default();
            let response: Value = serde_json::from_str(text("response")).unwrap();
            assert_eq!(
                (&response["type"], &response["error"]),
                (&answer["type"], &answer["error"])
            );
            match request {
                Value::Null => assert_eq!(event["request"], Value::Null),
                request => assert_eq!(text("request"), request.to_string()),
            }
            assert!(!text("server").is_empty());
            let of_client = &event["client"];
            assert_eq!(of_client["host"], "127.0.0.1");
            assert_eq!(
                (&of_client["lang"], &of_client["acc"]),
                (&"rust".into(), &"$G".into())
            );
            assert!(
                of_client["id"].as_u64().is_some_and(|id| id > 0),
                "{of_client}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_delivers_nothing_until_it_is_told_to_go_on() {
    on_each_server(async |server| {
        let (context, _) = server.stream("pause").await;
        let (client, name) = (context.client(), server.name("pause"));
        let config = json!({"ack_policy": "none", "idle_heartbeat": 100_000_000});
        let mut messages = listen(&client, &name, config).await;
        let mut events = client
            .subscribe(format!("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{name}.d"))
            .await
            .unwrap();
        let until = "2100-01-02T03:04:05Z";
        let pause = format!("CONSUMER.PAUSE.{name}.d");
        let answer = ask(&client, &pause, json!({"pause_until": until})).await;
        assert_eq!(
            (&answer["paused"], &answer["pause_until"]),
            (&json!(true), &json!(until))
        );
        assert!(answer["pause_remaining"].as_i64().is_some());
        let (_, told) = event(&mut events).await;
        let kind = "io.nats.jetstream.advisory.v1.consumer_pause";
        let expected = json!({
            "type": kind, "stream": name, "consumer": "d", "paused": true, "pause_until": until,
        });
        assert_eq!(told, expected);
        publish(&context, &format!("{name}.a"), 0..2).await;
        for _ in 0..2 {
            assert!(
                next(&mut messages).await.status.is_some(),
                "only heartbeats"
            );
        }
        let info = ask(&client, &format!("CONSUMER.INFO.{name}.d"), Value::Null).await;
        assert_eq!(
            (&info["paused"], &info["num_pending"]),
            (&json!(true), &json!(2))
        );
        assert_eq!(info["config"]["pause_until"], until);

        let answer = ask(&client, &pause, Value::Null).await;
        assert_eq!(answer["paused"], false);
        let mut got = 0;
        while got < 2 {
            got += u32::from(next(&mut messages).await.status.is_none());
        }
        let other = format!("CONSUMER.PAUSE.{name}.other");
        let missing = ask(&client, &other, Value::Null).await;
        assert_eq!(missing["error"]["err_code"], 10014);
    })
    .await;
}
