//! The supervision tree of the service.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bus::{OutboxCourier, Outlet, Producer};
use governor::clock::DefaultClock;
use proto::events::ACCOUNTS_TOPIC;
use runtime::{
    Fault, Group, Handle, Place, Prepared, Process, Program, Supervisor,
    consul::Registration,
    grpc::{Calls, GrpcLimits, GrpcServer},
    ops,
    settings::{self, Claimed, FolderClaim},
};
use storage::{Database, DbConnection};

use crate::{
    actors::{
        account_repository::{AccountRepository, Shared},
        credential_poller::CredentialPoller,
        janitor::Janitor,
        mail_courier::MailCourier,
        password_hasher::Hasher,
    },
    config::{AccountsSettings, Config, Outside},
    figures,
    grpc::{self, AccountsService},
    keyring::Keyring,
    outbox::AccountOutbox,
    passwords::Tries,
    picture::Pictures,
    store::{self, secrets, users},
    watchers::Watchers,
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
        config.accounts.outside()?;
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
///   ├ people       password-hasher, credential-poller, account-repository, janitor
///   ├ outgoing     account-producer, account-courier, and mail-courier if there is a mail server
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
    let files = config.accounts.certificate_files();
    process.certificates.watch(files);
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
    let database = database?;
    figures::sample(&group, &database);
    if config.shows_setup_code {
        show_setup_code(&database).await;
    }

    let outside = config.accounts.outside()?;
    let mailer = outside.mailer.clone();
    let engine = Engine::start(&supervisor, &database, config.accounts, outside);
    let outgoing = supervisor.group("outgoing");
    if let Some(mailer) = mailer {
        let known = database.clone();
        outgoing.supervise("mail-courier", Place::OwnArbiter, move |guard| {
            MailCourier::new(guard, known.clone(), mailer.clone())
        });
    }
    let producer = Producer::start(&outgoing, "account-producer", &bus, &[ACCOUNTS_TOPIC]);
    engine.deliver_to(&outgoing, Arc::new(producer));

    let registration = Registration::begin(&supervisor, &process, SERVICE, &listeners.grpc)?;
    let calls = Calls::new(GrpcLimits::default(), process.shutdown.clone());
    let calls = calls.with_tls(process.grpc_tls.as_ref());
    let calls = calls.with_key(process.service_key.as_ref());
    let answering = supervisor.group("answering");
    let service = grpc::service(engine.service(&process), calls.clone());
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

/// Logs the code that the first account needs, while there is none. All replicas have the same one.
async fn show_setup_code(database: &Database) {
    let code = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 15]>());
    let read = move |conn: &mut DbConnection| match users::is_anybody(conn)? {
        true => Ok(None),
        false => secrets::get(conn, secrets::SETUP_CODE, &code).map(Some),
    };
    match database.write(read).await {
        Ok(None) => {}
        Ok(Some(code)) => tracing::info!(
            "there is no account yet: the first one, which is the owner's, is made on the pages with the code {code}"
        ),
        Err(error) => {
            tracing::warn!(%error, "the code for the first account is not known: {error}")
        }
    }
}

/// Everything between the wire and the database.
pub struct Engine {
    database: Database,
    repository: Handle<AccountRepository>,
    watchers: Watchers,
}

impl Engine {
    /// Starts the actors that do what calls ask for.
    pub fn start(
        supervisor: &Supervisor,
        database: &Database,
        settings: AccountsSettings,
        outside: Outside,
    ) -> Self {
        let people = supervisor.group("people");
        let hasher = Hasher::start(&people);
        let watchers = Watchers::default();
        let (followed, told) = (database.clone(), watchers.clone());
        let poller = people.supervise("credential-poller", Place::Here, move |guard| {
            CredentialPoller::new(guard, followed.clone(), told.clone())
        });
        let shared = Shared {
            database: database.clone(),
            hasher,
            keyring: Keyring::new(database.clone()),
            settings: Arc::new(settings),
            tries: Arc::new(Tries::new(DefaultClock::default())),
            provider: outside.provider,
            pictures: Pictures::default(),
            poller,
        };
        let repository = people.supervise("account-repository", Place::Here, move |guard| {
            AccountRepository::new(shared.clone(), guard)
        });
        let cleaned = database.clone();
        people.supervise("janitor", Place::Here, move |guard| {
            Janitor::new(guard, cleaned.clone())
        });
        Self {
            database: database.clone(),
            repository,
            watchers,
        }
    }

    /// Starts the actor that takes the outbox to `outlet`.
    pub fn deliver_to(&self, group: &Group, outlet: Arc<dyn Outlet>) {
        let outbox = Arc::new(AccountOutbox::new(self.database.clone()));
        OutboxCourier::start(group, "account-courier", outbox, outlet);
    }

    /// The calls of the service.
    pub fn service(&self, process: &Process) -> AccountsService {
        AccountsService::new(
            self.repository.clone(),
            self.watchers.clone(),
            process.shutdown.clone(),
        )
    }
}
