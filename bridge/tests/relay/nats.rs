//! NATS as the tests have it: the embedded broker, or a real server behind a proxy.

use std::{cell::RefCell, future, net::SocketAddr, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::AckPolicy, consumer::pull, stream},
};
use bridge::broker::{Access, Broker, BrokerConfig, BrokerError, BrokerStats};
use bytes::Bytes;
use futures::StreamExt;
use tempfile::TempDir;
use testkit::{Proxy, eventually};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A NATS.
pub(crate) enum Nats {
    Embedded(Embedded),
    Real(Proxy),
}

/// The embedded broker with a data folder of its own.
pub(crate) struct Embedded {
    data: TempDir,
    address: SocketAddr,
    running: RefCell<Option<JoinHandle<()>>>,
}

/// A message as a test reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Nats {
    pub(crate) async fn embedded() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let embedded = Embedded {
            data: tempfile::tempdir().unwrap(),
            address: listener.local_addr().unwrap(),
            running: RefCell::default(),
        };
        embedded.serve(listener).await;
        Self::Embedded(embedded)
    }

    pub(crate) async fn real(url: &str) -> Self {
        let address = url.trim_start_matches("nats://").to_owned();
        Self::Real(Proxy::to(address).await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Embedded(embedded) => format!("nats://{}", embedded.address),
            Self::Real(proxy) => format!("nats://{}", proxy.address()),
        }
    }

    pub(crate) async fn become_unavailable(&self) {
        match self {
            Self::Embedded(embedded) => embedded.crash().await,
            Self::Real(proxy) => proxy.down(),
        }
    }

    pub(crate) async fn come_back(&self) {
        match self {
            Self::Embedded(embedded) => {
                let listener = TcpListener::bind(embedded.address).await.unwrap();
                embedded.serve(listener).await;
            }
            Self::Real(proxy) => proxy.up(),
        }
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.url()).await.unwrap())
    }

    /// Makes a stream that remembers ids for a short time only, so that it is not the stream which drops duplicates.
    pub(crate) async fn create_stream(&self, name: &str, subject: &str) {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            duplicate_window: Duration::from_millis(100),
            ..stream::Config::default()
        };
        self.jetstream().await.create_stream(config).await.unwrap();
    }

    /// All messages of a stream in order.
    pub(crate) async fn read(&self, name: &str) -> Vec<Read> {
        let jetstream = self.jetstream().await;
        let stream = jetstream.get_stream(name).await.unwrap();
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(10),
            ..pull::Config::default()
        };
        let count = stream.cached_info().state.messages;
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut all = Vec::new();
        while (all.len() as u64) < count {
            let batch = consumer.fetch().max_messages(1_000).messages();
            let mut batch = batch.await.unwrap();
            while let Some(message) = batch.next().await {
                let message = message.unwrap();
                all.push(Read {
                    subject: message.subject.to_string(),
                    headers: message.headers.clone().unwrap_or_default(),
                    payload: message.payload.clone(),
                });
            }
        }
        all
    }

    /// Publishes a message with a line that need not be a header.
    pub(crate) async fn publish_raw(&self, subject: &str, line: &[u8], payload: &[u8]) {
        let url = self.url();
        let mut connection = TcpStream::connect(url.trim_start_matches("nats://"))
            .await
            .unwrap();
        let headers = [b"NATS/1.0\r\n", line, b"\r\n\r\n"].concat();
        let (length, all) = (headers.len(), headers.len() + payload.len());
        let begin = format!("CONNECT {{\"headers\":true}}\r\nHPUB {subject} {length} {all}\r\n");
        let sent = [begin.as_bytes(), &headers, payload, b"\r\nPING\r\n"].concat();
        connection.write_all(&sent).await.unwrap();
        let mut answers = BufReader::new(connection).lines();
        while answers.next_line().await.unwrap().unwrap() != "PONG" {}
    }

    pub(crate) async fn count(&self, name: &str) -> u64 {
        let stream = self.jetstream().await.get_stream(name).await.unwrap();
        stream.cached_info().state.messages
    }
}

impl Embedded {
    async fn serve(&self, listener: TcpListener) {
        let mut opened = None;
        eventually("the data folder is free", async || {
            let config = BrokerConfig::new(self.data.path(), Access::Open);
            match Broker::open(config, BrokerStats::default()).await {
                Ok(broker) => opened = Some(broker),
                // The threads of one that crashed may still be about to end.
                Err(BrokerError::InUse(_)) => {}
                Err(error) => panic!("the broker does not start: {error}"),
            }
            opened.is_some()
        })
        .await;
        let serving = opened.unwrap().serve(listener, future::pending());
        let running = tokio::spawn(async move { serving.await.unwrap() });
        self.running.replace(Some(running));
    }

    async fn crash(&self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }
}
