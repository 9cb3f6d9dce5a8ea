//! Which clients are served and how they are spoken to: what of the settings changes while the broker serves.
//!
//! It is replaced as a whole. Each session learns of it and looks again at its own client.

use std::sync::Arc;

use tokio::sync::watch;

use super::access::Access;
use super::authentication::Authenticator;
use super::clients::ClientKind;
use super::tls::{Tls, TlsSettings};
use super::websocket::WebSocketSettings;
use super::{BrokerConfig, BrokerError};

/// The users and TLS of a broker, ready for clients.
#[derive(Debug)]
pub(super) struct Security {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<Tls>,
    /// Those of the clients that connect by websocket.
    websocket: Option<Arc<Security>>,
}

impl Security {
    fn new(
        access: &Access,
        tls: Option<&TlsSettings>,
        websocket: Option<&WebSocketSettings>,
    ) -> Result<Arc<Self>, BrokerError> {
        let of = |kind, access, tls: Option<&TlsSettings>, websocket| {
            Ok::<_, BrokerError>(Arc::new(Security {
                authenticator: Authenticator::new(access, kind)?,
                tls: tls.map(Tls::new).transpose()?,
                websocket,
            }))
        };
        let websocket = websocket.map(|settings| {
            let tls = settings.tls.as_ref();
            of(ClientKind::WebSocket, &settings.access, tls, None)
        });
        of(ClientKind::Standard, access, tls, websocket.transpose()?)
    }
}

/// Security that has changed since the start, if it has; it outlives a restart of the broker.
#[derive(Clone, Debug)]
pub(super) struct Changed(watch::Sender<Option<Arc<Security>>>);

impl Default for Changed {
    fn default() -> Self {
        Changed(watch::Sender::new(None))
    }
}

impl Changed {
    /// Has all clients of the broker be served like this from now on.
    pub(super) fn replace(
        &self,
        access: &Access,
        tls: Option<&TlsSettings>,
        websocket: Option<&WebSocketSettings>,
    ) -> Result<(), BrokerError> {
        let security = Security::new(access, tls, websocket)?;
        self.0.send_replace(Some(security));
        Ok(())
    }
}

/// The security of one broker.
#[derive(Debug)]
pub(super) struct CurrentSecurity {
    at_start: Arc<Security>,
    changed: Changed,
}

impl CurrentSecurity {
    pub(super) fn new(config: &BrokerConfig, changed: Changed) -> Result<Self, BrokerError> {
        let (tls, websocket) = (config.tls.as_ref(), config.websocket.as_ref());
        Ok(CurrentSecurity {
            at_start: Security::new(&config.access, tls, websocket)?,
            changed,
        })
    }

    /// How clients of a kind are served.
    pub(super) fn get(&self, kind: ClientKind) -> Arc<Security> {
        let changed = self.changed.0.borrow().clone();
        let security = changed.unwrap_or_else(|| Arc::clone(&self.at_start));
        match (kind, &security.websocket) {
            (ClientKind::WebSocket, Some(websocket)) => Arc::clone(websocket),
            _ => security,
        }
    }

    /// Learns of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Arc<Security>>> {
        self.changed.0.subscribe()
    }
}
