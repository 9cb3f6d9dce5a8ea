//! The domain of the streams: clients may name it, and are told it.

use async_nats::jetstream::{self, kv, stream};
use bridge::broker::{Access, BrokerConfig, JetStreamSettings};
use futures::StreamExt;
use serde_json::Value;

use crate::push::ask;
use crate::server::{Embedded, settle, within};

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_found_by_their_domain_and_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let jetstream = JetStreamSettings {
        domain: Some("hub".to_owned()),
        ..JetStreamSettings::default()
    };
    let broker = Embedded::start_with(BrokerConfig {
        jetstream: Some(jetstream),
        ..BrokerConfig::new(dir.path(), Access::Open)
    })
    .await;
    let client = broker.client().await;
    assert_eq!(client.server_info().domain.as_deref(), Some("hub"));
    let mut events = client.subscribe("$JS.EVENT.>").await.unwrap();
    settle(&client).await;
    let named = jetstream::with_domain(client.clone(), "hub");
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        ..stream::Config::default()
    };
    named.create_stream(config).await.unwrap();
    let event = within(events.next()).await.unwrap();
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(event["domain"], "hub");
    let ack = named.publish("s.a", "1".into()).await.unwrap();
    assert_eq!(ack.await.unwrap().domain, "hub");
    for subject in ["$JS.API.INFO", "$JS.hub.API.INFO"] {
        let info = within(client.request(subject, "".into())).await.unwrap();
        let info: Value = serde_json::from_slice(&info.payload).unwrap();
        assert_eq!(
            (&info["domain"], &info["streams"]),
            (&"hub".into(), &1.into())
        );
    }
    let info = ask(&client, "STREAM.INFO.S", Value::Null).await;
    assert_eq!(info["domain"], "hub");

    let config = kv::Config {
        bucket: "films".into(),
        ..kv::Config::default()
    };
    let bucket = named.create_key_value(config).await.unwrap();
    bucket.put("alien", "1979".into()).await.unwrap();
    let plain = jetstream::new(client.clone()).get_key_value("films").await;
    let value = plain.unwrap().get("alien").await.unwrap();
    assert_eq!(value.as_deref(), Some(&b"1979"[..]));
    let other = jetstream::with_domain(client, "leaf");
    assert!(other.get_stream("S").await.is_err());
    broker.stop().await;
}
