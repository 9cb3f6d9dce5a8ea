//! How many events of a topic wait for a consumer: asked of the broker now and then, beside the work.

use std::{future::Future, time::Duration};

use runtime::metrics::{Description, Gauge, Metrics};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{BusUrl, Subscription};

/// How often the broker is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long the answer may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// For how long an answer is the present state.
const LASTING: Duration = Duration::from_secs(15);

/// Shows how many events wait for the consumers of a subscription; unknown until it is asked for.
pub(crate) fn lag_gauge(metrics: &Metrics, url: &BusUrl, subscription: &Subscription) -> Gauge {
    let bus = match url {
        BusUrl::Kafka(_) => "kafka",
        BusUrl::Nats(_) => "nats",
    };
    metrics.gauge(&Description {
        name: "marquee_consumer_lag_messages",
        help: "Events that are not settled: over Kafka those of the partitions that this consumer has, over NATS those of its group.",
        constant: &[
            ("bus", bus),
            ("topic", &subscription.topic),
            ("group", &subscription.group),
        ],
        labels: &[],
    })
}

/// Asks the broker how much waits, no more often than every few seconds. Nothing waits for the answer.
pub(crate) struct LagProbe {
    gauge: Gauge,
    due: Instant,
    asking: Option<JoinHandle<()>>,
}

impl LagProbe {
    /// A probe that tells `gauge`.
    pub(crate) fn new(gauge: Gauge) -> Self {
        Self {
            gauge,
            due: Instant::now(),
            asking: None,
        }
    }

    /// Asks, unless that was done a short while ago. To be called whenever there is occasion to.
    pub(crate) fn look<F>(&mut self, ask: impl FnOnce() -> F)
    where
        F: Future<Output = Option<u64>> + Send + 'static,
    {
        let now = Instant::now();
        let is_asking = self.asking.as_ref().is_some_and(|task| !task.is_finished());
        if now < self.due || is_asking {
            return;
        }
        self.due = now + INTERVAL;
        let (asked, gauge) = (ask(), self.gauge.clone());
        self.asking = Some(tokio::spawn(async move {
            match timeout(DEADLINE, asked).await {
                Ok(Some(lag)) => gauge.set_for(lag as f64, LASTING),
                Ok(None) | Err(_) => gauge.clear(),
            }
        }));
    }
}

impl Drop for LagProbe {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
        self.gauge.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_broker_is_asked_now_and_then_and_what_it_does_not_say_is_unknown() {
        let gauge = Gauge::default();
        let mut probe = LagProbe::new(gauge.clone());
        probe.look(|| async { Some(7) });
        probe.look(|| async { unreachable!("too soon") });
        tokio::time::sleep(INTERVAL).await;
        assert_eq!(gauge.value(), Some(7.0));
        probe.look(|| async { None });
        tokio::time::sleep(INTERVAL).await;
        assert_eq!(gauge.value(), None);
        probe.look(|| async { Some(8) });
        tokio::time::sleep(INTERVAL).await;
        assert_eq!(gauge.value(), Some(8.0));
        probe.look(std::future::pending);
        tokio::time::sleep(INTERVAL).await;
        assert_eq!(gauge.value(), None, "there was no answer");
    }
}
