//! `bridge relay`: the relay as a program of its own. Its routes come from a file, from flags, or are the documented topics
//! both ways.

use std::{net::SocketAddr, path::PathBuf};

use bus::{BusUrl, KafkaSecurity, NatsServers, NatsSettings};
use clap::Args;
use runtime::{
    Fault, Prepared, Process, Program, Supervisor, ops,
    settings::{self, BROKER_TOKEN_FILE},
};

use super::{
    config::{BadRelay, OneRoute, RelayConfig, documented_between, read},
    report::RelayReport,
    route,
};

/// The file with the routes, as the operator knows the setting.
const FILE: &str = "--config (RELAY_CONFIG)";

/// The settings of the program `bridge relay`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The file with the routes, in TOML
    #[arg(long, env = "RELAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// A route by flags alone.
    #[command(flatten)]
    pub route: OneRoute,

    /// The brokers of Kafka, without routes: the documented topics are relayed, both ways
    #[arg(long, env, value_name = "HOST:PORT,...")]
    pub kafka_broker: Option<String>,

    /// What the brokers of Kafka are shown, unless a file has the routes.
    #[command(flatten)]
    pub kafka: KafkaSecurity,

    /// The servers of NATS, without routes
    #[arg(
        long,
        env,
        value_name = "URL",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: BusUrl,

    /// What the servers of NATS are shown, unless a file has the routes.
    #[command(flatten)]
    pub nats: NatsSettings,

    /// The folder in which a broker on this machine keeps its token
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    pub data_dir: PathBuf,

    /// Where health, metrics and the page for operators are served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:8223")]
    pub http_addr: SocketAddr,
}

impl Settings {
    /// The routes that the settings ask for.
    ///
    /// # Errors
    ///
    /// Which setting is wrong.
    pub fn routes(&self) -> Result<RelayConfig, Fault> {
        let given = [
            self.config.is_some(),
            self.route.is_given(),
            self.kafka_broker.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let reason = "give one of a file (`--config`), a route (`--from`, `--to`, `--subject`, `--topic`), or \
                `--kafka-broker` for the documented topics";
            return Err(Fault::bad_setting(FILE, reason));
        }
        if let Some(file) = &self.config {
            return read(file).map_err(|bad| Fault::bad_setting(FILE, bad));
        }
        let mut relay = match &self.kafka_broker {
            Some(brokers) => {
                if !brokers.split(',').all(has_port) {
                    let reason =
                        "each broker needs its port: give `host:port`, several separated by commas";
                    return Err(Fault::bad_setting(settings::name("kafka-broker"), reason));
                }
                documented_between(brokers, self.servers()?)
                    .map_err(|bad| wrong("kafka-broker", &bad))?
            }
            None => {
                let refused = |bad: BadRelay| Fault::bad_setting(bad.setting, bad.reason);
                let mut relay = self.route.relay().map_err(refused)?;
                for route in &mut relay.routes {
                    let url = BusUrl::Nats(route.nats.servers.clone());
                    if let BusUrl::Nats(servers) = self.with_credentials(url)? {
                        route.nats.servers = servers;
                    }
                }
                relay
            }
        };
        relay.secure_kafka(&self.kafka.properties()?);
        Ok(relay)
    }

    /// `url` with the credentials of the settings, or the token in the data folder, unless it has some.
    fn with_credentials(&self, url: BusUrl) -> Result<BusUrl, Fault> {
        let url = self.nats.applied_to(url)?;
        Ok(url.with_token_file(self.data_dir.join(BROKER_TOKEN_FILE)))
    }

    fn servers(&self) -> Result<NatsServers, Fault> {
        match self.with_credentials(self.nats_url.clone())? {
            BusUrl::Nats(servers) => Ok(servers),
            BusUrl::Kafka(_) => {
                let reason = "it is no server of NATS; give `nats://host:port`";
                Err(Fault::bad_setting(settings::name("nats-url"), reason))
            }
        }
    }
}

fn has_port(broker: &str) -> bool {
    let port = broker
        .trim()
        .rsplit_once(':')
        .map(|(_, port)| port.parse::<u16>());
    matches!(port, Some(Ok(1..=u16::MAX)))
}

fn wrong(setting: &str, bad: &BadRelay) -> Fault {
    Fault::bad_setting(settings::name(setting), bad)
}

impl Program for Settings {
    const NAME: &'static str = "bridge relay";
    const ABOUT: &'static str = "Marquee's relay between Kafka and NATS";
    const HAS_GRPC: bool = false;

    fn health_addr(&self) -> SocketAddr {
        self.http_addr
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let routes = self.routes()?;
        let ops = settings::bind("http-addr", self.http_addr)?;
        let welcome = format!("relay: {}", routes.summary());
        let run = |process| run(routes, process);
        Ok(Prepared::new(ops).service("relay", run).welcome(welcome))
    }
}

/// Runs the routes until the process stops them.
///
/// ```text
/// relay
///   └ route-…   …-dead-letters, …-sink, …-pipeline, …-source
/// ```
///
/// # Errors
///
/// If an actor cannot be kept alive.
pub async fn run(config: RelayConfig, process: Process) -> Result<(), Fault> {
    process.certificates.watch(config.certificate_files());
    let supervisor = Supervisor::new("relay", &process);
    let reports = route::start(&supervisor, &config);
    RelayReport::new(reports).show(&process.registry);
    let outcome = ops::until_stopped(&supervisor, &process).await;
    let time_left = process.shutdown.time_left();
    supervisor.stop_side_by_side(time_left).await;
    outcome
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn routes(flags: &[&str]) -> Result<RelayConfig, Fault> {
        let flags = ["relay"].iter().chain(flags);
        Cli::try_parse_from(flags).unwrap().settings.routes()
    }

    const ONE: [&str; 8] = [
        "--from",
        "nats://127.0.0.1",
        "--to",
        "kafka://127.0.0.1",
        "--subject",
        "films",
        "--topic",
        "films",
    ];

    #[test]
    fn a_route_by_flags_shows_the_token_of_the_settings() {
        // The server may be another one's, with a token as short as they like.
        let token = ["--nats-token", "s3cr3t"];
        let shows = |flags: &[&str]| {
            let relay = routes(flags).unwrap();
            relay.routes[0].nats.servers.has_credentials()
        };
        assert!(!shows(&ONE));
        assert!(shows(&[&ONE[..], &token, &["--data-dir", "none"]].concat()));
    }

    #[test]
    fn routes_come_from_one_place() {
        let documented = routes(&["--kafka-broker", "k1:9092"]).unwrap().summary();
        assert_eq!(documented, "10 routes between Kafka and NATS");
        let one = routes(&ONE).unwrap().summary();
        assert_eq!(one, "1 route between Kafka and NATS");
        for flags in [
            &[][..],
            &[&ONE[..], &["--kafka-broker", "k1:9092"]].concat(),
        ] {
            let refusal = routes(flags).unwrap_err();
            assert_eq!(refusal.exit_code(), 64);
            assert!(
                refusal.to_string().contains("give one of a file"),
                "{refusal}"
            );
        }
        for brokers in ["k1", "k1:9092,k2", "[::1]", "k1:0"] {
            let refusal = routes(&["--kafka-broker", brokers]).unwrap_err();
            let refusal = refusal.to_string();
            assert!(
                refusal.starts_with("--kafka-broker (KAFKA_BROKER): each broker needs its port"),
                "{brokers}: {refusal}"
            );
        }
        let refusal = routes(&["--from", "nats://n1"]).unwrap_err().to_string();
        assert_eq!(refusal, "--to: it is needed for a route by flags");
    }
}
