//! The supervision tree of the service.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use bus::{OutboxCourier, Outlet, Producer};
use proto::events::STATUS_TOPIC;
use runtime::{
    Fault, Handle, Place, Prepared, Process, Program, Supervisor,
    consul::Registration,
    grpc::{Calls, GrpcLimits, GrpcServer},
    ops,
    settings::{self, Claimed, FolderClaim},
};
use storage::Database;

use crate::{
    actors::{
        account_consumer,
        backlog_worker::BacklogWorker,
        lease_keeper::{GiveUp, LeaseKeeper},
        matcher::{CountFilms, Matcher},
        watch_poller::WatchPoller,
    },
    config::Config,
    figures::{self, MatcherFigures},
    grpc::{self, RecommendationsService},
    lease::{Held, LeaseTimes},
    outbox::StatusOutbox,
    recommender::Recommender,
    signals::Signals,
    store::{self, reconcile::Limits},
    watchers::Watchers,
};

/// The name of the service, as its actors are listed.
pub const SERVICE: &str = "recommendations";

/// How many clients may watch at once.
const WATCHERS: usize = 4_096;

/// How long an actor may take to begin.
const START_DEADLINE: Duration = Duration::from_secs(5);
/// How long a stop waits until the lease is given up.
const LEAVE_DEADLINE: Duration = Duration::from_millis(500);

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
            None => Some(settings::claim_folder(
                &config.data_dir,
                Claimed::Recommendations,
            )?),
            Some(_) => None,
        };
        storage::probe(&config.database_setting, &config.database())?;
        Ok(Self {
            grpc: settings::bind_open("grpc-addr", config.grpc_addr, settings::Open::Calls)?,
            claim,
        })
    }
}

impl Program for Config {
    const NAME: &'static str = SERVICE;
    const ABOUT: &'static str = "Marquee's Recommendations gRPC service";
    const GRPC_SERVERS: usize = 1;

    fn health_addr(&self) -> SocketAddr {
        self.http_addr
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let listeners = Listeners::bind(&self)?;
        let ops = settings::bind("http-addr", self.http_addr)?;
        let database = format!("database: {}", self.database());
        let bus = format!("event bus: {}", self.bus.url(&self.data_dir)?);
        let grpc = format!("gRPC: recommendations {}", self.grpc_addr);
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
/// recommendations
///   ├ database     the recommendations database's readers and writer
///   ├ matching     matcher, lease-keeper, backlog-worker
///   ├ outgoing     status-producer, outbox-courier
///   ├ incoming     account-consumer
///   ├ answering    watch-poller, recommendations-grpc
///   └ registration recommendations-registrar, if others are to find the service in Consul
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
    let (name, setting) = ("recommendations-database", &config.database_setting);
    // A folder that cannot be written to will do, but then a lost database is not noticed.
    let folder = settings::writable_folder(&config.data_dir).ok();
    let folder = folder.map(|()| config.data_dir.as_path());
    let open = Database::open_marked(&group, name, setting, &url, store::migrations(), folder);
    let Some(database) = process.unless_stopped(open).await else {
        return Ok(());
    };
    let database = database?;
    figures::sample(&group, &database);

    let engine = Engine::start(&supervisor, &database, &Tuning::default(), config.replica()).await;
    let outgoing = supervisor.group("outgoing");
    let producer = Producer::start(&outgoing, "status-producer", &bus, &[STATUS_TOPIC]);
    engine.deliver_to(&outgoing, Arc::new(producer));
    let incoming = supervisor.group("incoming");
    let _accounts = account_consumer::start(&incoming, &bus, engine.recommender.clone());

    let registration = Registration::begin(&supervisor, &process, SERVICE, &listeners.grpc)?;
    let calls = Calls::new(GrpcLimits::default(), process.shutdown.clone());
    let calls = calls.with_tls(process.grpc_tls.as_ref());
    let calls = calls.with_key(process.service_key.as_ref());
    serve_calls(
        &supervisor,
        &engine,
        listeners.grpc,
        calls.clone(),
        &process,
    );

    let outcome = ops::until_stopped(&supervisor, &process).await;
    registration.end().await;
    calls.drain().await;
    engine.leave().await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}

fn serve_calls(
    supervisor: &Supervisor,
    engine: &Engine,
    listener: TcpListener,
    calls: Calls,
    process: &Process,
) {
    let answering = supervisor.group("answering");
    let (database, watchers) = (engine.database.clone(), engine.signals.watchers.clone());
    answering.supervise("watch-poller", Place::Here, move |guard| {
        WatchPoller::new(guard, database.clone(), watchers.clone())
    });
    let shutdown = process.shutdown.clone();
    let service = RecommendationsService::new(engine.recommender.clone(), shutdown);
    let service = grpc::service(service, calls);
    let (listener, registry) = (Arc::new(listener), process.registry.clone());
    answering.supervise("recommendations-grpc", Place::Here, move |guard| {
        GrpcServer::new(listener.clone(), service.clone(), registry.clone(), guard)
    });
}

/// How much is done at once, and how patient replicas are with each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tuning {
    /// What one transaction does at most.
    pub limits: Limits,
    /// When the lease is renewed and taken.
    pub lease: LeaseTimes,
}

