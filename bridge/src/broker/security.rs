//! Which clients are served and how they are spoken to: what of the settings changes while the broker serves.
//!
//! It is replaced as a whole. Each session learns of it and looks again at its own client.

use std::sync::Arc;

use tokio::sync::watch;

use super::access::{Access, Users};
use super::authentication::{Authenticator, Turns};
use super::clients::ClientKind;
use super::tls::{Tls, TlsSettings};
use super::websocket::WebSocketSettings;
use super::{BrokerConfig, BrokerError, ServingLimits};

/// The users and TLS of clients of one kind, ready for them, and the limits of all.
#[derive(Debug)]
pub(super) struct Security {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<Tls>,
    pub(super) limits: ServingLimits,
}

/// The security of all kinds of clients.
#[derive(Debug)]
pub(super) struct SecurityByKind {
    standard: Arc<Security>,
    websocket: Arc<Security>,
}

impl SecurityByKind {
    fn new(
        access: &Access,
        tls: Option<&TlsSettings>,
        websocket: Option<&WebSocketSettings>,
        limits: ServingLimits,
        turns: &Arc<Turns>,
    ) -> Result<Arc<Self>, BrokerError> {
        let of = |kind, access, tls: Option<&TlsSettings>| {
            Ok::<_, BrokerError>(Arc::new(Security {
                authenticator: Authenticator::new(access, kind, Arc::clone(turns))?,
                tls: tls.map(Tls::new).transpose()?,
                limits,
            }))
        };
        // Without settings of their own no clients are let in: those of the others may let in more.
        let nobody = Access::Users(Users::default());
        let (websocket_access, websocket_tls) = websocket.map_or((&nobody, None), |settings| {
            (&settings.access, settings.tls.as_ref())
        });
        Ok(Arc::new(SecurityByKind {
            standard: of(ClientKind::Standard, access, tls)?,
            websocket: of(ClientKind::WebSocket, websocket_access, websocket_tls)?,
        }))
    }
}

/// Security that has changed since the start, if it has; it outlives a restart of the broker.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    security: watch::Sender<Option<Arc<SecurityByKind>>>,
    /// All clients, before a change and after it, wait for the same cores.
    turns: Arc<Turns>,
}

impl Default for Changed {
    fn default() -> Self {
        Changed {
            security: watch::Sender::new(None),
            turns: Turns::on_half_of_the_cores(),
        }
    }
}

impl Changed {
    /// Has all clients of the broker be served like this from now on.
    pub(super) fn replace(
        &self,
        access: &Access,
        tls: Option<&TlsSettings>,
        websocket: Option<&WebSocketSettings>,
        limits: ServingLimits,
    ) -> Result<(), BrokerError> {
        let security = SecurityByKind::new(access, tls, websocket, limits, &self.turns)?;
        self.security.send_replace(Some(security));
        Ok(())
    }
}

/// The security of one broker.
#[derive(Debug)]
pub(super) struct CurrentSecurity {
    at_start: Arc<SecurityByKind>,
    changed: Changed,
}

impl CurrentSecurity {
    pub(super) fn new(config: &BrokerConfig, changed: Changed) -> Result<Self, BrokerError> {
        let (tls, websocket) = (config.tls.as_ref(), config.websocket.as_ref());
        Ok(CurrentSecurity {
            at_start: SecurityByKind::new(
                &config.access,
                tls,
                websocket,
                config.serving_limits(),
                &changed.turns,
            )?,
            changed,
        })
    }

    /// How clients of a kind are served.
    pub(super) fn get(&self, kind: ClientKind) -> Arc<Security> {
        let changed = self.changed.security.borrow();
        let security = changed.as_ref().unwrap_or(&self.at_start);
        Arc::clone(match kind {
            ClientKind::Standard => &security.standard,
            ClientKind::WebSocket => &security.websocket,
        })
    }

    /// Learns of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Arc<SecurityByKind>>> {
        self.changed.security.subscribe()
    }
}
