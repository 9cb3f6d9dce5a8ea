//! Which clients are served and how they are spoken to: what of the settings changes while the broker serves.
//!
//! It is replaced as a whole. Each session learns of it and looks again at its own client.

use std::sync::Arc;

use tokio::sync::watch;

use super::access::Access;
use super::authentication::Authenticator;
use super::tls::{Tls, TlsSettings};
use super::{BrokerConfig, BrokerError};

/// The users and TLS of a broker, ready for clients.
#[derive(Debug)]
pub(super) struct Security {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<Tls>,
}

impl Security {
    fn new(access: &Access, tls: Option<&TlsSettings>) -> Result<Arc<Self>, BrokerError> {
        Ok(Arc::new(Security {
            authenticator: Authenticator::new(access)?,
            tls: tls.map(Tls::new).transpose()?,
        }))
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
    ) -> Result<(), BrokerError> {
        let security = Security::new(access, tls)?;
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
        Ok(CurrentSecurity {
            at_start: Security::new(&config.access, config.tls.as_ref())?,
            changed,
        })
    }

    pub(super) fn get(&self) -> Arc<Security> {
        let changed = self.changed.0.borrow().clone();
        changed.unwrap_or_else(|| Arc::clone(&self.at_start))
    }

    /// Learns of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<Option<Arc<Security>>> {
        self.changed.0.subscribe()
    }
}
