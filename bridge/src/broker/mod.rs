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
//! Out of scope, and refused with the protocol's own errors: clustering, accounts, TLS, memory streams, mirrors and
//! sources, work-queue and interest retention.

pub mod access;
pub mod actor;
pub mod tls;

mod admission;
mod authentication;
mod clients;
mod config;
mod connection;
mod headers;
mod interest;
mod jetstream;
mod outbound;
mod parser;
mod permissions;
mod protocol;
mod router;
mod stats;
mod store;
mod subjects;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use access::Access;
pub use clients::{ClientInfo, SubscriptionInfo};
pub use config::{BrokerConfig, JetStreamSettings, Retention};
pub use connection::SERVER_VERSION;
pub use stats::BrokerStats;
pub use subjects::matches as subject_matches;

use access::AccessError;
use admission::Admission;
use authentication::Authenticator;
use jetstream::JetStream;
use outbound::OutputBudget;
use router::Router;
use stats::Counters;

/// How long clients have to take what is queued for them when the broker stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long streams have to write what no client waits for when the broker stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

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
    /// The users cannot be as the settings have them.
    #[error("cannot serve the users of the settings")]
    Access(#[from] AccessError),
    /// The listening socket failed.
    #[error("cannot accept clients")]
    Listener(#[source] io::Error),
    /// A part of the broker ended that never should.
    #[error("the task of {0} ended unexpectedly")]
    Crashed(String),
}

/// What all connections of one broker share.
struct Shared {
    config: BrokerConfig,
    authenticator: Arc<Authenticator>,
    server_id: String,
    router: Arc<Router>,
    /// None where the broker keeps no streams.
    jetstream: Option<JetStream>,
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
        let authenticator = Arc::new(Authenticator::new(&config.access)?);
        let router = Arc::new(Router::new(Arc::clone(&stats.counters)));
        let mut streams = JoinSet::new();
        let jetstream = match config.jetstream {
            Some(_) => Some(
                JetStream::open(
                    &config,
                    Arc::clone(&router),
                    Arc::clone(&stats.counters),
                    &mut streams,
                )
                .await?,
            ),
            None => None,
        };
        let server_id = stats.server_id().to_owned();
        let admission = Admission::new(config.max_unauthenticated, config.max_connections);
        let shared = Arc::new(Shared {
            admission: Arc::new(admission),
            outputs: Arc::new(OutputBudget::new(
                config.max_pending_bytes_total,
                Arc::clone(&stats.counters),
            )),
            config,
            authenticator,
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
        if let Some(jetstream) = &self.shared.jetstream {
            jetstream.stop();
        }
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
