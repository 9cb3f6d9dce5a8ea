//! Messages that publishers send as a batch: stored as a whole or not at all, or as they come with word of how far they are.

use async_nats::Subscriber;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::server::{on_each_server, within};
use crate::stream_api::{Raw, error};

/// Publishes a message of a batch.
async fn publish(raw: &Raw, stream: &str, id: &str, seq: u64, more: &[(&str, &str)]) -> Value {
    let seq = seq.to_string();
    let mut headers = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", &*seq)];
    headers.extend(more);
    raw.publish(stream, "a", &headers).await
}

const LAST: [(&str, &str); 1] = [("Nats-Batch-Commit", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_when_its_last_message_comes() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let answer = raw.create("atomic", json!({"allow_atomic": true})).await;
        assert_eq!(answer["config"]["allow_atomic"], true);
        raw.publish("atomic", "b", &[]).await;
        for seq in 1..=2 {
            let answer = publish(&raw, "atomic", "one", seq, &[]).await;
            assert_eq!(answer, Value::Null);
        }
        assert_eq!(raw.state("atomic").await, (1, 1, 1), "none of it yet");
        let answer = publish(&raw, "atomic", "one", 3, &LAST).await;
        assert_eq!(answer["seq"], 4);
        assert_eq!(
            (&answer["batch"], &answer["count"]),
            (&json!("one"), &json!(3))
        );
        // The end may be a message that is not stored itself.
        publish(&raw, "atomic", "two", 1, &[]).await;
        let answer = publish(&raw, "atomic", "two", 2, &[("Nats-Batch-Commit", "eob")]).await;
        assert_eq!((&answer["seq"], &answer["count"]), (&json!(5), &json!(1)));
        assert_eq!(raw.state("atomic").await, (5, 1, 5));
        let (headers, _) = raw.last("atomic", "a").await;
        assert!(headers.contains("Nats-Batch-Commit: 1\r\n"), "{headers}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_batch_is_stored_that_cannot_be_as_a_whole() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let settings = json!({"allow_atomic": true, "allow_rollup_hdrs": true});
        raw.create("whole", settings).await;
        raw.publish("whole", "b", &[("Nats-Msg-Id", "known")]).await;
        let cases: [(&[(&str, &str)], u64); 7] = [
            (&[("Nats-Msg-Id", "known")], 10201),
            (&[("Nats-Msg-Id", "first")], 10201),
            (&[("Nats-Expected-Last-Msg-Id", "known")], 10177),
            (&[("Nats-Expected-Last-Sequence", "1")], 10071),
            (&[("Nats-Expected-Last-Sequence", "2")], 10164),
            (&[("Nats-Expected-Last-Subject-Sequence", "0")], 10164),
            (&[("Nats-Rollup", "all")], 10111),
        ];
        for (headers, expected) in cases {
            publish(&raw, "whole", "id", 1, &[("Nats-Msg-Id", "first")]).await;
            let headers = [headers, &LAST].concat();
            let answer = publish(&raw, "whole", "id", 2, &headers).await;
            assert_eq!(error(&answer).1, expected, "{headers:?}: {answer}");
            assert_eq!(raw.state("whole").await, (1, 1, 1), "{headers:?}");
        }
        // What was taken back is forgotten as a whole.
        publish(&raw, "whole", "id", 1, &[("Nats-Msg-Id", "first")]).await;
        let answer = publish(&raw, "whole", "id", 2, &LAST).await;
        assert_eq!(answer["seq"], 3);
        let expected = [("Nats-Expected-Last-Msg-Id", "known")];
        let answer = raw.publish("whole", "a", &expected).await;
        assert_eq!(error(&answer).1, 10070, "the last message has no id");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_gap_is_abandoned() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("gaps", json!({"allow_atomic": true})).await;
        raw.create("plain", json!({})).await;
        let stream = raw.subject("gaps", "").replace('.', "");
        let advisories = format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}");
        let mut advisories = raw.client.subscribe(advisories).await.unwrap();
        let refused = async |stream: &str, id: &str, seq: u64, more: &[(&str, &str)]| {
            error(&publish(&raw, stream, id, seq, more).await).1
        };
        publish(&raw, "gaps", "id", 1, &[]).await;
        assert_eq!(refused("gaps", "id", 3, &[]).await, 10176);
        let advisory = within(advisories.next()).await.unwrap();
        let advisory: Value = serde_json::from_slice(&advisory.payload).unwrap();
        let kind = "io.nats.jetstream.advisory.v1.stream_batch_abandoned";
        assert_eq!(advisory["type"], kind);
        assert_eq!(advisory["batch"], "id");
        assert_eq!(advisory["reason"], "incomplete");
        assert_eq!(refused("gaps", "id", 2, &LAST).await, 10176, "it is gone");
        assert_eq!(refused("gaps", "new", 1001, &[]).await, 10199);
        assert_eq!(refused("gaps", &"x".repeat(65), 1, &[]).await, 10179);
        let wrong = [("Nats-Batch-Commit", "yes")];
        assert_eq!(refused("gaps", "id", 1, &wrong).await, 10200);
        assert_eq!(refused("plain", "id", 1, &[]).await, 10174);
        let answer = raw.publish("gaps", "a", &[("Nats-Batch-Id", "id")]).await;
        assert_eq!(error(&answer).1, 10175);
        assert_eq!(raw.state("gaps").await, (0, 0, 0));
    })
    .await;
}

