//! The supervision tree of the service.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use runtime::{
    Fault, Place, Prepared, Process, Program, Supervisor,
    consul::Registration,
    grpc::{Calls, GrpcLimits, GrpcServer},
    ops,
    settings::{self, Claimed, FolderClaim},
};
use storage::Database;

use crate::{
    config::Config,
    grpc::{self, AccountsService},
    store,
};

/// The name of the service, as its actors are listed.
pub const SERVICE: &str = "accounts";

/// The sockets on which the service answers, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
    /// Keeps other programs out of the database in the data folder, if it is there.
    pub claim: Option<FolderClaim>,
}

impl Listeners {
    /// Checks the data folder, if anything is to be kept in it, and binds the addresses of the settings.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] if one of them cannot be had.
    pub fn bind(config: &Config) -> Result<Self, Fault> {
        let claim = match config.database_url {
            None => Some(settings::claim_folder(&config.data_dir, Claimed::Accounts)?),
            Some(_) => None,
        };
        storage::probe(&config.database_setting, &config.database())?;
        Ok(Self {
            grpc: settings::bind_open(
                "accounts-grpc-addr",
                config.accounts_grpc_addr,
                settings::Open::Calls,
            )?,
            claim,
        })
    }
}

impl Program for Config {
    const NAME: &'static str = SERVICE;
    const ABOUT: &'static str = "Marquee's Accounts gRPC service";
    const GRPC_SERVERS: usize = 1;

    fn health_addr(&self) -> SocketAddr {
        self.http_addr
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let listeners = Listeners::bind(&self)?;
        let ops = settings::bind("http-addr", self.http_addr)?;
        let database = format!("database: {}", self.database());
        let bus = format!("event bus: {}", self.bus.url(&self.data_dir)?);
        let grpc = format!("gRPC: accounts {}", self.accounts_grpc_addr);
        let run = |process| run(self, listeners, process);
        Ok(Prepared::new(ops)
            .service(SERVICE, run)
            .welcome(database)
            .welcome(bus)
            .served(grpc))
    }
}

/// Runs the service until the process stops it.
///
/// ```text
/// accounts
///   ├ database     the accounts database's readers and writer
///   ├ answering    accounts-grpc
///   └ registration accounts-registrar, if others are to find the service in Consul
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
    let (name, setting) = ("accounts-database", &config.database_setting);
    // A folder that cannot be written to will do, but then a lost database is not noticed.
    let folder = settings::writable_folder(&config.data_dir).ok();
    let folder = folder.map(|()| config.data_dir.as_path());
    let open = Database::open_marked(&group, name, setting, &url, store::migrations(), folder);
    let Some(database) = process.unless_stopped(open).await else {
        return Ok(());
    };
    let _database = database?;

    let registration = Registration::begin(&supervisor, &process, SERVICE, &listeners.grpc)?;
    let calls = Calls::new(GrpcLimits::default(), process.shutdown.clone());
    let calls = calls.with_tls(process.grpc_tls.as_ref());
    let answering = supervisor.group("answering");
    let service = grpc::service(AccountsService::new(), calls.clone());
    let (listener, registry) = (Arc::new(listeners.grpc), process.registry.clone());
    answering.supervise("accounts-grpc", Place::Here, move |guard| {
        GrpcServer::new(listener.clone(), service.clone(), registry.clone(), guard)
    });

    let outcome = ops::until_stopped(&supervisor, &process).await;
    registration.end().await;
    calls.drain().await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}
