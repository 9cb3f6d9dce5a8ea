//! Serving: an open broker looks after its streams and connections until it is to stop, or has let its clients go.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::accounts::Accounts;
use super::admission::Admission;
use super::closing::Closing;
use super::connections::Connections;
use super::jetstream::JetStream;
use super::outbound::OutputBudget;
use super::router::Router;
use super::security::CurrentSecurity;
use super::{BrokerConfig, BrokerControl, BrokerError, BrokerStats, Shared};

/// How long clients have to take what is queued for them when the broker stops.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// How long connections may take to end after that.
const LAST_MOMENTS: Duration = Duration::from_millis(200);
/// How long streams have to write what no client waits for when the broker stops.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// A broker whose streams are recovered, and which takes clients. Dropping it ends all of it at once, as a crash would.
pub(super) struct OpenBroker {
    shared: Arc<Shared>,
    streams: JoinSet<String>,
    control: BrokerControl,
}

impl OpenBroker {
    /// Recovers the streams of the data folder. The counters go to `stats`, and listeners with the same stats find the broker.
    ///
    /// # Errors
    /// When the data folder is in use or unusable.
    pub(super) async fn open(
        config: BrokerConfig,
        stats: &BrokerStats,
    ) -> Result<Self, BrokerError> {
        let control = stats.control();
        let counters = &stats.counters;
        let security = CurrentSecurity::new(&config, control.security.clone())?;
        let router = Arc::new(Router::new(Arc::clone(counters)));
        let mut streams = JoinSet::new();
        let jetstream = match config.jetstream {
            Some(_) => Some(
                JetStream::open(
                    &config,
                    Arc::clone(&router),
                    Arc::clone(counters),
                    &mut streams,
                )
                .await?,
            ),
            None => None,
        };
        let server_id = stats.server_id().to_owned();
        let admission = Admission::new(config.max_unauthenticated);
        let shared = Arc::new(Shared {
            admission: Arc::new(admission),
            outputs: Arc::new(OutputBudget::new(
                config.max_pending_bytes_total,
                Arc::clone(counters),
            )),
            config,
            security,
            server_id,
            accounts: Accounts::new(Arc::clone(&router), Arc::clone(counters)),
            router,
            jetstream,
            connections: Arc::new(Connections::new(Arc::clone(counters))),
            stats: Arc::clone(counters),
        });
        control.connect(&shared);
        Ok(OpenBroker {
            shared,
            streams,
            control,
        })
    }

    /// Serves until `stop` resolves, or until all clients are gone in lame duck mode.
    ///
    /// # Errors
    /// When a part of the broker fails for good.
    pub(super) async fn serve(mut self, stop: impl Future<Output = ()>) -> Result<(), BrokerError> {
        let outcome = self.tend(stop).await;
        self.wind_down().await;
        self.control.has_wound_down();
        outcome
    }

    async fn tend(&mut self, stop: impl Future<Output = ()>) -> Result<(), BrokerError> {
        let let_go = async {
            self.control.lame_duck().await;
            self.shared.connections.gone().await;
        };
        tokio::pin!(stop, let_go);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = &mut let_go => return Ok(()),
                ended = self.streams.join_next(), if !self.streams.is_empty() => stream_ended(ended)?,
            }
        }
    }

    /// Lets the clients have what is queued for them, then the streams write what they have.
    async fn wind_down(&mut self) {
        let connections = &self.shared.connections;
        connections.close_all(Closing::Shutdown);
        if timeout(FAREWELL, connections.gone()).await.is_err() {
            connections.end_all();
            let _ = timeout(LAST_MOMENTS, connections.gone()).await;
        }
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

impl Drop for OpenBroker {
    fn drop(&mut self) {
        self.shared.connections.end_all();
    }
}

fn stream_ended(ended: Option<Result<String, JoinError>>) -> Result<(), BrokerError> {
    match ended {
        Some(Err(error)) => Err(BrokerError::Crashed(error.to_string())),
        _ => Ok(()),
    }
}
