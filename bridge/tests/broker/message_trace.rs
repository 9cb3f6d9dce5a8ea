//! Messages whose publishers ask where they go.

use async_nats::{HeaderMap, Subscriber};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::server::{on_each_server, settle, within};
use crate::stream_api::Raw;

async fn publish(raw: &Raw, subject: &str, headers: &[(&str, &str)], payload: &'static str) {
    let mut map = HeaderMap::new();
    for (header, value) in headers {
        map.insert(*header, *value);
    }
    raw.client
        .publish_with_headers(subject.to_owned(), map, payload.into())
        .await
        .unwrap();
}

async fn events(traces: &mut Subscriber) -> Vec<Value> {
    let told = within(traces.next()).await.unwrap();
    let told: Value = serde_json::from_slice(&told.payload).unwrap();
    assert!(told["server"]["id"].is_string(), "{told}");
    assert!(told["request"]["msgsize"].is_u64(), "{told}");
    told["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_hears_where_its_message_goes() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let [subject, destination] = ["to", "traces"].map(|token| raw.subject("traced", token));
        let mut traces = raw.client.subscribe(destination.clone()).await.unwrap();
        let mut plain = raw.client.subscribe(subject.clone()).await.unwrap();
        let group = "g".to_owned();
        let client = &raw.client;
        let _one = client
            .queue_subscribe(subject.clone(), group)
            .await
            .unwrap();
        settle(client).await;
        let to = ("Nats-Trace-Dest", &*destination);
        publish(&raw, &subject, &[to], "").await;
        let heard = events(&mut traces).await;
        assert_eq!(heard[0]["type"], "in");
        assert_eq!(heard[0]["subj"], *subject);
        assert_eq!(heard[0]["cid"], client.server_info().client_id);
        let mut out: Vec<_> = heard[1..].iter().map(|event| &event["queue"]).collect();
        out.sort_by_key(|queue| queue.is_string());
        assert_eq!(out, [&Value::Null, &json!("g")]);
        assert!(heard[1..].iter().all(|event| event["type"] == "eg"));
        assert_eq!(heard[1]["sub"], *subject);
        within(plain.next()).await.unwrap();
        // Then it is not delivered.
        publish(&raw, &subject, &[to, ("Nats-Trace-Only", "true")], "traced").await;
        assert_eq!(events(&mut traces).await.len(), 3);
        publish(&raw, &subject, &[], "last").await;
        assert_eq!(within(plain.next()).await.unwrap().payload, "last");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_hears_what_a_stream_does_with_its_message() {
    on_each_server(async |server| {
        let raw = Raw::new(server).await;
        let settings = json!({"max_msg_size": 200, "retention": "interest"});
        raw.create("kept", settings).await;
        let [subject, destination] =
            [("kept", "a"), ("elsewhere", "traces")].map(|(name, token)| raw.subject(name, token));
        let mut traces = raw.client.subscribe(destination.clone()).await.unwrap();
        settle(&raw.client).await;
        let name = subject.strip_suffix(".a").unwrap();
        let to = ("Nats-Trace-Dest", &*destination);
        publish(&raw, &subject, &[to, ("Nats-Trace-Only", "1")], "").await;
        let heard = events(&mut traces).await;
        let [came, reached] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(
            (&came["type"], &reached["type"]),
            (&json!("in"), &json!("js"))
        );
        assert_eq!(
            (&reached["stream"], &reached["subject"]),
            (&json!(name), &json!(subject))
        );
        assert_eq!(reached["nointerest"], true);
        assert_eq!(raw.state("kept").await.2, 0, "it was only traced");
        publish(&raw, &subject, &[to], "").await;
        assert_eq!(events(&mut traces).await[1]["error"], Value::Null);
        assert_eq!(raw.state("kept").await.2, 1);
        let long = [to, ("Long", &*"x".repeat(200))];
        publish(&raw, &subject, &long, "").await;
        assert!(events(&mut traces).await[1]["error"].is_string());
        assert_eq!(raw.state("kept").await.2, 1);
    })
    .await;
}
