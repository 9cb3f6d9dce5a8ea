//! The catalog's supervision tree.

use std::{net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer};
use runtime::{
    ActorRegistry, Fault, Handle, Place, Process, Shutdown, Supervisor, grpc::GrpcServer, ops,
    settings,
};
use storage::Database;

use crate::{
    actors::{
        film_courier::{FilmCourier, Pace},
        movie_repository::MovieRepository,
        recommendations_gateway::{self, RecommendationsGateway},
        status_consumer,
    },
    config::{Config, SecretKey},
    grpc, movies,
    web::{self, page_cache::PageCache},
};

/// The name of the service, as its actors are listed.
pub const SERVICE: &str = "catalog";

/// The sockets on which the catalog answers, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For the pages and for health.
    pub http: TcpListener,
    /// For the Catalog gRPC service.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Binds the addresses of the settings, once the other settings make sense and the data folder is
    /// there, if anything is to be kept in it.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] for a setting that makes none, or an address that cannot be had.
    pub fn bind(config: &Config) -> Result<Self, Fault> {
        config.bus.url(&config.data_dir)?;
        let data_dir = settings::name("data-dir", "DATA_DIR");
        // Beside a server that keeps the movies, a file system that cannot be written to will do.
        if config.database_url.is_none() || config.secret_key.is_none() {
            settings::writable_folder(&data_dir, &config.data_dir)?;
        }
        storage::probe(&config.database_setting, &config.database())?;
        let http = settings::name("http-addr", "HTTP_ADDR");
        let grpc = settings::name("catalog-grpc-addr", "CATALOG_GRPC_ADDR");
        Ok(Self {
            http: settings::bind(&http, config.http_addr)?,
            grpc: settings::bind(&grpc, config.catalog_grpc_addr)?,
        })
    }
}

/// What the pages work with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The movies.
    pub movies: Handle<MovieRepository>,
    /// The recommendations service.
    pub recommendations: Handle<RecommendationsGateway>,
    /// Signs cookies.
    pub secret: SecretKey,
    /// Ends the open streams.
    pub shutdown: Shutdown,
    /// How the actors are.
    pub registry: ActorRegistry,
    /// What is shown at `/`.
    pub(crate) page_cache: Arc<PageCache>,
}

/// Runs the catalog until the process stops it.
///
/// ```text
/// catalog
///   ├ database     the movies database's readers and writer
///   ├ outgoing     film-courier
///   ├ incoming     status-consumer
///   └ answering    movie-repository, recommendations-gateway, catalog-grpc; the pages' workers
/// ```
///
/// # Errors
///
/// If a setting is wrong, or an actor cannot be kept alive.
pub async fn run(config: Config, listeners: Listeners, process: Process) -> Result<(), Fault> {
    let (bus, url, secret) = (
        config.bus.url(&config.data_dir)?,
        config.database(),
        config.secret()?,
    );
    let supervisor = Supervisor::new(SERVICE, &process);

    let group = supervisor.group("database");
    let setting = config.database_setting.as_str();
    let steps = movies::migrations();
    let open = Database::open(&group, "movies-database", setting, &url, steps);
    let Some(database) = ops::while_starting(Some(&listeners.http), &process, open).await else {
        return Ok(());
    };
    let database = database?;

    let line = recommendations_gateway::line(&config.recommendations_host);
    let outgoing = supervisor.group("outgoing");
    let courier = {
        let (database, line) = (database.clone(), line.clone());
        outgoing.supervise("film-courier", Place::Here, move |guard| {
            FilmCourier::new(database.clone(), line.clone(), Pace::default(), guard)
        })
    };

    let incoming = supervisor.group("incoming");
    let _consumer = status_consumer::start(&incoming, &bus, database.clone());

    let answering = supervisor.group("answering");
    let movies = answering.supervise("movie-repository", Place::Here, move |guard| {
        MovieRepository::new(database.clone(), courier.clone(), guard)
    });
    let recommendations =
        answering.supervise("recommendations-gateway", Place::Here, move |guard| {
            RecommendationsGateway::new(line.clone(), guard)
        });
    let (grpc, registry) = (Arc::new(listeners.grpc), process.registry.clone());
    let service = grpc::service(movies.clone());
    let _grpc = answering.supervise("catalog-grpc", Place::Here, move |guard| {
        GrpcServer::new(grpc.clone(), service.clone(), registry.clone(), guard)
    });

    let state = AppState {
        movies,
        recommendations,
        secret,
        shutdown: process.shutdown.clone(),
        registry: process.registry.clone(),
        page_cache: Arc::default(),
    };
    let outcome = serve_pages(listeners.http, state, &supervisor, &process).await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}

/// Serves the pages until stopping begins or the supervisor gives up.
async fn serve_pages(
    listener: TcpListener,
    state: AppState,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), Fault> {
    let failed = |e: std::io::Error| Fault::Failed(format!("the pages cannot be served: {e}"));
    let server = HttpServer::new(move || {
        App::new()
            .configure(|cfg| ops::configure(cfg, state.registry.clone()))
            .configure(|cfg| web::configure(cfg, state.clone()))
    })
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)
    .map_err(failed)?
    .run();
    ops::serve(server, supervisor, process).await
}
