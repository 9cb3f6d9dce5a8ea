//! The embedded broker: the NATS client protocol with JetStream streams on disk.
//!
//! What makes it more than a stand-in is one promise: **an acknowledgement means on disk**. A publish, a confirmed
//! consumer acknowledgement and every change of configuration is answered after its bytes were synced, and one sync
//! serves all that waited for it.
//!
//! Start reading at [`serve`]. A client is a [`connection`], a socket, with a [`session`], whose messages go through the
//! [`router`] to other clients and through [`jetstream`] to streams. Each stream is one task that owns all its state; it hands
//! its changes, a batch at a time, to [`store`], and shows them to no client before they are durable.
//!
//! Out of scope, and refused with the protocol's own errors: clustering, accounts, mirrors and sources.

pub mod access;
pub mod actor;
pub mod tls;

mod accounts;
mod admission;
mod authentication;
mod certificate;
mod clients;
mod config;
mod connection;
mod control;
mod distinguished_name;
mod greeting;
mod headers;
mod inquiry;
mod interest;
mod introduction;
mod jetstream;
mod outbound;
#[cfg(test)]
mod panics;
mod parser;
mod permissions;
#[cfg(test)]
mod properties;
mod protocol;
mod publishing;
mod router;
mod security;
mod serving;
mod session;
mod stats;
mod store;
mod subjects;
mod subscribing;
mod throttle;
mod transport;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use access::Access;
pub use clients::{ClientInfo, SubscriptionInfo};
pub use config::{BrokerConfig, JetStreamSettings, Retention};
pub use control::BrokerControl;
pub use greeting::SERVER_VERSION;
pub use stats::BrokerStats;
pub use subjects::matches as subject_matches;

use access::AccessError;
use accounts::Accounts;
use admission::Admission;
use jetstream::JetStream;
use outbound::OutputBudget;
use router::Router;
use security::CurrentSecurity;
use stats::Counters;
use tls::TlsError;

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
    /// TLS cannot be spoken as the settings have it.
    #[error("cannot speak TLS")]
    Tls(#[from] TlsError),
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
    security: CurrentSecurity,
    server_id: String,
    router: Arc<Router>,
    accounts: Accounts,
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
    control: BrokerControl,
}

impl Broker {
    /// Recovers the streams of the data folder. The counters go to `stats`.
    ///
    /// # Errors
    /// When the data folder is in use or unusable.
    pub async fn open(config: BrokerConfig, stats: BrokerStats) -> Result<Self, BrokerError> {
        let control = stats.control();
        let security = CurrentSecurity::new(&config, control.security.clone())?;
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
            security,
            server_id,
            accounts: Accounts::new(Arc::clone(&router), Arc::clone(&stats.counters)),
            router,
            jetstream,
            stats: stats.counters,
        });
        control.connect(&shared);
        Ok(Broker {
            shared,
            streams,
            control,
        })
    }
}
