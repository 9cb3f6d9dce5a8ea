//! What bus and relay show an Apache Kafka that wants passwords or certificates. In a build without `bus/kafka-tls` there
//! is only the mechanism PLAIN over a plain connection.

use std::{iter, path::Path, time::Duration};

use bus::{BusSettings, Event, KafkaSecurity, Producer};
use clap::Parser;
use runtime::{Process, Supervisor};
use testkit::{eventually, server};

use crate::{
    cases::{publish_all, send_all},
    scene::Pair,
};

/// How many records each route carries.
const RECORDS: usize = 20;

const PLAIN: &str = "--kafka-security-protocol sasl_plaintext --kafka-user marquee --kafka-password-file FOLDER/PLAIN.password";
const CERTIFICATE: &str = "--kafka-security-protocol ssl --kafka-ca-file FOLDER/ca.pem --kafka-cert-file FOLDER/client.pem \
                           --kafka-key-file FOLDER/client.key";

/// What is shown over TLS, by the name of the mechanism.
fn sasl_over_tls(mechanism: &str) -> String {
    format!(
        "--kafka-security-protocol sasl_ssl --kafka-sasl-mechanism {mechanism} --kafka-user marquee \
         --kafka-password-file FOLDER/{mechanism}.password --kafka-ca-file FOLDER/ca.pem"
    )
}

/// The settings of a program.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    kafka: KafkaSecurity,
}

/// The listeners of the server, and the folder with all that clients may show.
struct Secured {
    sasl: String,
    sasl_over_tls: String,
    tls: String,
    folder: String,
}

impl Secured {
    /// `None` if the environment does not name the server.
    fn find() -> Option<Self> {
        let places = server("TEST_KAFKA_SECURED")?;
        let mut places = places.split(' ').map(str::to_owned);
        let mut next = || places.next().unwrap();
        Some(Self {
            sasl: next(),
            sasl_over_tls: next(),
            tls: next(),
            folder: next(),
        })
    }

    /// What `flags` mean; none if it is not built in.
    fn settings(&self, flags: &str) -> Option<KafkaSecurity> {
        let flags = flags.replace("FOLDER", &self.folder);
        let flags = iter::once("test").chain(flags.split_whitespace());
        let settings = Settings::parse_from(flags).kafka;
        settings.properties().is_ok().then_some(settings)
    }
}

/// The cluster `kafka.secured`, and a route in either direction.
fn routes(broker: &str, settings: &KafkaSecurity) -> String {
    let mut properties = settings.properties().unwrap();
    let password = properties.remove("sasl.password");
    let file = password.and(settings.kafka_password_file.as_ref());
    let file = file.map_or(String::new(), |file| format!("password_file = {file:?}"));
    let properties: Vec<_> = properties
        .iter()
        .map(|(name, value)| format!("{name:?} = {value:?}"))
        .collect();
    format!(
        r#"
[kafka.secured]
brokers = "{broker}"
properties = {{ {} }}
{file}

[[routes]]
name = "PREFIX-there"
from = "kafka.secured"
to = "nats.n"
topic = "PREFIX-topic"
subject = "PREFIX-topic"

[[routes]]
name = "PREFIX-back"
from = "nats.n"
to = "kafka.secured"
subject = "PREFIX-subject"
topic = "PREFIX-away"
create = true
"#,
        properties.join(", ")
    )
}

/// A producer of the bus.
struct Service {
    process: Process,
    supervisor: Supervisor,
    producer: Producer,
}

impl Service {
    fn start(broker: &str, settings: &KafkaSecurity, topic: &str) -> Self {
        let settings = BusSettings {
            event_bus: Some(format!("kafka://{broker}").parse().unwrap()),
            kafka: settings.clone(),
            ..BusSettings::default()
        };
        let bus = settings.bus(Path::new("there is none")).unwrap();
        let process = Process::new();
        let supervisor = Supervisor::new("test", &process);
        let group = supervisor.group("bus");
        Self {
            producer: Producer::start(&group, "producer", &bus, &[topic]),
            process,
            supervisor,
        }
    }

    async fn stop(self) {
        self.supervisor.stop(Duration::from_secs(10)).await;
    }
}

/// Whether the page of the actors says `words`.
fn says(process: &Process, words: &str) -> bool {
    format!("{:?}", process.registry.actors()).contains(words)
}

#[actix::test]
async fn records_are_carried() {
    let Some(secured) = Secured::find() else {
        return;
    };
    let Secured {
        sasl,
        sasl_over_tls: over_tls,
        tls,
        ..
    } = &secured;
    for (broker, flags) in [
        (sasl, PLAIN.to_owned()),
        (
            sasl,
            PLAIN.replace("PLAIN.", "SCRAM-SHA-256.") + " --kafka-sasl-mechanism SCRAM-SHA-256",
        ),
        (over_tls, sasl_over_tls("PLAIN")),
        (over_tls, sasl_over_tls("SCRAM-SHA-256")),
        (over_tls, sasl_over_tls("SCRAM-SHA-512")),
        (tls, CERTIFICATE.to_owned()),
    ] {
        let Some(settings) = secured.settings(&flags) else {
            continue;
        };
        let Some(pair) = Pair::of(true, false).await else {
            return;
        };
        let (topic, subject, away) = (pair.name("topic"), pair.name("subject"), pair.name("away"));
        pair.kafka.create_topic(&topic).await;
        pair.nats.create_stream(&topic, &topic).await;
        pair.nats.create_stream(&subject, &subject).await;
        send_all(&pair, 0..RECORDS).await;
        publish_all(&pair, 0..RECORDS).await;
        let relay = pair.relay(&routes(broker, &settings));
        let service = Service::start(broker, &settings, &topic);
        let event = Event {
            topic: topic.clone(),
            key: "7".into(),
            payload: b"{}".to_vec(),
            headers: Vec::new(),
        };
        service.producer.publish(vec![event]).await.unwrap();
        eventually(&format!("all have arrived by {flags}"), async || {
            pair.nats.count(&topic).await == RECORDS as u64 + 1
                && relay.is_ready()
                && pair.kafka.read(&away).await.len() == RECORDS
        })
        .await;
        service.stop().await;
        relay.stop().await;
    }
}

#[actix::test]
async fn what_keeps_clients_out_is_told() {
    let Some(secured) = Secured::find() else {
        return;
    };
    let Secured {
        sasl,
        sasl_over_tls: over_tls,
        tls,
        ..
    } = &secured;
    let scram = sasl_over_tls("SCRAM-SHA-512");
    let (password, refused) = (
        "Authentication failed",
        "the broker refuses the certificate",
    );
    for (broker, flags, told) in [
        (sasl, PLAIN.replace("PLAIN.", "wrong."), password),
        (
            over_tls,
            scram.replace("SCRAM-SHA-512.", "wrong."),
            password,
        ),
        (
            over_tls,
            scram.replace("ca.pem", "other-ca.pem"),
            "is of an authority that KAFKA_CA_FILE",
        ),
        (tls, CERTIFICATE.replace("client.", "expired."), refused),
        (tls, CERTIFICATE.replace("client.", "stranger."), refused),
    ] {
        let Some(settings) = secured.settings(&flags) else {
            continue;
        };
        let Some(pair) = Pair::of(true, false).await else {
            return;
        };
        let relay = pair.relay(&routes(broker, &settings));
        let service = Service::start(broker, &settings, &pair.name("topic"));
        eventually(&format!("{told} by {flags}"), async || {
            says(&relay.process, told) && says(&service.process, told)
        })
        .await;
        service.stop().await;
        relay.stop().await;
    }
}
