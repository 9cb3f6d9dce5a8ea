//! What one client may cost the broker.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};

use crate::core::converse;
use crate::server::Embedded;

const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_too_many_tokens_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let url = broker.addr.to_string();
    let most = vec!["a"; 128].join(".");
    let say = format!("{CONNECT}SUB {most} 1\r\nPUB {most} 1\r\nx\r\nPING\r\n");
    assert_eq!(
        converse(&url, &say, "PONG\r\n").await,
        format!("MSG {most} 1 1\r\nx\r\nPONG\r\n")
    );
    let say = format!("{CONNECT}SUB {most}.a 1\r\nPING\r\n");
    assert_eq!(
        converse(&url, &say, "PONG\r\n").await,
        format!(
            "-ERR 'Permissions Violation for Subscription to \"{most}.a\", too many tokens'\r\nPONG\r\n"
        )
    );
    let context = jetstream::new(broker.client().await);
    let config = stream::Config {
        name: "S".into(),
        subjects: vec![format!("{most}.a")],
        ..stream::Config::default()
    };
    let error = context.create_stream(config).await.unwrap_err().to_string();
    assert!(error.contains("invalid subject"), "{error}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscriptions_of_a_client_take_so_much_memory() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let tokens = vec!["a"; 127].join(".");
    let mut say = CONNECT.to_owned();
    for sid in 100..955 {
        say.push_str(&format!("SUB {tokens}.{sid} {sid}\r\n"));
    }
    say.push_str("PING\r\n");
    let heard = converse(&broker.addr.to_string(), &say, "PONG\r\n").await;
    let refusal = "-ERR 'maximum subscriptions exceeded'\r\n";
    assert_eq!(heard.replace(refusal, ""), "PONG\r\n");
    assert!(heard.starts_with(refusal));
    broker.client().await.flush().await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_has_a_longest_length() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start(dir.path()).await;
    let context = jetstream::new(broker.client().await);
    let config = stream::Config {
        name: "S".into(),
        duplicate_window: Duration::from_secs(60),
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    let publish = async |len: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "x".repeat(len));
        let ack = context.publish_with_headers("S", headers, "x".into()).await;
        ack.unwrap().await
    };
    assert!(!publish(1024).await.unwrap().duplicate);
    assert!(publish(1024).await.unwrap().duplicate);
    let error = publish(1025).await.unwrap_err().to_string();
    assert!(error.contains("longer than 1024 bytes"), "{error}");
    broker.stop().await;
}
