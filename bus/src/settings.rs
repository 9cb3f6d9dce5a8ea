use clap::Args;
use runtime::{Fault, settings};

use super::BusUrl;

/// Which event bus to use, the same settings for every program.
#[derive(Debug, Clone, Default, Args)]
pub struct BusSettings {
    /// The event bus: nats://HOST:PORT or kafka://HOST:PORT [default: the broker of this machine]
    #[arg(long, env = "EVENT_BUS", value_name = "URL", hide_env_values = true)]
    pub event_bus: Option<BusUrl>,

    /// A Kafka broker; without EVENT_BUS it is the event bus
    #[arg(long, env = "KAFKA_BROKER", value_name = "HOST:PORT")]
    pub kafka_broker: Option<String>,
}

impl BusSettings {
    /// The event bus that was asked for, if any was.
    ///
    /// # Errors
    ///
    /// If `kafka_broker` has to be it and is none.
    pub fn chosen(&self) -> Result<Option<BusUrl>, Fault> {
        match (&self.event_bus, &self.kafka_broker) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(broker)) => match format!("kafka://{broker}").parse() {
                Ok(url) => Ok(Some(url)),
                Err(e) => {
                    let setting = settings::name("kafka-broker", "KAFKA_BROKER");
                    Err(Fault::bad_setting(setting, e))
                }
            },
            (None, None) => Ok(None),
        }
    }

    /// The event bus: the one that was asked for, or the broker on its usual loopback address.
    ///
    /// # Errors
    ///
    /// As for [`chosen`](Self::chosen).
    pub fn url(&self) -> Result<BusUrl, Fault> {
        Ok(self.chosen()?.unwrap_or_else(|| {
            "nats://127.0.0.1:4222"
                .parse()
                .expect("the default address is a bus")
        }))
    }
}

impl From<BusUrl> for BusSettings {
    fn from(url: BusUrl) -> Self {
        Self {
            event_bus: Some(url),
            kafka_broker: None,
        }
    }
}
