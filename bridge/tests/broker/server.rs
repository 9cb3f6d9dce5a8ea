//! Where the tests get their servers from.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bridge::broker::{Access, BrokerConfig, BrokerError, serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A broker in this process.
pub(crate) struct Embedded {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), BrokerError>>,
}

impl Embedded {
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(BrokerConfig::new(dir, Access::Open)).await
    }

    pub(crate) async fn start_with(config: BrokerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, config, async {
            let _ = stopped.await;
        }));
        Embedded {
            addr,
            stop: Some(stop),
            task,
        }
    }

    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.addr.to_string()).await.unwrap()
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client().await)
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        within(self.task).await.unwrap().unwrap();
    }
}

/// Something to test against: a server, and a prefix for names that no other test uses there.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl Server {
    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client().await)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A stream of this name over the subjects `name.>`.
    pub(crate) async fn stream(&self, name: &str) -> (jetstream::Context, stream::Stream) {
        self.stream_with(name, stream::Config::default()).await
    }

    pub(crate) async fn stream_with(
        &self,
        name: &str,
        config: stream::Config,
    ) -> (jetstream::Context, stream::Stream) {
        let context = self.jetstream().await;
        let name = self.name(name);
        let config = stream::Config {
            subjects: vec![format!("{name}.>")],
            name,
            ..config
        };
        let stream = context.create_stream(config).await.unwrap();
        (context, stream)
    }
}

/// Runs a test on the embedded broker, and on a real server if there is one.
pub(crate) async fn on_each_server<F: Future<Output = ()>>(test: impl Fn(Server) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::start(dir.path()).await;
    within(test(Server {
        url: embedded.addr.to_string(),
        prefix: String::new(),
    }))
    .await;
    embedded.stop().await;
    if let Some(url) = testkit::server("TEST_NATS_URL") {
        let nanos = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_nanos();
        within(test(Server {
            url,
            prefix: format!("t{nanos}_"),
        }))
        .await;
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG, future)
        .await
        .expect("it took too long")
}

/// Waits until the server has taken in all that the client said: its own message comes back behind it.
pub(crate) async fn settle(client: &async_nats::Client) {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, "".into()).await.unwrap();
    within(futures::StreamExt::next(&mut messages))
        .await
        .unwrap();
}
