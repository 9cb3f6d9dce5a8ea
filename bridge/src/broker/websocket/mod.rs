//! Clients that connect by websocket, as browsers do: how they are served, and how such a connection is opened.
//!
//! A websocket carries the same bytes as a socket, in messages whose bounds mean nothing.

mod handshake;
mod origin;
mod stream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::outbound::Outbound;
use super::tls::{Tls, TlsSettings};
use super::transport::{self, Opened, TlsPeer};
use super::{Access, ServingLimits};

pub use origin::{Origin, OriginError};

/// How much a client may send in one message besides the largest message of the protocol: clients put together what waits, most of all
/// when they come back. So many of the largest messages, within these bounds.
const SEVERAL: usize = 8;
const LEAST_BESIDES: usize = 64 << 10;
const MOST_BESIDES: usize = 64 << 20;
/// How much more than one line a client may send before it has introduced itself.
const BEFORE_INTRODUCTION: usize = 4096;

/// How clients are served that connect by websocket.
#[derive(Clone, Debug)]
pub struct WebSocketSettings {
    /// Which of them are served.
    pub access: Access,
    /// How they and the broker speak TLS, which comes first; `None` when they do not.
    pub tls: Option<TlsSettings>,
    /// How long a client may take to open a websocket, TLS included.
    pub handshake_timeout: Duration,
    /// Whether a page has to come from the address that it connects to.
    pub same_origin: bool,
    /// Where a page has to come from, if anywhere.
    pub allowed_origins: Vec<Origin>,
}

impl WebSocketSettings {
    /// Settings for those clients, from anywhere.
    pub fn new(access: Access, tls: Option<TlsSettings>) -> Self {
        WebSocketSettings {
            access,
            tls,
            handshake_timeout: Duration::from_secs(2),
            same_origin: false,
            allowed_origins: Vec::new(),
        }
    }
}

/// How much a client may send at once.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The longest message.
    message: usize,
    /// The bytes of all frames until it is admitted.
    before: usize,
    admitted: Arc<AtomicBool>,
}

impl Limits {
    /// The limits of a client that is not admitted until `admitted` says so.
    pub(super) fn new(limits: ServingLimits, admitted: Arc<AtomicBool>) -> Self {
        let besides = limits.max_payload.saturating_mul(SEVERAL);
        let one = limits.max_payload.saturating_add(limits.max_control_line);
        Limits {
            message: one.saturating_add(besides.clamp(LEAST_BESIDES, MOST_BESIDES)),
            before: limits.max_control_line.saturating_add(BEFORE_INTRODUCTION),
            admitted,
        }
    }
}

/// Opens the websocket of a client that has just connected.
pub(super) async fn open(
    socket: TcpStream,
    tls: Option<&Tls>,
    settings: &WebSocketSettings,
    limits: Limits,
    outbound: Arc<Outbound>,
    greeting: impl Fn() -> String,
) -> io::Result<Option<Opened>> {
    let opening = async {
        let Some(tls) = tls else {
            let stream = handshake::accept(socket, settings, false).await?;
            let websocket = stream::WebSocket::new(stream, limits, outbound).await;
            return Ok(Opened::layered(websocket, TlsPeer::default(), greeting()));
        };
        let (stream, peer) = transport::handshake(socket, tls).await?;
        let stream = handshake::accept(stream, settings, true).await?;
        let websocket = stream::WebSocket::new(stream, limits, outbound).await;
        Ok(Opened::layered(websocket, peer, greeting()))
    };
    timeout(settings.handshake_timeout, opening)
        .await?
        .map(Some)
}
