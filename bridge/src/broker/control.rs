//! The way to a running broker from outside of it: what can change while it serves, and when it lets its clients go.
//!
//! It outlives restarts of the broker: what was changed stays changed.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::system_account::SystemNotices;
use super::tls::TlsSettings;
use super::websocket::WebSocketSettings;
use super::{Access, BrokerError, ServingLimits, Shared, security};

/// The way to a running broker from outside of it; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BrokerControl {
    lame_duck: CancellationToken,
    gone: CancellationToken,
    /// The broker that serves.
    broker: watch::Sender<Weak<Shared>>,
    pub(super) security: security::Changed,
    pub(super) notices: SystemNotices,
}

impl BrokerControl {
    /// Has the broker accept no more clients, let those that it has go over a while, and end.
    pub fn enter_lame_duck_mode(&self) {
        self.lame_duck.cancel();
    }

    /// Whether the broker was asked to let its clients go.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck.is_cancelled()
    }

    /// Waits until the broker is asked to let its clients go.
    pub(super) async fn lame_duck(&self) {
        self.lame_duck.cancelled().await;
    }

    /// Waits until a broker in lame duck mode has let its clients go and has written all it has.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Takes note that a broker has ended.
    pub(super) fn has_wound_down(&self) {
        if self.is_lame_duck() {
            self.gone.cancel();
        }
    }

    /// Has the broker serve other users, or in another way or within other limits, from now on. A client whose user is gone or has another password
    /// is closed; one whose user may do less loses the subscriptions that it may no longer have. Without `websocket` nobody is let in
    /// by websocket.
    ///
    /// # Errors
    /// When the users or TLS cannot be as the settings have them; then all stays as it is.
    pub fn change_security(
        &self,
        access: &Access,
        tls: Option<&TlsSettings>,
        websocket: Option<&WebSocketSettings>,
        limits: ServingLimits,
    ) -> Result<(), BrokerError> {
        self.security.replace(access, tls, websocket, limits)
    }

    /// Leads to this broker from now on.
    pub(super) fn connect(&self, broker: &Arc<Shared>) {
        self.broker.send_replace(Arc::downgrade(broker));
    }

    /// Waits until a broker serves that does not end.
    pub(super) async fn serving(&self) -> Arc<Shared> {
        let mut brokers = self.broker.subscribe();
        loop {
            let broker = brokers.borrow_and_update().upgrade();
            if let Some(broker) = broker.filter(|broker| broker.connections.is_open()) {
                return broker;
            }
            // It cannot fail while there is this sender.
            let _ = brokers.changed().await;
        }
    }

    /// The broker that serves.
    pub(super) fn broker(&self) -> Option<Arc<Shared>> {
        self.broker.borrow().upgrade()
    }
}
