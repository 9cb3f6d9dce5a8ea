//! The API of streams by raw requests: which codes and words are answered, and what publishers are told.

use async_nats::{Client, HeaderMap};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::core::converse;
use crate::server::{Server, on_each_server};

/// A client that makes raw requests about streams whose names begin as the server asks.
pub(crate) struct Raw {
    pub(crate) client: Client,
    server: Server,
}

impl Raw {
    pub(crate) async fn new(server: Server) -> Self {
        Raw {
            client: server.client().await,
            server,
        }
    }

    async fn request(&self, subject: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let subject = format!("$JS.API.{subject}");
        let answer = self.client.request(subject, body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Makes a stream over the subjects `name.>`, with the settings.
    pub(crate) async fn create(&self, name: &str, settings: Value) -> Value {
        let name = self.server.name(name);
        let mut config = json!({"name": name, "subjects": [format!("{name}.>")]});
        for (setting, value) in settings.as_object().unwrap() {
            config[setting] = value.clone();
        }
        self.request(&format!("STREAM.CREATE.{name}"), &config)
            .await
    }

    pub(crate) async fn about(&self, operation: &str, name: &str, body: Value) -> Value {
        let name = self.server.name(name);
        self.request(&format!("{operation}.{name}"), &body).await
    }

    /// A subject of a stream.
    pub(crate) fn subject(&self, name: &str, token: &str) -> String {
        format!("{}.{token}", self.server.name(name))
    }

    /// Publishes on `name.token`. The answer is null if it is empty.
    pub(crate) async fn publish(&self, name: &str, token: &str, headers: &[(&str, &str)]) -> Value {
        let mut map = HeaderMap::new();
        for (header, value) in headers {
            map.insert(*header, *value);
        }
        let answer = self
            .client
            .request_with_headers(self.subject(name, token), map, "x".into())
            .await
            .unwrap();
        serde_json::from_slice(&answer.payload).unwrap_or_default()
    }

    /// The headers and the payload of the last message on `name.token`.
    pub(crate) async fn last(&self, name: &str, token: &str) -> (String, String) {
        let body = json!({"last_by_subj": self.subject(name, token)});
        let answer = self.about("STREAM.MSG.GET", name, body).await;
        let text = |member: &str| {
            let encoded = answer["message"][member].as_str().unwrap_or_default();
            String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
        };
        (text("hdrs"), text("data"))
    }

    /// How many messages there are, and the first and the last sequence.
    pub(crate) async fn state(&self, name: &str) -> (u64, u64, u64) {
        let info = self.about("STREAM.INFO", name, Value::Null).await;
        let number = |field: &str| info["state"][field].as_u64().unwrap();
        (number("messages"), number("first_seq"), number("last_seq"))
    }
}

pub(crate) fn error(answer: &Value) -> (u64, u64, &str) {
    let error = &answer["error"];
    (
        error["code"].as_u64().unwrap_or(0),
        error["err_code"].as_u64().unwrap_or(0),
        error["description"].as_str().unwrap_or("no error"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configurations_are_refused_in_the_words_that_clients_know() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let config = |why| (500, 10052, why);
        for (settings, refusal) in [
            (json!({"num_replicas": 3}), (500, 10074, "replicas > 1 not supported in non-clustered mode")),
            (json!({"num_replicas": 9}), config("maximum replicas is 5")),
            (json!({"num_replicas": -1}), (400, 10133, "replicas count cannot be negative")),
            (json!({"max_age": 5}), config("max age needs to be >= 100ms")),
            (json!({"max_age": -1}), config("max age can not be negative")),
            (json!({"duplicate_window": 5}), config("duplicates window needs to be >= 100ms")),
            (json!({"max_age": 1_000_000_000, "duplicate_window": 2_000_000_000}),
                config("duplicates window can not be larger then max age")),
            (json!({"deny_purge": true, "allow_rollup_hdrs": true}), config("roll-ups require the purge permission")),
            (json!({"discard_new_per_subject": true}),
                config("discard new per subject requires discard new policy to be set")),
            (json!({"discard_new_per_subject": true, "discard": "new"}),
                config("discard new per subject requires max msgs per subject > 0")),
            (json!({"sealed": true}), config("stream configuration for create can not be sealed")),
            (json!({"mirror_direct": true}), config("stream has no mirror but does have mirror direct")),
            (json!({"subjects": ["a..b"]}), config("invalid subject")),
            (json!({"subjects": ["a.*", "a.b"]}), config("subject \"a.*\" overlaps with \"a.b\"")),
            (json!({"subjects": [">"]}), config("capturing all subjects requires no-ack to be true")),
            (json!({"subjects": ["$JS.>"]}),
                config("subjects that overlap with jetstream api require no-ack to be true")),
            (json!({"subjects": ["$SYS.>"]}),
                config("subjects that overlap with system api require no-ack to be true")),
            (json!({"republish": {"src": ">", "dest": format!("{}.x.>", raw.server.name("wrong"))}}),
                config("stream configuration for republish destination forms a cycle")),
            (json!({"subject_transform": {"src": "x.*", "dest": "y.{{wildcard(2)}}"}}),
                (400, 10156, "stream transform: invalid mapping destination: wildcard index out of range in {{wildcard(2)}}: [2]")),
        ] {
            let answer = raw.create("wrong", settings.clone()).await;
            assert_eq!(error(&answer), refusal, "{settings}");
        }
        let name = raw.server.name("wrong");
        let answer = raw.request(&format!("STREAM.CREATE.{name}"), &json!({"name": "other"})).await;
        assert_eq!(error(&answer).1, 10056, "{answer}");
        for operation in ["STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE"] {
            let answer = raw.about(operation, "wrong", Value::Null).await;
            assert_eq!(error(&answer), (404, 10059, "stream not found"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_must_not_change_stays() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("fixed", json!({"deny_delete": true, "deny_purge": true}))
            .await;
        raw.publish("fixed", "a", &[]).await;
        let name = raw.server.name("fixed");
        let update = async |settings: Value| {
            let mut config = json!({"name": name, "subjects": [format!("{name}.>")], "deny_delete": true, "deny_purge": true});
            for (setting, value) in settings.as_object().unwrap() {
                config[setting] = value.clone();
            }
            raw.request(&format!("STREAM.UPDATE.{name}"), &config).await
        };
        for (settings, why) in [
            (json!({"storage": "memory"}), "stream configuration update can not change storage type"),
            (json!({"retention": "workqueue"}), "stream configuration update can not change retention policy to/from workqueue"),
            (json!({"deny_delete": false}), "stream configuration update can not cancel deny message deletes"),
            (json!({"deny_purge": false}), "stream configuration update can not cancel deny purge"),
        ] {
            assert_eq!(error(&update(settings).await), (500, 10052, why));
        }
        let deleted = raw.about("STREAM.MSG.DELETE", "fixed", json!({"seq": 1})).await;
        assert_eq!(error(&deleted), (500, 10057, "message delete not permitted"));
        let purged = raw.about("STREAM.PURGE", "fixed", Value::Null).await;
        assert_eq!(error(&purged), (500, 10110, "stream purge not permitted"));

        let sealed = update(json!({"sealed": true})).await;
        assert_eq!(sealed["config"]["discard"], "new", "{sealed}");
        let refusal = (400, 10109, "invalid operation on sealed stream");
        assert_eq!(error(&raw.publish("fixed", "a", &[]).await), refusal);
        for operation in ["STREAM.PURGE", "STREAM.MSG.DELETE"] {
            let answer = raw.about(operation, "fixed", json!({"seq": 1})).await;
            assert_eq!(error(&answer), refusal);
        }
        let unsealed = update(json!({})).await;
        assert_eq!(error(&unsealed).2, "stream configuration update can not unseal a sealed stream");
        assert_eq!(raw.state("fixed").await, (1, 1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_limits_for_consumers_must_fit_those_that_there_are() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("bound", json!({})).await;
        let name = raw.server.name("bound");
        let consumer = json!({"stream_name": name, "config": {"durable_name": "d", "ack_policy": "explicit"}});
        raw.request(&format!("CONSUMER.CREATE.{name}.d"), &consumer).await;
        let config = json!({"name": name, "subjects": [format!("{name}.>")], "consumer_limits": {"max_ack_pending": 10}});
        let answer = raw.request(&format!("STREAM.UPDATE.{name}"), &config).await;
        assert_eq!(error(&answer), (500, 10069, "change to limits violates consumers: d"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_told_which_condition_does_not_hold() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("when", json!({})).await;
        let subject = format!("{}.a", raw.server.name("when"));
        raw.publish("when", "a", &[]).await;
        raw.publish("when", "b", &[("Nats-Msg-Id", "one")]).await;
        let of_subject = "Nats-Expected-Last-Subject-Sequence";
        let which_subject = "Nats-Expected-Last-Subject-Sequence-Subject";
        for (headers, refusal) in [
            (
                vec![("Nats-Expected-Stream", "other")],
                (400, 10060, "expected stream does not match"),
            ),
            (
                vec![("Nats-Expected-Last-Sequence", "1")],
                (400, 10071, "wrong last sequence: 2"),
            ),
            (
                vec![(of_subject, "7")],
                (400, 10071, "wrong last sequence: 2"),
            ),
            (
                vec![(of_subject, "2"), (which_subject, &subject)],
                (400, 10071, "wrong last sequence: 1"),
            ),
            (
                vec![(which_subject, &subject)],
                (
                    400,
                    10193,
                    "missing sequence for expected last sequence per subject",
                ),
            ),
            (
                vec![("Nats-Expected-Last-Msg-Id", "two")],
                (400, 10070, "wrong last msg ID: one"),
            ),
            (
                vec![("Nats-Rollup", "sub")],
                (500, 10111, "rollup not permitted"),
            ),
            (
                vec![("Nats-TTL", "1s")],
                (400, 10166, "per-message TTL is disabled"),
            ),
            (
                vec![("Nats-Incr", "1")],
                (400, 10168, "message counters is disabled"),
            ),
        ] {
            let answer = raw.publish("when", "b", &headers).await;
            assert_eq!(error(&answer), refusal, "{headers:?}");
            assert_eq!(answer["seq"], 0);
        }
        for headers in [
            vec![("Nats-Expected-Last-Sequence", "2")],
            vec![(of_subject, "1"), (which_subject, &subject)],
            vec![("Nats-Msg-Id", "two")],
            vec![
                ("Nats-Expected-Last-Msg-Id", "two"),
                ("Nats-Expected-Stream", ""),
            ],
        ] {
            let answer = raw.publish("when", "b", &headers).await;
            assert_eq!(error(&answer).2, "no error", "{headers:?}");
        }
        let again = raw
            .publish("when", "b", &[("Nats-Expected-Last-Msg-Id", "two")])
            .await;
        assert_eq!(
            error(&again).2,
            "wrong last msg ID: ",
            "the last message had no id"
        );
    })
    .await;
}

/// A client would take the message for word of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_message_has_no_status() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("status", json!({})).await;
        let subject = raw.subject("status", "a");
        let headers = "NATS/1.0 409 Consumer Deleted\r\nOwn: 1\r\n\r\n";
        let len = headers.len();
        let say = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB {subject} {len} {len}\r\n{headers}\r\nPING\r\n"
        );
        converse(&raw.server.url, &say, "PONG\r\n").await;
        testkit::eventually("it is stored", async || raw.state("status").await.0 == 1).await;
        let (headers, _) = raw.last("status", "a").await;
        assert_eq!(headers, "NATS/1.0\r\nOwn: 1\r\n\r\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_replaces_what_came_before() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("rolled", json!({"allow_rollup_hdrs": true}))
            .await;
        for token in ["a", "b", "a", "b", "c"] {
            raw.publish("rolled", token, &[]).await;
        }
        raw.publish("rolled", "a", &[("Nats-Rollup", "sub")]).await;
        assert_eq!(raw.state("rolled").await, (4, 2, 6));
        let all_of_one_token = raw.publish("rolled", "*", &[("Nats-Rollup", "sub")]).await;
        assert_eq!(all_of_one_token["seq"], 7);
        assert_eq!(raw.state("rolled").await, (1, 7, 7));
        let wrong = raw.publish("rolled", "a", &[("Nats-Rollup", "x")]).await;
        assert_eq!(error(&wrong), (500, 10111, "rollup value invalid: \"x\""));
        raw.publish("rolled", "d", &[("Nats-Rollup", "ALL")]).await;
        assert_eq!(raw.state("rolled").await, (1, 8, 8));
        let full = json!({
            "allow_rollup_hdrs": true, "max_msgs_per_subject": 1, "discard": "new",
            "discard_new_per_subject": true,
        });
        raw.create("full", full).await;
        raw.publish("full", "a", &[]).await;
        assert_eq!(error(&raw.publish("full", "a", &[]).await).1, 10077);
        raw.publish("full", "a", &[("Nats-Rollup", "sub")]).await;
        assert_eq!(raw.state("full").await, (1, 2, 2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_take_what_they_say() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("purged", json!({})).await;
        for token in ["a", "b", "a", "b", "a", "b", "a"] {
            raw.publish("purged", token, &[]).await;
        }
        let of = |token: &str| format!("{}.{token}", raw.server.name("purged"));
        let both = raw
            .about("STREAM.PURGE", "purged", json!({"seq": 2, "keep": 1}))
            .await;
        assert_eq!(error(&both), (400, 10003, "bad request"));
        for (body, purged, state) in [
            (json!({"filter": of("b"), "keep": 1}), 2, (5, 1, 7)),
            (json!({"filter": of("a"), "seq": 5}), 2, (3, 5, 7)),
            (json!({"filter": of("none")}), 0, (3, 5, 7)),
            (json!({"keep": 2}), 1, (2, 6, 7)),
            (Value::Null, 2, (0, 8, 7)),
            (json!({"seq": 100}), 0, (0, 100, 99)),
        ] {
            let answer = raw.about("STREAM.PURGE", "purged", body.clone()).await;
            assert_eq!(answer["purged"], purged, "{body}: {answer}");
            assert_eq!(raw.state("purged").await, state, "{body}");
        }
        assert_eq!(raw.publish("purged", "a", &[]).await["seq"], 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_read_by_sequence_subject_and_time() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("read", json!({})).await;
        for token in ["a", "b", "a"] {
            raw.publish("read", token, &[("A", "1")]).await;
        }
        let of = |token: &str| format!("{}.{token}", raw.server.name("read"));
        for (body, seq) in [
            (json!({"seq": 2}), Some(2)),
            (json!({"seq": 9}), None),
            (json!({"last_by_subj": of("a")}), Some(3)),
            (json!({"last_by_subj": of("*")}), Some(3)),
            (json!({"next_by_subj": of("a"), "seq": 2}), Some(3)),
            (json!({"next_by_subj": of("b")}), Some(2)),
            (json!({"next_by_subj": of("c")}), None),
            (json!({"start_time": "2020-01-01T00:00:00Z"}), Some(1)),
            (json!({"start_time": "2100-01-01T00:00:00Z"}), None),
        ] {
            let answer = raw.about("STREAM.MSG.GET", "read", body.clone()).await;
            match seq {
                Some(seq) => assert_eq!(answer["message"]["seq"], seq, "{body}: {answer}"),
                None => assert_eq!(error(&answer), (404, 10037, "no message found"), "{body}"),
            }
        }
        let plain = raw
            .about("STREAM.MSG.GET", "read", json!({"seq": 1, "no_hdr": true}))
            .await;
        assert_eq!(
            (&plain["message"]["hdrs"], &plain["message"]["data"]),
            (&Value::Null, &json!("eA=="))
        );
        for body in [
            json!({}),
            json!({"seq": 1, "last_by_subj": "a"}),
            json!({"seq": 1, "batch": 2}),
        ] {
            let answer = raw.about("STREAM.MSG.GET", "read", body.clone()).await;
            assert_eq!(error(&answer), (400, 10003, "bad request"), "{body}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_says_what_it_is_full_of() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        for (name, settings, tokens, why) in [
            (
                "count",
                json!({"max_msgs": 2}),
                ["a", "b", "c"],
                "maximum messages exceeded",
            ),
            (
                "bytes",
                json!({"max_bytes": 100}),
                ["a", "b", "c"],
                "maximum bytes exceeded",
            ),
            (
                "each",
                json!({"max_msgs_per_subject": 1, "discard_new_per_subject": true}),
                ["a", "b", "a"],
                "maximum messages per subject exceeded",
            ),
        ] {
            let mut settings = settings;
            settings["discard"] = json!("new");
            raw.create(name, settings).await;
            let mut last = Value::Null;
            for token in tokens {
                last = raw.publish(name, token, &[]).await;
            }
            assert_eq!(error(&last), (503, 10077, why), "{name}");
        }
        // A message that takes the place of another on its subject fits.
        raw.create(
            "swap",
            json!({"max_msgs": 2, "max_msgs_per_subject": 1, "discard": "new"}),
        )
        .await;
        for token in ["a", "b", "a"] {
            assert_eq!(error(&raw.publish("swap", token, &[]).await).2, "no error");
        }
        assert_eq!(raw.state("swap").await, (2, 2, 3));
        raw.create("size", json!({"max_msg_size": 10})).await;
        let large = raw.publish("size", "a", &[("A", "long enough")]).await;
        assert_eq!(
            error(&large),
            (400, 10054, "message size exceeds maximum allowed")
        );
    })
    .await;
}