/// Everything between the wire and the database.
pub struct Engine {
    /// What the service does.
    pub recommender: Recommender,
    database: Database,
    signals: Signals,
    held: Held,
    lease_keeper: Handle<LeaseKeeper>,
}

impl Engine {
    /// Starts the actors that match, for the replica `me`. When it returns they have at least said
    /// how far they are.
    pub async fn start(
        supervisor: &Supervisor,
        database: &Database,
        tuning: &Tuning,
        me: String,
    ) -> Self {
        let matching = supervisor.group("matching");
        let known = database.clone();
        let figures = MatcherFigures::new(matching.metrics());
        let matcher = matching.supervise("matcher", Place::OwnArbiter, move |guard| {
            Matcher::new(guard, known.clone(), figures.clone())
        });
        // It reads everything in its own time, but the service must not count as ready before.
        let _ = matcher.ask(CountFilms(Vec::new()), START_DEADLINE).await;
        let signals = Signals::new(Watchers::new(WATCHERS));
        let recommender =
            Recommender::new(database.clone(), matcher, signals.clone(), tuning.limits);

        let (holding, held) = Held::new();
        figures::show_lease(matching.metrics(), held.clone());
        let (leased, holding, times) = (database.clone(), Arc::new(holding), tuning.lease);
        let holder = me.clone();
        let lease_keeper = matching.supervise("lease-keeper", Place::Here, move |guard| {
            LeaseKeeper::new(guard, leased.clone(), &holder, times, holding.clone())
        });
        let engine = Self {
            recommender,
            database: database.clone(),
            signals,
            held,
            lease_keeper,
        };
        let (database, recommender) = (database.clone(), engine.recommender.clone());
        let (held, tuning) = (engine.held.clone(), *tuning);
        let worker = matching.supervise("backlog-worker", Place::Here, move |guard| {
            let (database, recommender) = (database.clone(), recommender.clone());
            BacklogWorker::new(guard, database, recommender, held.clone(), &me, &tuning)
        });
        engine.signals.wake(worker);
        engine
    }

    /// Starts the actor that takes the outbox to `outlet`.
    pub fn deliver_to(&self, group: &runtime::Group, outlet: Arc<dyn Outlet>) {
        let (database, held) = (self.database.clone(), self.held.clone());
        let outbox = Arc::new(StatusOutbox::new(database, held));
        let courier = OutboxCourier::start(group, "outbox-courier", outbox, outlet);
        self.signals.deliver(courier);
    }

    /// The clients that watch.
    pub fn watchers(&self) -> Watchers {
        self.signals.watchers.clone()
    }

    /// Gives the lease and the shards up, so that other replicas need not wait for them to run out.
    pub async fn leave(&self) {
        // If it cannot be given up it runs out.
        let _ = self.lease_keeper.ask(GiveUp, LEAVE_DEADLINE).await;
    }
}
