//! The embedded broker: the NATS client protocol with JetStream streams on disk.
//!
//! What makes it more than a stand-in is one promise: **an acknowledgement means on disk**. A publish, a confirmed
//! consumer acknowledgement and every change of configuration is answered after its bytes were synced, and one sync
//! serves all that waited for it.
//!
//! Start reading at [`serve`]. A client is a [`connection`] whose messages go through the [`router`] to other clients
//! and through [`jetstream`] to streams. Each stream is one task that owns all its state; it hands its changes, a batch
//! at a time, to [`store`], and shows them to no client before they are durable.
//!
//! Out of scope, and refused with the protocol's own errors: clustering, accounts and users (there is one token), TLS, push
//! consumers, memory streams, mirrors and sources, work-queue and interest retention.

pub mod access;
pub mod actor;
pub mod tls;

mod admission;
mod connection;
mod headers;
mod jetstream;
mod outbound;
mod protocol;
mod router;
mod store;
mod subjects;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use admission::Admission;
use jetstream::JetStream;
use outbound::OutputBudget;
use router::Router;
use tls::TlsSettings;

pub use access::Access;

/// How long clients have to take what is queued for them when the broker stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long streams have to write what no client waits for when the broker stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// What streams keep that set no limit of their own. Zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// How long messages are kept.
    pub max_age: Duration,
    /// How many bytes of messages a stream keeps.
    pub max_bytes: u64,
    /// How long messages are kept that every durable consumer has acknowledged.
    pub keep_acknowledged: Duration,
}

impl Retention {
    /// Everything is kept.
    pub const UNLIMITED: Self = Retention {
        max_age: Duration::ZERO,
        max_bytes: 0,
        keep_acknowledged: Duration::ZERO,
    };
}

/// What a broker is given.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The folder that holds the streams; made when absent, used by one broker at a time.
    pub data_dir: PathBuf,
    /// Which clients are served.
    pub access: Access,
    /// How clients and the broker speak TLS; `None` when they do not.
    pub tls: Option<TlsSettings>,
    /// How long a client may take to introduce itself.
    pub connect_deadline: Duration,
    /// How many clients may be connected that have not introduced themselves; the oldest of them
    /// makes room for the next.
    pub max_unauthenticated: usize,
    /// The name that clients are shown.
    pub server_name: String,
    /// The largest message, headers included, in bytes.
    pub max_payload: usize,
    /// How many clients may be connected that have introduced themselves.
    pub max_connections: usize,
    /// How many bytes may wait for one client before it is cut off.
    pub max_pending_bytes: usize,
    /// How many bytes may wait for all clients together; the client with the most is cut off first.
    pub max_pending_bytes_total: usize,
    /// What streams keep that set no limit of their own.
    pub retention: Retention,
    /// The size at which a stream starts its next file, in bytes.
    pub segment_bytes: u64,
}

impl BrokerConfig {
    /// The settings every deployment so far uses, for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>, access: Access) -> Self {
        BrokerConfig {
            data_dir: data_dir.into(),
            access,
            tls: None,
            connect_deadline: Duration::from_secs(5),
            max_unauthenticated: 128,
            server_name: "marquee".to_owned(),
            max_payload: 1 << 20,
            max_connections: 4096,
            max_pending_bytes: 64 << 20,
            max_pending_bytes_total: 256 << 20,
            retention: Retention {
                max_age: Duration::from_secs(7 * 24 * 3600),
                max_bytes: 1 << 30,
                keep_acknowledged: Duration::from_secs(300),
            },
            segment_bytes: 16 << 20,
        }
    }

    /// The same settings for a process that can spare so many `connections`: all clients together
    /// take no more.
    #[must_use]
    pub fn within(mut self, connections: usize) -> Self {
        self.max_unauthenticated = self.max_unauthenticated.min(connections / 4).max(1);
        let rest = connections.saturating_sub(self.max_unauthenticated);
        self.max_connections = self.max_connections.min(rest).max(1);
        self
    }
}

/// Why a broker did not start, or stopped.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// Another broker uses the data folder.
    #[error("the data folder `{0}` is in use by another broker")]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("cannot use the data folder `{path}`")]
    DataDir {
        /// The file or folder at fault.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The listening socket failed.
    #[error("cannot accept clients")]
    Listener(#[source] io::Error),
    /// A part of the broker ended that never should.
    #[error("the task of {0} ended unexpectedly")]
    Crashed(String),
}

/// Counters of a running broker, for health pages; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BrokerStats {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicUsize,
    accepted: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    streams: AtomicUsize,
    failing_streams: AtomicUsize,
    lagging_streams: AtomicUsize,
}

impl BrokerStats {
    /// Clients connected now.
    pub fn connections(&self) -> usize {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Clients that have connected since the start.
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.load(Ordering::Relaxed)
    }

    /// Messages that clients published since the start.
    pub fn messages_in(&self) -> u64 {
        self.counters.messages_in.load(Ordering::Relaxed)
    }

    /// Messages handed to clients since the start.
    pub fn messages_out(&self) -> u64 {
        self.counters.messages_out.load(Ordering::Relaxed)
    }

