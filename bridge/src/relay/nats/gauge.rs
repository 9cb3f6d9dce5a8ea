//! Tells how many messages wait for a route, also while the route has no session: by a connection of its own then, and by
//! the consumer of the session as soon as there is one.

use async_nats::jetstream::consumer::PullConsumer;
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{
    super::flow::{Gauge, Interruption},
    connection::Connection,
    consumers::Earlier,
    source::Reading,
};

/// What waits in the stream of a route.
pub(super) struct NatsGauge {
    reading: Reading,
    asked: Mutex<Option<Asked>>,
}

/// What is asked.
struct Asked {
    connection: Connection,
    /// The consumer of the session, if there is or was one.
    consumer: Option<PullConsumer>,
}

impl NatsGauge {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            reading,
            asked: Mutex::default(),
        }
    }

    /// Asks `consumer` from now on, unless a question is on its way.
    pub(super) fn read_by(&self, connection: Connection, consumer: PullConsumer) {
        if let Ok(mut asked) = self.asked.try_lock() {
            let consumer = Some(consumer);
            *asked = Some(Asked {
                connection,
                consumer,
            });
        }
    }

    /// What the latest consumer of the route has not acknowledged. Before there is one it is all of a stream that has no
    /// other subjects than the route.
    async fn measure(&self, asked: &mut Asked) -> Result<Option<u64>, Interruption> {
        let known = match &asked.consumer {
            Some(consumer) => consumer.get_info().await.ok(),
            None => None,
        };
        let info = match known {
            Some(info) => info,
            // Another session may have another consumer.
            None => {
                let (_, stream) = asked.connection.read_stream(&self.reading, false).await?;
                let durable = &self.reading.durable;
                let earlier = Earlier::find(&stream, durable).await?;
                let Some(latest) = earlier.latest(durable) else {
                    let info = stream.cached_info();
                    let has_others = info.config.subjects != self.reading.subjects;
                    return Ok((!has_others).then_some(info.state.messages));
                };
                let latest = stream.get_consumer(&latest).await;
                let latest: PullConsumer = latest.map_err(Interruption::unavailable)?;
                asked.consumer.insert(latest).cached_info().clone()
            }
        };
        let handed_out = u64::try_from(info.num_ack_pending).unwrap_or_default();
        Ok(Some(info.num_pending + handed_out))
    }
}

#[async_trait]
impl Gauge for NatsGauge {
    async fn lag(&self) -> Result<Option<u64>, Interruption> {
        let mut kept = self.asked.lock().await;
        let mut asked = match kept.take() {
            Some(asked) => asked,
            None => Asked {
                connection: Connection::open(&self.reading.cluster, &self.reading.durable).await?,
                consumer: None,
            },
        };
        // A connection that does not answer is replaced by another one.
        let lag = self.measure(&mut asked).await?;
        *kept = Some(asked);
        Ok(lag)
    }
}
