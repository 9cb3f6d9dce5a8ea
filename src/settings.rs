//! The settings of the whole system in one program, and what each service gets of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use accounts::config::AccountsSettings;
use bridge::relay::config::{self, RelayConfig};
use bus::{BusSettings, BusUrl};
use clap::{ArgMatches, Args};
use runtime::{
    CommonSettings, Fault, KeyNeed, Prepared, Program, ServiceAddress,
    settings::{
        BROKER_TOKEN_FILE, Claimed, Open, Token, bind, bind_open, claim_folder, name, reachable,
    },
    tls::{CertificateFile, Holds, IsRead},
};
use storage::DatabaseUrl;
use web::{PagesConfig, VisitorSource};

use crate::{
    backup::{self, Kept},
    doctor::{self, Examined},
};

/// The settings of the program `marquee`.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) pages: PagesConfig,

    /// Where the Recommendations gRPC service is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    grpc_addr: SocketAddr,

    /// Where the Catalog gRPC service is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50052")]
    catalog_grpc_addr: SocketAddr,

    /// Where the Accounts gRPC service is served
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:50053")]
    accounts_grpc_addr: SocketAddr,

    /// Where the embedded NATS-compatible broker listens
    #[arg(long, env, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    nats_addr: SocketAddr,

    /// The folder for what is kept: SQLite databases, the broker's streams, a generated secret key
    #[arg(long, env, value_name = "FOLDER", default_value = "./data")]
    data_dir: PathBuf,

    #[command(flatten)]
    bus: BusSettings,

    /// The brokers of a Kafka with which the documented topics are exchanged, both ways, while the event bus is NATS
    /// [default: KAFKA_BROKER, if EVENT_BUS is NATS]
    #[arg(long, env, value_name = "HOST:PORT,...")]
    relay_kafka: Option<String>,

    /// Other routes between Kafka and NATS: a file as for `bridge relay --config`
    #[arg(long, env, value_name = "FILE")]
    relay_config: Option<PathBuf>,

    #[command(flatten)]
    retention: bridge::config::RetentionSettings,

    /// The catalog's database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/NAME [default:
    /// movies.db in the data folder]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    movies_database_url: Option<DatabaseUrl>,

    /// The recommendations' database, as above [default: recommendations.db in the data folder]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    recommendations_database_url: Option<DatabaseUrl>,

    /// The accounts' database, as above [default: accounts.db in the data folder]
    #[arg(long, env, value_name = "URL", hide_env_values = true)]
    accounts_database_url: Option<DatabaseUrl>,

    #[command(flatten)]
    accounts: AccountsSettings,

    /// Another recommendations service for the catalog to ask, or consul://SERVICE [default: the one in this program]
    #[arg(
        long,
        env,
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_051)
    )]
    recommendations_host: Option<ServiceAddress>,
}

impl Settings {
    /// The routes between `bus` and Kafka, if any are asked for.
    fn relay(&self, bus: &BusUrl) -> Result<Option<RelayConfig>, Fault> {
        if let Some(file) = &self.relay_config {
            if self.relay_kafka.is_some() {
                let reason = "the file has the routes already: leave out RELAY_KAFKA";
                return Err(Fault::bad_setting(name("relay-config"), reason));
            }
            let routes = config::read(file);
            return routes
                .map(Some)
                .map_err(|bad| Fault::bad_setting(name("relay-config"), bad));
        }
        let both = self.bus.kafka_broker.as_ref();
        let (setting, brokers, bus) = match (&self.relay_kafka, both, bus) {
            (Some(brokers), _, BusUrl::Nats(servers)) => ("relay-kafka", brokers, servers),
            (None, Some(brokers), BusUrl::Nats(servers)) => ("kafka-broker", brokers, servers),
            (Some(_), _, BusUrl::Kafka(_)) => {
                let reason =
                    "the event bus is Kafka itself; records are exchanged between it and NATS";
                return Err(Fault::bad_setting(name("relay-kafka"), reason));
            }
            (None, _, _) => return Ok(None),
        };
        let mut routes = config::documented_between(brokers, bus.clone())
            .map_err(|bad| Fault::bad_setting(name(setting), bad))?;
        routes.secure_kafka(&self.bus.kafka.properties()?);
        Ok(Some(routes))
    }

