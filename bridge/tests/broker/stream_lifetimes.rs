//! Messages that are kept for a time of their own, and the marks that stand for what grew old.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{Context, stream};
use testkit::eventually;

use crate::messages::publish;
use crate::server::{Embedded, on_each_server};

async fn publish_for(context: &Context, subject: &str, lifetime: &str) -> Result<u64, String> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-TTL", lifetime);
    let ack = context
        .publish_with_headers(subject.to_owned(), headers, "x".into())
        .await
        .unwrap();
    let ack = ack.await.map_err(|error| error.to_string())?;
    Ok(ack.sequence)
}

fn config() -> stream::Config {
    stream::Config {
        allow_message_ttl: true,
        ..stream::Config::default()
    }
}

async fn messages(stream: &mut stream::Stream) -> u64 {
    stream.info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_kept_for_as_long_as_its_publisher_says() {
    on_each_server(async |server| {
        let config = stream::Config {
            max_age: Duration::from_millis(1500),
            ..config()
        };
        let (context, mut stream) = server.stream_with("ttl", config).await;
        let subject = format!("{}.a", server.name("ttl"));
        publish_for(&context, &subject, "never").await.unwrap();
        publish_for(&context, &subject, "1s").await.unwrap();
        publish_for(&context, &subject, "1h").await.unwrap();
        publish(&context, &subject, [4]).await;
        eventually("all but one are gone", async || {
            messages(&mut stream).await == 1
        })
        .await;
        assert_eq!(stream.info().await.unwrap().state.first_sequence, 1);
        for wrong in ["0", "500ms", "soon"] {
            let error = publish_for(&context, &subject, wrong).await.unwrap_err();
            assert!(error.contains("invalid per-message TTL"), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_stands_for_the_last_message_of_a_subject() {
    on_each_server(async |server| {
        let config = stream::Config {
            subject_delete_marker_ttl: Some(Duration::from_secs(1)),
            ..config()
        };
        let (context, mut stream) = server.stream_with("marks", config).await;
        let subject = format!("{}.a", server.name("marks"));
        publish_for(&context, &subject, "1s").await.unwrap();
        let mut mark = None;
        eventually("a mark takes the place of the message", async || {
            mark = stream.get_last_raw_message_by_subject(&subject).await.ok();
            mark.as_ref().is_some_and(|mark| mark.sequence == 2)
        })
        .await;
        let mark = mark.unwrap();
        let header = |name: &str| mark.headers.get(name).map(ToString::to_string);
        assert_eq!(header("Nats-Marker-Reason").as_deref(), Some("MaxAge"));
        assert_eq!(header("Nats-TTL").as_deref(), Some("1s"));
        assert!(mark.payload.is_empty());
        assert_eq!(messages(&mut stream).await, 1, "it replaced the message");
        eventually("the mark grows old, too, and leaves none", async || {
            messages(&mut stream).await == 0
        })
        .await;
        assert_eq!(stream.info().await.unwrap().state.last_sequence, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_outlast_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_age: Duration::from_millis(1500),
        subject_delete_marker_ttl: Some(Duration::from_secs(100)),
        ..config()
    };
    context.create_stream(config).await.unwrap();
    publish_for(&context, "s.ever", "never").await.unwrap();
    publish_for(&context, "s.short", "1s").await.unwrap();
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let mut stream = context.get_stream("S").await.unwrap();
    eventually("a mark is left, and what is kept for ever", async || {
        let state = stream.info().await.unwrap().state.clone();
        (state.messages, state.first_sequence, state.last_sequence) == (2, 1, 3)
    })
    .await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_puts_nothing_out_for_what_had_expired() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        max_messages: 3,
        ..config()
    };
    let mut stream = context.create_stream(config).await.unwrap();
    publish(&context, "s.kept", [1]).await;
    publish_for(&context, "s.short", "1s").await.unwrap();
    publish_for(&context, "s.short", "1s").await.unwrap();
    eventually("the short-lived are gone", async || {
        messages(&mut stream).await == 1
    })
    .await;
    publish(&context, "s.kept", 4..=5).await;
    broker.stop().await;

    let broker = Embedded::start(dir.path()).await;
    let context = broker.jetstream().await;
    let stream = context.get_stream("S").await.unwrap();
    let state = stream.get_info().await.unwrap().state;
    assert_eq!((state.messages, state.first_sequence), (3, 1));
    broker.stop().await;
}
