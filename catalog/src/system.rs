//! The catalog's supervision tree. The service has no HTTP address of its own: in every program that
//! contains it, another service answers the operator.

use std::{net::TcpListener, sync::Arc};

use runtime::{
    Fault, Place, Process, Supervisor,
    consul::Registration,
    grpc::{Calls, GrpcLimits, GrpcServer},
    ops,
    settings::{self, Claimed, FolderClaim},
};
use storage::Database;

use crate::{
    actors::{
        film_courier::{FilmCourier, Pace},
        flag_reconciler::{FlagReconciler, Rate},
        genre_lister::{self, GenreLister},
        history_trimmer::{self, HistoryTrimmer},
        movie_repository::MovieRepository,
        status_consumer,
    },
    changes::Changes,
    config::Config,
    figures, films, grpc,
    recommendations::RecommendationsClient,
};

/// The name of the service, as its actors are listed.
pub const SERVICE: &str = "catalog";

/// The socket on which the catalog answers, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For the Catalog gRPC service.
    pub grpc: TcpListener,
    /// Keeps other programs out of the database in the data folder, if it is there.
    pub claim: Option<FolderClaim>,
}

impl Listeners {
    /// Binds the address of the settings, once the other settings make sense and the data folder is
    /// there, if anything is to be kept in it.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] for a setting that makes none, or an address that cannot be had.
    pub fn bind(config: &Config) -> Result<Self, Fault> {
        config.bus.url(&config.data_dir)?;
        // Beside a server that keeps the films, a file system that cannot be written to will do.
        let claim = match config.database_url {
            None => Some(settings::claim_folder(&config.data_dir, Claimed::Movies)?),
            Some(_) => None,
        };
        storage::probe(&config.database_setting, &config.database())?;
        Ok(Self {
            grpc: settings::bind_open(
                "catalog-grpc-addr",
                config.catalog_grpc_addr,
                settings::Open::Calls,
            )?,
            claim,
        })
    }
}

/// Runs the catalog until the process stops it.
///
/// ```text
/// catalog
///   ├ database     the movies database's readers and writer
///   ├ outgoing     film-courier
///   ├ incoming     status-consumer, flag-reconciler, genre-lister, history-trimmer
///   ├ answering    movie-repository, catalog-grpc
///   └ registration catalog-registrar, if others are to find the service in Consul
/// ```
///
/// # Errors
///
/// If a setting is wrong, or an actor cannot be kept alive.
pub async fn run(config: Config, listeners: Listeners, process: Process) -> Result<(), Fault> {
    let (bus, url) = (config.bus.bus(&config.data_dir)?, config.database());
    process.certificates.watch(bus.url.certificate_files());
    let supervisor = Supervisor::new(SERVICE, &process);

    let group = supervisor.group("database");
    let setting = config.database_setting.as_str();
    let steps = films::migrations();
    // A folder that cannot be written to will do, but then a lost database is not noticed.
    let folder = settings::writable_folder(&config.data_dir).ok();
    let folder = folder.map(|()| config.data_dir.as_path());
    let name = "movies-database";
    let open = Database::open_marked(&group, name, setting, &url, steps, folder);
    let Some(database) = process.unless_stopped(open).await else {
        return Ok(());
    };
    let database = database?;
    figures::sample(&group, &database);
    let changes = Changes::default();

    let recommendations = RecommendationsClient::new(&config.recommendations_host, &process);
    let outgoing = supervisor.group("outgoing");
    let courier = {
        let (database, recommendations) = (database.clone(), recommendations.clone());
        outgoing.supervise("film-courier", Place::Here, move |guard| {
            FilmCourier::new(
                database.clone(),
                recommendations.clone(),
                Pace::default(),
                guard,
            )
        })
    };

    let answering = supervisor.group("answering");
    let films = {
        let (database, changes) = (database.clone(), changes.clone());
        answering.supervise("movie-repository", Place::Here, move |guard| {
            MovieRepository::new(database.clone(), courier.clone(), changes.clone(), guard)
        })
    };

    let incoming = supervisor.group("incoming");
    {
        let (database, changes) = (database.clone(), changes.clone());
        incoming.supervise("genre-lister", Place::Here, move |guard| {
            GenreLister::new(
                database.clone(),
                changes.clone(),
                genre_lister::PAUSE,
                guard,
            )
        });
    }
    {
        let database = database.clone();
        incoming.supervise("history-trimmer", Place::Here, move |guard| {
            HistoryTrimmer::new(database.clone(), history_trimmer::PAUSE, guard)
        });
    }
    let reconciler = {
        let films = films.clone();
        incoming.supervise("flag-reconciler", Place::Here, move |guard| {
            let (database, films) = (database.clone(), films.clone());
            let recommendations = recommendations.clone();
            FlagReconciler::new(database, films, recommendations, Rate::default(), guard)
        })
    };
    let _consumer = status_consumer::start(&incoming, &bus, films.clone(), reconciler);

    let registration = Registration::begin(&supervisor, &process, SERVICE, &listeners.grpc)?;
    let (grpc, registry) = (Arc::new(listeners.grpc), process.registry.clone());
    let shutdown = process.shutdown.clone();
    let calls = Calls::new(GrpcLimits::default(), shutdown.clone());
    let calls = calls.with_tls(process.grpc_tls.as_ref());
    let calls = calls.with_key(process.service_key.as_ref());
    let service = grpc::service(films, changes, shutdown, calls.clone());
    let _grpc = answering.supervise("catalog-grpc", Place::Here, move |guard| {
        GrpcServer::new(grpc.clone(), service.clone(), registry.clone(), guard)
    });

    let outcome = ops::until_stopped(&supervisor, &process).await;
    registration.end().await;
    calls.drain().await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}
