//! The settings of the whole system in one program, and what each service gets of them.

use std::{net::SocketAddr, path::PathBuf};

use bus::{BusSettings, BusUrl};
use clap::Parser;
use runtime::{
    Fault, ServiceAddress,
    settings::{Command, FolderClaim, name, reachable},
    telemetry::LogSettings,
};
use storage::DatabaseUrl;
use web::PagesConfig;

/// A film catalog with live keyword recommendations, whole in one program
///
/// Every setting is a flag and an environment variable. Without any, the pages are at
/// http://127.0.0.1:5000 and everything that is kept is in the folder ./data.
#[derive(Debug, Parser)]
#[command(name = "marquee", version)]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) pages: PagesConfig,

    /// Where the Recommendations gRPC service is served
    #[arg(
        long,
        env = "GRPC_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50051"
    )]
    grpc_addr: SocketAddr,

    /// Where the Catalog gRPC service is served
    #[arg(
        long,
        env = "CATALOG_GRPC_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50052"
    )]
    catalog_grpc_addr: SocketAddr,

    /// Where the embedded NATS-compatible broker listens
    #[arg(
        long,
        env = "NATS_ADDR",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:4222"
    )]
    nats_addr: SocketAddr,

    /// The folder for what is kept: SQLite databases, the broker's streams, a generated secret key
    #[arg(
        long,
        env = "DATA_DIR",
        value_name = "FOLDER",
        default_value = "./data"
    )]
    data_dir: PathBuf,

    #[command(flatten)]
    bus: BusSettings,

    #[command(flatten)]
    retention: bridge::config::RetentionSettings,

    /// The catalog's database: sqlite://FILE or mysql://USER:PASSWORD@HOST:PORT/NAME [default:
    /// movies.db in the data folder]
    #[arg(
        long,
        env = "MOVIES_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    movies_database_url: Option<DatabaseUrl>,

    /// The recommendations' database, as above [default: recommendations.db in the data folder]
    #[arg(
        long,
        env = "RECOMMENDATIONS_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    recommendations_database_url: Option<DatabaseUrl>,

    /// Another recommendations service for the catalog to ask [default: the one in this program]
    #[arg(
        long,
        env = "RECOMMENDATIONS_HOST",
        value_name = "HOST[:PORT]",
        value_parser = |text: &str| ServiceAddress::parse(text, 50_051)
    )]
    recommendations_host: Option<ServiceAddress>,

    #[command(flatten)]
    pub(crate) log: LogSettings,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Settings {
    /// Finds out now what would otherwise end the program after it has begun.
    fn check_databases(&self) -> Result<(), Fault> {
        let movies = name("movies-database-url", "MOVIES_DATABASE_URL");
        let recommendations = name(
            "recommendations-database-url",
            "RECOMMENDATIONS_DATABASE_URL",
        );
        if self.movies_database_url.is_some()
            && self.movies_database_url == self.recommendations_database_url
        {
            let reason = format!("is the same database as {recommendations}; each needs its own");
            return Err(Fault::bad_setting(movies, reason));
        }
        if let Some(url) = &self.movies_database_url {
            storage::probe(&movies, url)?;
        }
        if let Some(url) = &self.recommendations_database_url {
            storage::probe(&recommendations, url)?;
        }
        if std::env::var_os("DATABASE_URL").is_some_and(|url| !url.is_empty()) {
            tracing::warn!(
                "DATABASE_URL is not used here: MOVIES_DATABASE_URL and RECOMMENDATIONS_DATABASE_URL are"
            );
        }
        Ok(())
    }
}

/// Everything that the services need to start, checked and bound.
pub(crate) struct Site {
    pub(crate) bridge: Option<(bridge::Config, bridge::Listeners)>,
    pub(crate) recommendations: (recommendations::Config, recommendations::Listeners),
    pub(crate) catalog: (catalog::Config, catalog::Listeners),
    pub(crate) web: (web::Config, web::Listeners),
    /// Where to go, for the person who started the program.
    pub(crate) welcome: Vec<String>,
    /// Keeps other programs out of the data folder.
    pub(crate) claim: FolderClaim,
}