/// A publisher of a batch that is stored as it comes, with all that it is told.
struct Ingest<'a> {
    raw: &'a Raw,
    inbox: String,
    subject: String,
    told: Subscriber,
}

impl<'a> Ingest<'a> {
    async fn new(raw: &'a Raw, stream: &str, every: u64, gaps: &str) -> Self {
        let inbox = raw.client.new_inbox();
        let told = raw.client.subscribe(format!("{inbox}.>")).await.unwrap();
        Ingest {
            raw,
            inbox: format!("{inbox}.batch.{every}.{gaps}"),
            subject: raw.subject(stream, "a"),
            told,
        }
    }

    async fn send(&self, seq: u64, operation: u8) {
        let inbox = format!("{}.{seq}.{operation}.$FI", self.inbox);
        let (client, subject) = (&self.raw.client, self.subject.clone());
        client
            .publish_with_reply(subject, inbox, "x".into())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let told = within(self.told.next()).await.unwrap();
        serde_json::from_slice(&told.payload).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_hears_how_far_its_batch_is() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let answer = raw.create("ingest", json!({"allow_batched": true})).await;
        assert_eq!(answer["config"]["allow_batched"], true);
        let mut ingest = Ingest::new(&raw, "ingest", 2, "fail").await;
        ingest.send(1, 0).await;
        assert_eq!(
            ingest.hear().await,
            json!({"type": "ack", "seq": 0, "msgs": 2})
        );
        ingest.send(2, 1).await;
        assert_eq!(
            ingest.hear().await,
            json!({"type": "ack", "seq": 2, "msgs": 2})
        );
        ingest.send(2, 4).await;
        assert_eq!(
            ingest.hear().await,
            json!({"type": "ack", "seq": 2, "msgs": 2})
        );
        ingest.send(3, 2).await;
        let end = ingest.hear().await;
        assert_eq!((&end["seq"], &end["count"]), (&json!(3), &json!(3)));
        assert_eq!(end["batch"], "batch");
        ingest.send(4, 1).await;
        assert_eq!(error(&ingest.hear().await).1, 10208, "it is over");
        assert_eq!(raw.state("ingest").await, (3, 1, 3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_says_what_a_gap_in_its_batch_means() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        raw.create("gap", json!({"allow_batched": true})).await;
        let gap = json!({"type": "gap", "last_seq": 2, "seq": 3});
        let mut ingest = Ingest::new(&raw, "gap", 10, "fail").await;
        ingest.send(1, 0).await;
        ingest.hear().await;
        ingest.send(3, 1).await;
        assert_eq!(ingest.hear().await, gap);
        let end = ingest.hear().await;
        assert_eq!((&end["seq"], &end["count"]), (&json!(1), &json!(1)));
        let mut ingest = Ingest::new(&raw, "gap", 10, "ok").await;
        ingest.send(1, 0).await;
        ingest.hear().await;
        ingest.send(3, 1).await;
        assert_eq!(ingest.hear().await, gap);
        ingest.send(4, 3).await;
        let end = within(ingest.told.next()).await.unwrap();
        assert!(end.subject.ends_with(".4.3.$FI"), "{}", end.subject);
        let end: Value = serde_json::from_slice(&end.payload).unwrap();
        assert_eq!((&end["seq"], &end["count"]), (&json!(3), &json!(3)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_where_a_message_is_refused() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let settings =
            json!({"allow_batched": true, "max_msg_size": 1, "discard": "new", "max_msgs": 1});
        raw.create("refused", settings).await;
        raw.create("closed", json!({})).await;
        let mut ingest = Ingest::new(&raw, "refused", 10, "fail").await;
        ingest.send(1, 0).await;
        ingest.hear().await;
        ingest.send(2, 1).await;
        let told = ingest.hear().await;
        assert_eq!((&told["type"], &told["seq"]), (&json!("err"), &json!(2)));
        assert_eq!(error(&told).1, 10077);
        assert_eq!(ingest.hear().await["count"], 1);
        let mut ingest = Ingest::new(&raw, "closed", 10, "fail").await;
        ingest.send(1, 0).await;
        assert_eq!(error(&ingest.hear().await).1, 10205);
        let mut ingest = Ingest::new(&raw, "refused", 10, "perhaps").await;
        ingest.send(1, 0).await;
        assert_eq!(error(&ingest.hear().await).1, 10206);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_says_which_level_of_the_api_it_needs() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let settings = json!({"allow_atomic": true, "allow_batched": true});
        let stream = raw.create("levels", settings).await["config"]["name"].clone();
        let stream = stream.as_str().unwrap();
        let level = |level| ("Nats-Required-Api-Level", level);
        for (needed, is_refused) in [
            ("abc", true),
            ("1.0", true),
            ("1000", true),
            ("4", false),
            ("-1", false),
        ] {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(level(needed).0, needed);
            let subject = format!("$JS.API.STREAM.INFO.{stream}");
            let client = &raw.client;
            let answer = client.request_with_headers(subject, headers, "".into());
            let answer: Value = serde_json::from_slice(&answer.await.unwrap().payload).unwrap();
            let expected = if is_refused { (412, 10185) } else { (0, 0) };
            let (code, err_code, _) = error(&answer);
            assert_eq!((code, err_code), expected, "{needed}: {answer}");
            let answer = publish(&raw, "levels", needed, 1, &[level(needed)]).await;
            let (code, err_code, _) = error(&answer);
            assert_eq!((code, err_code), expected, "{needed}: {answer}");
        }
        let own = [level("4"), ("Own", "x"), LAST[0]];
        publish(&raw, "levels", "id", 1, &[level("4")]).await;
        publish(&raw, "levels", "id", 2, &own).await;
        let (headers, _) = raw.last("levels", "a").await;
        assert!(headers.contains("Own: x\r\n"), "{headers}");
        assert!(!headers.contains("Level"), "{headers}");
        let mut ingest = Ingest::new(&raw, "levels", 10, "fail").await;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(level("4").0, "4");
        headers.insert("Own", "y");
        let inbox = format!("{}.1.2.$FI", ingest.inbox);
        let subject = ingest.subject.clone();
        let sent = raw
            .client
            .publish_with_reply_and_headers(subject, inbox, headers, "x".into());
        sent.await.unwrap();
        assert_eq!(ingest.hear().await["count"], 1);
        let (headers, _) = raw.last("levels", "a").await;
        assert!(headers.contains("Own: y\r\n"), "{headers}");
        assert!(!headers.contains("Level"), "{headers}");
    })
    .await;
}