    /// What is kept in files, for a backup.
    ///
    /// # Errors
    ///
    /// If a database is not a file.
    fn kept(&self) -> Result<Kept, Fault> {
        let file = |flag, url: &Option<DatabaseUrl>, usual: &str| match url {
            None => Ok(self.data_dir.join(usual)),
            Some(DatabaseUrl::Sqlite(path)) => Ok(in_folder(path, &self.data_dir, usual)),
            Some(url @ DatabaseUrl::Mysql(_)) => {
                let reason = format!(
                    "{url} is a MySQL database: back it up and restore it with MySQL's own tools, all databases from one time \
                     (docs/OPERATIONS.md, \"Back up and restore\")"
                );
                Err(Fault::bad_setting(name(flag), reason))
            }
        };
        Ok(Kept {
            movies: file(
                "movies-database-url",
                &self.movies_database_url,
                backup::MOVIES,
            )?,
            recommendations: file(
                "recommendations-database-url",
                &self.recommendations_database_url,
                backup::RECOMMENDATIONS,
            )?,
            accounts: file(
                "accounts-database-url",
                &self.accounts_database_url,
                backup::ACCOUNTS,
            )?,
            data_dir: self.data_dir.clone(),
        })
    }

    /// What `doctor` looks at.
    fn examined<'a>(&'a self, common: &'a CommonSettings) -> Examined<'a> {
        let file = |url: &Option<DatabaseUrl>, usual: &str| {
            let usual = || DatabaseUrl::Sqlite(self.data_dir.join(usual));
            url.clone().unwrap_or_else(usual)
        };
        let mut addresses = vec![
            ("http-addr", self.pages.http_addr),
            ("grpc-addr", self.grpc_addr),
            ("catalog-grpc-addr", self.catalog_grpc_addr),
            ("accounts-grpc-addr", self.accounts_grpc_addr),
        ];
        addresses.extend(self.pages.ops.ops_addr.map(|address| ("ops-addr", address)));
        let mut buses = Vec::new();
        let bus = self.bus.chosen();
        match &bus {
            Ok(None) => addresses.push(("nats-addr", self.nats_addr)),
            Ok(Some(url)) => {
                let token = self.data_dir.join(BROKER_TOKEN_FILE);
                buses.push(("event bus", url.clone().with_token_file(token)));
            }
            Err(_) => {}
        }
        // A relay whose routes are in a file has brokers and credentials of its own there.
        let relayed = self.relayed_kafka(matches!(bus, Ok(Some(BusUrl::Nats(_)))));
        buses.extend(relayed.map(|url| (doctor::RELAY, url)));
        let chosen = bus.as_ref().ok().and_then(Option::as_ref);
        let certificates = self.certificate_files(chosen, common);
        let mut faults = common.faults(Self::GRPC_SERVERS);
        faults.extend(self.faults(bus));
        Examined {
            faults: faults.iter().map(ToString::to_string).collect(),
            certificates,
            common,
            grpc_servers: Self::GRPC_SERVERS,
            buses,
            recommendations_host: self.recommendations_host.as_ref(),
            data_dir: self.data_dir.clone(),
            movies: file(&self.movies_database_url, backup::MOVIES),
            recommendations: file(&self.recommendations_database_url, backup::RECOMMENDATIONS),
            accounts: file(&self.accounts_database_url, backup::ACCOUNTS),
            addresses,
            health: self.health_addr(),
        }
    }

    /// The brokers of Kafka with which the documented topics are exchanged, if they are named by a setting that can be used.
    fn relayed_kafka(&self, is_nats_elsewhere: bool) -> Option<BusUrl> {
        let both = self.bus.kafka_broker.as_ref();
        let both = both.filter(|_| is_nats_elsewhere);
        let brokers = self.relay_kafka.as_ref().or(both)?;
        let mut url: BusUrl = format!("kafka://{brokers}").parse().ok()?;
        if let BusUrl::Kafka(brokers) = &mut url {
            brokers.secure(self.bus.kafka.properties().ok()?);
        }
        Some(url)
    }