impl Site {
    /// Checks the settings whole and binds the sockets, before anything is started.
    pub(crate) fn prepare(settings: Settings) -> Result<Self, Fault> {
        let bind =
            |flag, variable, address| runtime::settings::bind(&name(flag, variable), address);
        let bus = settings.bus.chosen()?;
        let data_dir = name("data-dir", "DATA_DIR");
        let claim = runtime::settings::claim_folder(&data_dir, &settings.data_dir)?;
        settings.check_databases()?;

        let http = bind("http-addr", "HTTP_ADDR", settings.pages.http_addr)?;
        let grpc = bind("grpc-addr", "GRPC_ADDR", settings.grpc_addr)?;
        let catalog_grpc = bind(
            "catalog-grpc-addr",
            "CATALOG_GRPC_ADDR",
            settings.catalog_grpc_addr,
        )?;
        let failed = |e: std::io::Error| Fault::Failed(format!("a socket has no address: {e}"));
        let http_addr = http.local_addr().map_err(failed)?;
        let grpc_addr = grpc.local_addr().map_err(failed)?;
        let catalog_grpc_addr = catalog_grpc.local_addr().map_err(failed)?;

        let mut welcome = vec![
            format!("pages: http://{http_addr}  (how it is inside: http://{http_addr}/system)"),
            format!("gRPC: recommendations {grpc_addr}, catalog {catalog_grpc_addr}"),
        ];
        let (bridge, bus) = match bus {
            Some(bus) => {
                welcome.push(format!("event bus: {bus}"));
                (None, bus)
            }
            None => {
                let nats = bind("nats-addr", "NATS_ADDR", settings.nats_addr)?;
                let address = nats.local_addr().map_err(failed)?;
                welcome.push(format!("event bus: the embedded broker, nats://{address}"));
                let mut config = bridge::Config {
                    nats_addr: address,
                    http_addr,
                    data_dir: settings.data_dir.clone(),
                    nats_token: settings.bus.nats_token.clone(),
                    retention: settings.retention.clone(),
                };
                let token = config.token()?;
                config.nats_token = Some(token.clone());
                let bus = format!("nats://{}", reachable(address));
                let bus = bus
                    .parse::<BusUrl>()
                    .map_err(|e| Fault::Failed(format!("{bus}: {e}")))?
                    .with_token(&token);
                (
                    Some((
                        config,
                        bridge::Listeners {
                            nats,
                            http: None,
                            claim: None,
                        },
                    )),
                    bus,
                )
            }
        };
        welcome.push(format!("data: {}", settings.data_dir.display()));

        let own = || reachable(grpc_addr).into();
        let recommendations_host = settings.recommendations_host.unwrap_or_else(own);
        // A database in the claimed folder is this program's alone.
        let is_own = settings.recommendations_database_url.is_none();
        let sole_replica = is_own.then(|| "marquee".to_owned());
        let recommendations = recommendations::Config {
            grpc_addr,
            http_addr,
            data_dir: settings.data_dir.clone(),
            database_url: settings.recommendations_database_url,
            bus: bus.clone().into(),
            database_setting: name(
                "recommendations-database-url",
                "RECOMMENDATIONS_DATABASE_URL",
            ),
            sole_replica,
        };
        let web = web::Config {
            pages: settings.pages,
            data_dir: settings.data_dir.clone(),
            catalog_host: reachable(catalog_grpc_addr).into(),
            recommendations_host: recommendations_host.clone(),
        };
        let catalog = catalog::Config {
            catalog_grpc_addr,
            data_dir: settings.data_dir,
            database_url: settings.movies_database_url,
            bus: bus.into(),
            recommendations_host,
            database_setting: name("movies-database-url", "MOVIES_DATABASE_URL"),
        };
        Ok(Self {
            bridge,
            recommendations: (
                recommendations,
                recommendations::Listeners { grpc, http: None },
            ),
            catalog: (catalog, catalog::Listeners { grpc: catalog_grpc }),
            web: (web, web::Listeners { http }),
            welcome,
            claim,
        })
    }
}