    /// Bytes of the messages that clients published since the start.
    pub fn bytes_in(&self) -> u64 {
        self.counters.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes of the messages handed to clients since the start.
    pub fn bytes_out(&self) -> u64 {
        self.counters.bytes_out.load(Ordering::Relaxed)
    }

    /// Streams of which a durable consumer is about to lose messages that it has not acknowledged, or has lost some lately.
    pub fn lagging_streams(&self) -> usize {
        self.counters.lagging_streams.load(Ordering::Relaxed)
    }

    /// Streams kept now.
    pub fn streams(&self) -> usize {
        self.counters.streams.load(Ordering::Relaxed)
    }

    /// Streams whose last write failed, for want of room for instance; they refuse messages until a write succeeds.
    pub fn failing_streams(&self) -> usize {
        self.counters.failing_streams.load(Ordering::Relaxed)
    }
}

/// What all connections of one broker share.
struct Shared {
    config: BrokerConfig,
    server_id: String,
    router: Arc<Router>,
    jetstream: JetStream,
    admission: Arc<Admission>,
    outputs: Arc<OutputBudget>,
    stats: Arc<Counters>,
}

/// Recovers the streams of the data folder, then serves clients until `stop` resolves; what is acknowledged is on disk.
///
/// Dropping the future instead stops everything at once, as a crash would.
///
/// # Errors
/// When the data folder is in use or unusable, or a part of the broker fails for good.
pub async fn serve(
    listener: TcpListener,
    config: BrokerConfig,
    stop: impl Future<Output = ()>,
) -> Result<(), BrokerError> {
    Broker::open(config, BrokerStats::default())
        .await?
        .serve(listener, stop)
        .await
}

/// A broker whose streams are recovered and which has no clients yet.
pub struct Broker {
    shared: Arc<Shared>,
    streams: JoinSet<String>,
}

impl Broker {
    /// Recovers the streams of the data folder. The counters go to `stats`.
    ///
    /// # Errors
    /// When the data folder is in use or unusable.
    pub async fn open(config: BrokerConfig, stats: BrokerStats) -> Result<Self, BrokerError> {
        let router = Arc::new(Router::new(Arc::clone(&stats.counters)));
        let mut streams = JoinSet::new();
        let jetstream = JetStream::open(
            &config,
            Arc::clone(&router),
            Arc::clone(&stats.counters),
            &mut streams,
        )
        .await?;
        let server_id = format!("M{:055X}", rand::random::<u128>());
        let admission = Admission::new(config.max_unauthenticated, config.max_connections);
        let shared = Arc::new(Shared {
            admission: Arc::new(admission),
            outputs: Arc::new(OutputBudget::new(config.max_pending_bytes_total)),
            config,
            server_id,
            router,
            jetstream,
            stats: stats.counters,
        });
        Ok(Broker { shared, streams })
    }

    /// Serves clients until `stop` resolves.
    ///
    /// # Errors
    /// When the socket or a part of the broker fails for good.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), BrokerError> {
        let stopping = CancellationToken::new();
        let mut clients = JoinSet::new();
        let mut next_id = 0;
        tokio::pin!(stop);
        let outcome = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                ended = self.streams.join_next(), if !self.streams.is_empty() => {
                    if let Some(Err(error)) = ended {
                        break Err(BrokerError::Crashed(error.to_string()));
                    }
                }
                Some(_) = clients.join_next() => {
                    self.shared.stats.connections.store(clients.len(), Ordering::Relaxed);
                }
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        next_id += 1;
                        self.shared.stats.accepted.fetch_add(1, Ordering::Relaxed);
                        let place = self.shared.admission.enter(next_id);
                        clients.spawn(connection::serve(socket, peer, place, next_id, Arc::clone(&self.shared), stopping.clone()));
                        self.shared.stats.connections.store(clients.len(), Ordering::Relaxed);
                    }
                    Err(error) if is_passing(&error) => {
                        tracing::warn!(%error, "cannot accept a client just now");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => break Err(BrokerError::Listener(error)),
                },
            }
        };
        stopping.cancel();
        self.wind_down(clients).await;
        outcome
    }

    /// Lets the clients have what is queued for them, then the streams write what they have.
    async fn wind_down(mut self, mut clients: JoinSet<()>) {
        let _ = timeout(FAREWELL, async {
            while clients.join_next().await.is_some() {}
        })
        .await;
        clients.shutdown().await;
        self.shared.stats.connections.store(0, Ordering::Relaxed);
        self.shared.jetstream.stop();
        let flushed = timeout(FLUSH_DEADLINE, async {
            while self.streams.join_next().await.is_some() {}
        })
        .await;
        if flushed.is_err() {
            tracing::error!(
                "the streams did not write what they had in time; nothing acknowledged is lost"
            );
            self.streams.shutdown().await;
        }
    }
}

// The peer's or the moment's fault, not the socket's.
fn is_passing(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clients_together_stay_within_what_the_process_can_spare() {
        let clients = |connections| {
            let config = BrokerConfig::new("data", Access::Open).within(connections);
            (config.max_unauthenticated, config.max_connections)
        };
        assert_eq!(clients(100_000), (128, 4_096));
        assert_eq!(clients(1_000), (128, 872));
        assert_eq!(clients(224), (56, 168));
        assert_eq!(clients(8), (2, 6));
    }
}