    /// The files of certificates that the program uses, each once.
    fn certificate_files(
        &self,
        bus: Option<&BusUrl>,
        common: &CommonSettings,
    ) -> Vec<CertificateFile> {
        let of_pages = self.pages.http.http_cert_file.as_ref();
        let of_pages = of_pages.map(|path| CertificateFile {
            setting: "HTTP_CERT_FILE".to_owned(),
            path: path.clone(),
            holds: Holds::Chain,
            is_read: IsRead::EachTime,
        });
        let mut files: Vec<_> = of_pages.into_iter().collect();
        files.extend(common.certificate_files());
        let embedded = || format!("nats://{}", self.nats_addr).parse().ok();
        if let Some(bus) = bus.cloned().or_else(embedded) {
            files.extend(bus.certificate_files());
            // What is wrong with its settings is told elsewhere.
            let relay = self.relay(&bus).ok().flatten().unwrap_or_default();
            for file in relay.certificate_files() {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        files
    }

    /// All that is wrong with the settings of this program alone, as far as that can be known without starting anything.
    fn faults(&self, bus: Result<Option<BusUrl>, Fault>) -> Vec<Fault> {
        let checks = [
            self.pages.http.tls().map(drop),
            self.pages.visitors().map(drop),
            self.check_bus(bus),
            self.check_databases_differ(),
            self.accounts.outside().map(drop),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    fn check_bus(&self, bus: Result<Option<BusUrl>, Fault>) -> Result<(), Fault> {
        let embedded = || format!("nats://{}", self.nats_addr).parse::<BusUrl>();
        let bus = match bus? {
            Some(bus) => bus,
            None => {
                self.check_embedded()?;
                if let Some(token) = &self.bus.nats.nats_token {
                    let token: Result<Token, String> = token.expose().parse();
                    token.map_err(|error| Fault::bad_setting(name("nats-token"), error))?;
                }
                embedded().map_err(|error| Fault::bad_setting(name("nats-addr"), error))?
            }
        };
        self.relay(&bus).map(drop)
    }

    /// Refuses what has no meaning for the embedded broker.
    fn check_embedded(&self) -> Result<(), Fault> {
        let files = &self.bus.nats.files;
        let given = [
            ("nats-creds-file", &files.nats_creds_file),
            ("nats-nkey-file", &files.nats_nkey_file),
            ("nats-ca-file", &files.nats_ca_file),
            ("nats-cert-file", &files.nats_cert_file),
            ("nats-key-file", &files.nats_key_file),
        ];
        let given = given.iter().find(|(_, file)| file.is_some());
        given.map_or(Ok(()), |(flag, _)| {
            let reason =
                "is for servers of NATS elsewhere: name them in EVENT_BUS, or leave it out";
            Err(Fault::bad_setting(name(flag), reason))
        })
    }

    fn check_databases_differ(&self) -> Result<(), Fault> {
        let databases = [
            ("movies-database-url", &self.movies_database_url),
            (
                "recommendations-database-url",
                &self.recommendations_database_url,
            ),
            ("accounts-database-url", &self.accounts_database_url),
        ];
        for (place, (flag, url)) in databases.iter().enumerate() {
            let mut others = databases.iter().skip(place + 1);
            let same = others.find(|(_, other)| url.is_some() && url == other);
            if let Some((other, _)) = same {
                let other = name(other);
                let reason = format!("is the same database as {other}; each needs its own");
                return Err(Fault::bad_setting(name(flag), reason));
            }
        }
        Ok(())
    }

    /// Finds out now what would otherwise end the program after it has begun.
    fn check_databases(&self) -> Result<(), Fault> {
        self.check_databases_differ()?;
        let databases = [
            ("movies-database-url", &self.movies_database_url),
            (
                "recommendations-database-url",
                &self.recommendations_database_url,
            ),
            ("accounts-database-url", &self.accounts_database_url),
        ];
        for (flag, url) in databases {
            if let Some(url) = url {
                storage::probe(&name(flag), url)?;
            }
        }
        if std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
            tracing::warn!(
                "DATABASE_URL is not used here: MOVIES_DATABASE_URL, RECOMMENDATIONS_DATABASE_URL and ACCOUNTS_DATABASE_URL are"
            );
        }
        Ok(())
    }
}

/// The path of a database: as in the data folder if that is where it leads to.
fn in_folder(path: &Path, folder: &Path, name: &str) -> PathBuf {
    let usual = folder.join(name);
    let same = match (path.canonicalize(), usual.canonicalize()) {
        (Ok(path), Ok(usual)) => path == usual,
        _ => path == usual,
    };
    if same { usual } else { path.to_owned() }
}

impl Program for Settings {
    const NAME: &'static str = "marquee";
    const ABOUT: &'static str = "A film catalog with live keyword recommendations, whole in one program\n\n\
        Every setting is a flag and an environment variable. Without any, the pages are at \
        http://127.0.0.1:5000 and everything that is kept is in the folder ./data.";
    const GRPC_SERVERS: usize = 3;

    fn health_addr(&self) -> SocketAddr {
        self.pages.health_addr()
    }

    fn commands() -> Vec<clap::Command> {
        let mut commands = backup::commands();
        commands.push(doctor::command());
        commands
    }

    fn run_command(
        self,
        name: &str,
        arguments: &ArgMatches,
        common: &CommonSettings,
    ) -> Result<ExitCode, Fault> {
        if name == doctor::DOCTOR {
            return doctor::run(self.examined(common), arguments);
        }
        backup::run(&self.kept()?, name, arguments).map(|()| ExitCode::SUCCESS)
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let settings = self;
        let bus = settings.bus.chosen()?;
        settings.check_bus(Ok(bus.clone()))?;
        settings.pages.warn_of_limits();
        settings.pages.http.check()?;
        settings.accounts.outside()?;
        let mut claims = Vec::new();
        for part in [
            Claimed::Broker,
            Claimed::Movies,
            Claimed::Recommendations,
            Claimed::Accounts,
        ] {
            claims.push(claim_folder(&settings.data_dir, part)?);
        }
        settings.check_databases()?;

        let visitors = settings.pages.visitors()?;
        // A service elsewhere has to know the key, too.
        let key = match (visitors, &settings.recommendations_host) {
            (VisitorSource::Accounts { .. }, None) => KeyNeed::Own,
            _ => visitors.key(),
        };
        let calls = match key {
            KeyNeed::None => Open::Calls,
            _ => Open::Nothing,
        };
        let http_addr = settings.pages.http_addr;
        let http = bind_open("http-addr", http_addr, settings.pages.exposure())?;
        let grpc = bind_open("grpc-addr", settings.grpc_addr, calls)?;
        let catalog_grpc = bind_open("catalog-grpc-addr", settings.catalog_grpc_addr, calls)?;
        let accounts_grpc = bind_open("accounts-grpc-addr", settings.accounts_grpc_addr, calls)?;
        let ops = settings.pages.ops.bind()?;
        let failed = |e: std::io::Error| Fault::Failed(format!("a socket has no address: {e}"));
        let http_addr = http.local_addr().map_err(failed)?;
        let grpc_addr = grpc.local_addr().map_err(failed)?;
        let catalog_grpc_addr = catalog_grpc.local_addr().map_err(failed)?;
        let accounts_grpc_addr = accounts_grpc.local_addr().map_err(failed)?;

        let mut welcome = Vec::new();
        let served = [
            format!("pages: {}://{http_addr}", settings.pages.http.scheme()),
            format!(
                "gRPC: recommendations {grpc_addr}, catalog {catalog_grpc_addr}, accounts {accounts_grpc_addr}"
            ),
        ];
        let (bridge, bus) = match bus {
            Some(bus) => {
                welcome.push(format!("event bus: {bus}"));
                (None, bus)
            }
            None => {
                let nats = bind("nats-addr", settings.nats_addr)?;
                let address = nats.local_addr().map_err(failed)?;
                welcome.push(format!("event bus: the embedded broker, nats://{address}"));
                // Whoever shows it is let in: it has to be one that cannot be guessed.
                let nats_token = settings.bus.nats.nats_token.as_ref();
                let nats_token = nats_token.map(|token| token.expose().parse()).transpose();
                let nats_token =
                    nats_token.map_err(|e: String| Fault::bad_setting(name("nats-token"), e))?;
                let mut config = bridge::Config {
                    nats_addr: address,
                    http_addr,
                    data_dir: settings.data_dir.clone(),
                    nats_token,
                    retention: settings.retention.clone(),
                };
                let token = config.token()?;
                config.nats_token = Some(token.clone());
                let bus = format!("nats://{}", reachable(address));
                let bus = bus
                    .parse::<BusUrl>()
                    .map_err(|e| Fault::Failed(format!("{bus}: {e}")))?
                    .with_token(&token.into());
                (Some((config, bridge::Listeners { nats, claim: None })), bus)
            }
        };
        let relay = settings.relay(&bus)?;
        if let Some(relay) = &relay {
            welcome.push(format!("relay: {}", relay.summary()));
        }
        welcome.push(format!("data: {}", settings.data_dir.display()));

        let own = || reachable(grpc_addr).into();
        let recommendations_host = settings.recommendations_host.unwrap_or_else(own);
        let retention = settings.bus.retention;
        let with_retention = |url: BusUrl| BusSettings {
            retention,
            ..url.into()
        };
        // A database in the claimed folder is this program's alone.
        let is_own = settings.recommendations_database_url.is_none();
        let sole_replica = is_own.then(|| "marquee".to_owned());
        let recommendations = recommendations::Config {
            grpc_addr,
            http_addr,
            data_dir: settings.data_dir.clone(),
            database_url: settings.recommendations_database_url,
            bus: with_retention(bus.clone()),
            database_setting: name("recommendations-database-url"),
            sole_replica,
        };
        let accounts = accounts::Config {
            accounts_grpc_addr,
            http_addr,
            data_dir: settings.data_dir.clone(),
            database_url: settings.accounts_database_url,
            bus: with_retention(bus.clone()),
            accounts: settings.accounts,
            // Who is at this machine needs none.
            shows_setup_code: !http_addr.ip().is_loopback(),
            database_setting: name("accounts-database-url"),
        };
        let web = web::Config {
            pages: settings.pages,
            data_dir: settings.data_dir.clone(),
            catalog_host: reachable(catalog_grpc_addr).into(),
            recommendations_host: recommendations_host.clone(),
            accounts_host: reachable(accounts_grpc_addr).into(),
        };
        let catalog = catalog::Config {
            catalog_grpc_addr,
            data_dir: settings.data_dir,
            database_url: settings.movies_database_url,
            bus: with_retention(bus),
            recommendations_host,
            database_setting: name("movies-database-url"),
        };
        welcome.push(format!(
            "databases: movies {}, recommendations {}, accounts {}",
            catalog.database(),
            recommendations.database(),
            accounts.database()
        ));
        let listeners = recommendations::Listeners { grpc, claim: None };
        let accounts_listeners = accounts::Listeners {
            grpc: accounts_grpc,
            claim: None,
        };
        let catalog_listeners = catalog::Listeners {
            grpc: catalog_grpc,
            claim: None,
        };
        let web_listeners = web::Listeners { http };

        // The last service started is the first one stopped, so that the broker is there for as long as
        // anything is to be published.
        let mut prepared = Prepared::new(ops).with_key(key);
        if let Some((config, listeners)) = bridge {
            let run = |process| bridge::run(config, listeners, process);
            prepared = prepared.service("bridge", run);
        }
        if let Some(routes) = relay {
            let run = |process| bridge::relay::program::run(routes, process);
            prepared = prepared.service("relay", run);
        }
        prepared = prepared
            .service(recommendations::system::SERVICE, |process| {
                recommendations::run(recommendations, listeners, process)
            })
            .service(accounts::SERVICE, |process| {
                accounts::run(accounts, accounts_listeners, process)
            })
            .service(catalog::SERVICE, |process| {
                catalog::run(catalog, catalog_listeners, process)
            })
            .service(web::SERVICE, move |process| {
                web::run(web, web_listeners, visitors, process)
            });
        for line in welcome {
            prepared = prepared.welcome(line);
        }
        for line in served {
            prepared = prepared.served(line);
        }
        for claim in claims {
            prepared = prepared.claim(claim);
        }
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        common: CommonSettings,
    }

    #[test]
    fn doctor_asks_where_health_does() {
        let asked = |arguments: &[&str]| {
            let common = ["marquee", "--ops-addr=127.0.0.1:7"];
            let cli = Cli::try_parse_from(common.iter().chain(arguments)).unwrap();
            cli.settings.examined(&cli.common).health.port()
        };
        assert_eq!(asked(&["--http-addr=127.0.0.1:8"]), 8);
        assert_eq!(
            asked(&["--http-cert-file=/none", "--http-key-file=/none"]),
            7
        );
    }

    #[test]
    fn the_documented_topics_are_relayed_where_both_buses_are_configured() {
        let routes = |arguments: &[&str]| {
            let arguments = ["marquee"].iter().chain(arguments);
            let settings = Cli::try_parse_from(arguments).unwrap().settings;
            let embedded = "nats://127.0.0.1:4222".parse().unwrap();
            let bus = settings.bus.chosen().unwrap().unwrap_or(embedded);
            let relay = settings.relay(&bus).map_err(|fault| fault.to_string())?;
            Ok::<_, String>(relay.map_or(0, |relay| relay.routes.len()))
        };
        assert_eq!(routes(&[]), Ok(0));
        assert_eq!(routes(&["--kafka-broker", "k:1"]), Ok(0));
        assert_eq!(routes(&["--event-bus", "nats://n:1"]), Ok(0));
        assert_eq!(routes(&["--relay-kafka", "k:1"]), Ok(10));
        let both = ["--event-bus", "nats://n:1", "--kafka-broker", "k:1"];
        assert_eq!(routes(&both), Ok(10));
        for (arguments, setting) in [
            (
                &["--event-bus", "kafka://k:1", "--relay-kafka", "k:2"][..],
                "--relay-kafka",
            ),
            (&["--relay-kafka", "k:port"], "--relay-kafka"),
            (&["--relay-config", "/none"], "--relay-config"),
            (
                &["--relay-config", "/none", "--relay-kafka", "k:1"],
                "--relay-config",
            ),
        ] {
            let error = routes(arguments).unwrap_err();
            assert!(error.starts_with(setting), "{error}");
        }
    }
}
