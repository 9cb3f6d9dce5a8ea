//! A connection to NATS for one session: what is on its way when it is lost is lost with it, so the session ends then.

use std::time::Duration;

use async_nats::{
    Client, Event,
    jetstream::{self, Context},
};
use tokio::{sync::watch, time::timeout};

use super::super::{config::NatsCluster, flow::Interruption};

/// How long connecting, or an answer, may take.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    losses: watch::Receiver<u64>,
}

impl Connection {
    pub(super) async fn open(cluster: &NatsCluster, name: &str) -> Result<Self, Interruption> {
        let addresses = bus::clients::nats_addresses(&cluster.servers);
        let addresses = addresses.map_err(Interruption::unavailable)?;
        let (lose, losses) = watch::channel(0);
        let connecting = bus::clients::nats_credentials(&cluster.servers)
            .name(format!("marquee-{name}"))
            .ping_interval(Duration::from_secs(2))
            .request_timeout(Some(ANSWER_DEADLINE))
            .subscription_capacity(1 << 16)
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed | Event::SlowConsumer(_) => {
                        lose.send_modify(|losses| *losses += 1);
                    }
                    other => tracing::debug!(event = %other, "the NATS client says: {other}"),
                }
                async {}
            })
            .connect(addresses);
        let client = match timeout(ANSWER_DEADLINE, connecting).await {
            Ok(connected) => connected.map_err(Interruption::unavailable)?,
            Err(_) => return Err(Interruption::unavailable("NATS does not answer in time")),
        };
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER_DEADLINE);
        Ok(Self {
            client,
            jetstream,
            losses,
        })
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) -> Interruption {
        let mut losses = self.losses.clone();
        losses.wait_for(|losses| *losses > 0).await.ok();
        Interruption::unavailable("the connection to NATS is lost")
    }
}
