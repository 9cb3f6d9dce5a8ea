//! The embedded broker: the NATS client protocol with JetStream streams on disk.
//!
//! What makes it more than a stand-in is one promise: **an acknowledgement means on disk**. A publish, a confirmed
//! consumer acknowledgement and every change of configuration is answered after its bytes were synced, and one sync
//! serves all that waited for it.
//!
//! Start reading at [`actors`], which own all of it. A client is a [`connection`], a socket, with a [`session`], whose messages go through the
//! [`router`] to other clients and through [`jetstream`] to streams. Each stream is one task that owns all its state; it hands
//! its changes, a batch at a time, to [`store`], and shows them to no client before they are durable.
//!
//! Out of scope, and refused with the protocol's own errors: clustering, imports and exports of accounts, mirrors and
//! sources.

pub mod access;
pub mod actors;
pub mod tls;
pub mod websocket;

mod accounts;
mod admission;
mod authentication;
mod capacity;
mod certificate;
mod clients;
mod closing;
mod config;
mod connection;
mod connections;
mod control;
mod distinguished_name;
mod embedded;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod headers;
mod inquiry;
mod interest;
mod introduction;
mod jetstream;
mod jwt;
mod message_trace;
mod operators;
mod outbound;
#[cfg(test)]
mod panics;
mod parser;
mod permissions;
mod pings;
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
mod system_account;
mod throttle;
mod trace;
mod transport;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use access::Access;
pub(crate) use clients::go_time;
pub use clients::{ClientInfo, ClientKind, Encryption, SubscriptionInfo, Traffic};
pub use config::{AccountNames, BrokerConfig, JetStreamSettings, Retention, ServingLimits};
pub use control::BrokerControl;
pub use embedded::{Broker, serve};
pub use greeting::SERVER_VERSION;
pub use stats::BrokerStats;
pub use store::copy::copy_streams;
pub use subjects::{
    is_literal as subject_is_literal, matches as subject_matches, overlap as subjects_overlap,
};
pub use system_account::SystemNotice;

use access::AccessError;
use accounts::Accounts;
use admission::Admission;
use connections::Connections;
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
    connections: Arc<Connections>,
    /// None where the broker keeps no streams.
    jetstream: Option<JetStream>,
    admission: Arc<Admission>,
    outputs: Arc<OutputBudget>,
    stats: Arc<Counters>,
}
