//! Clients that read slowly, or not at all.

use std::time::Duration;

use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::server::{settle, within};

const QUIET: &str = "CONNECT {\"verbose\":false}\r\n";
const PENDING: usize = 8 << 20;

async fn broker(dir: &std::path::Path) -> (String, BrokerStats, JoinHandle<()>) {
    let config = BrokerConfig {
        max_pending_bytes: PENDING,
        ..BrokerConfig::new(dir, Access::Open)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let stats = BrokerStats::default();
    let broker = Broker::open(config, stats.clone()).await.unwrap();
    let serving = tokio::spawn(async move {
        broker
            .serve(listener, std::future::pending())
            .await
            .unwrap();
    });
    (addr, stats, serving)
}

async fn subscribed(addr: &str, stats: &BrokerStats) -> TcpStream {
    let before = stats.subscriptions_made();
    // What the system holds for the client is out of the broker's sight.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut socket = socket.connect(addr.parse().unwrap()).await.unwrap();
    let say = format!("{QUIET}SUB a 1\r\n");
    socket.write_all(say.as_bytes()).await.unwrap();
    testkit::eventually("it is subscribed", async || {
        stats.subscriptions_made() > before
    })
    .await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off_and_nobody_else_notices() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, stats, serving) = broker(dir.path()).await;
    let silent = subscribed(&addr, &stats).await;
    let reader = async_nats::connect(&addr).await.unwrap();
    let mut messages = reader.subscribe("a").await.unwrap();
    settle(&reader).await;
    let publisher = async_nats::connect(&addr).await.unwrap();
    let payload = bytes::Bytes::from(vec![b'x'; 64 << 10]);
    // More than the broker and the sockets' buffers take for one client.
    let count = 2 * PENDING / payload.len() + 400;
    let publishing = tokio::spawn(async move {
        for _ in 0..count {
            publisher.publish("a", payload.clone()).await.unwrap();
        }
        publisher.flush().await.unwrap();
    });
    for _ in 0..count {
        within(messages.next()).await.unwrap();
    }
    within(publishing).await.unwrap();
    testkit::eventually("the reader alone is left", async || {
        stats.clients().len() == 1
    })
    .await;
    assert_eq!(stats.slow_consumers(), 1);
    drop(silent);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_slowed_before_a_slow_reader_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (addr, stats, serving) = broker(dir.path()).await;
    let mut reader = subscribed(&addr, &stats).await;
    let payload = "x".repeat(8 << 10);
    let message = format!("PUB a {}\r\n{payload}\r\n", payload.len()).repeat(8);
    let count = 8 * PENDING / message.len();
    let message_len = message.len();
    let mut publisher = TcpStream::connect(&addr).await.unwrap();
    let publishing = tokio::spawn(async move {
        publisher.write_all(QUIET.as_bytes()).await.unwrap();
        for _ in 0..count {
            publisher.write_all(message.as_bytes()).await.unwrap();
        }
        publisher
    });
    let mut left = count * message_len;
    let mut buffer = vec![0; 48 << 10];
    while left > 0 {
        let read = within(reader.read(&mut buffer)).await.unwrap();
        assert!(read > 0, "cut off with {left} bytes left");
        left = left.saturating_sub(read);
        // This is what makes the reader a slow one; it still reads faster than a publisher may that is slowed.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    within(publishing).await.unwrap();
    assert_eq!(stats.slow_consumers(), 0);
    serving.abort();
}
