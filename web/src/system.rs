//! The supervision tree of the pages.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use actix_web::{App, middleware::from_fn, web};
use runtime::{
    ActorRegistry, Fault, Handle, Place, Prepared, Process, Program, Shutdown, Supervisor,
    http::{self, HttpLimits, HttpSettings},
    ops,
    resources::Share,
    settings,
};

use crate::{
    CorsOrigins, Error,
    actors::{
        accounts_gateway::{self, AccountsCall, AccountsConnection, AccountsGateway, Call},
        catalog_gateway::{CatalogConnection, CatalogGateway},
        recommendations_gateway::{RecommendationsConnection, RecommendationsGateway},
    },
    client_rate::{self, ClientRates},
    config::{Config, SecretKey},
    credentials::Credentials,
    freshness::Freshness,
    live::LivePages,
    middleware,
    page_cache::PageCache,
    prefix::{self, PathPrefix},
    rate_limits::RateLimits,
    visitor::VisitorSource,
};

/// The name of the service, as its actors are listed.
pub const SERVICE: &str = "web";

/// The socket on which the pages are served, bound already.
#[derive(Debug)]
pub struct Listeners {
    /// For the pages and for health.
    pub http: TcpListener,
}

impl Listeners {
    /// Binds the address of the settings, once the folder of a generated key is there if it is needed.
    ///
    /// # Errors
    ///
    /// [`Fault::BadSetting`] for a folder that cannot be written to, or an address that cannot be had.
    pub fn bind(config: &Config) -> Result<Self, Fault> {
        config.pages.warn_of_limits();
        config.pages.http.check()?;
        if config.pages.secret_key.is_none() {
            settings::writable_folder(&config.data_dir)?;
        }
        Ok(Self {
            http: settings::bind_open(
                "http-addr",
                config.pages.http_addr,
                config.pages.exposure(),
            )?,
        })
    }
}

impl Program for Config {
    const NAME: &'static str = SERVICE;
    const ABOUT: &'static str =
        "The pages of Marquee, over a catalog and a recommendations service elsewhere";

    fn health_addr(&self) -> SocketAddr {
        self.pages.health_addr()
    }

    fn prepare(self) -> Result<Prepared, Fault> {
        let visitors = self.pages.visitors()?;
        let listeners = Listeners::bind(&self)?;
        let ops = self.pages.ops.bind()?;
        let scheme = self.pages.http.scheme();
        let pages = format!("pages: {scheme}://{}", self.pages.http_addr);
        let run = move |process| run(self, listeners, visitors, process);
        Ok(Prepared::new(ops)
            .service(SERVICE, run)
            .served(pages)
            .with_key(visitors.key()))
    }
}

/// What the pages work with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The film catalog.
    pub catalog: Handle<CatalogGateway>,
    /// The recommendations service.
    pub recommendations: Handle<RecommendationsGateway>,
    /// Signs cookies.
    pub secret: SecretKey,
    /// Ends the open streams.
    pub shutdown: Shutdown,
    /// How the actors are.
    pub registry: ActorRegistry,
    /// The accounts service.
    pub accounts: Handle<AccountsGateway>,
    /// How it is found out who looks.
    pub visitors: VisitorSource,
    /// What is known of credentials.
    pub(crate) credentials: Arc<Credentials>,
    /// What persons, tokens and addresses have asked for.
    pub rate_limits: Arc<RateLimits>,
    /// Which pages of other sites may call the API.
    pub(crate) cors_origins: Arc<CorsOrigins>,
    /// What is shown at `/`.
    pub(crate) page_cache: Arc<PageCache>,
    /// Up to which change that holds.
    pub(crate) freshness: Arc<Freshness>,
    /// The open streams of events.
    pub(crate) live_pages: Arc<LivePages>,
}

impl AppState {
    /// Asks the accounts service for one call.
    pub(crate) async fn call<T: AccountsCall>(&self, call: Call<T>) -> Result<T::Answer, Error> {
        self.accounts.ask(call, accounts_gateway::DEADLINE).await?
    }
}

/// Serves the pages until the process stops the service.
///
/// ```text
/// web
///   └ gateways     catalog-gateway, recommendations-gateway, accounts-gateway; beside them the workers of the pages
/// ```
///
/// # Errors
///
/// If a setting is wrong, or an actor cannot be kept alive.
pub async fn run(
    config: Config,
    listeners: Listeners,
    visitors: VisitorSource,
    process: Process,
) -> Result<(), Fault> {
    let secret = config.secret()?;
    let freshness = Arc::<Freshness>::default();
    let supervisor = Supervisor::new(SERVICE, &process);

    let gateways = supervisor.group("gateways");
    let connection = CatalogConnection::new(&config.catalog_host, &process);
    let catalog = {
        let freshness = freshness.clone();
        gateways.supervise("catalog-gateway", Place::Here, move |guard| {
            CatalogGateway::new(connection.clone(), freshness.clone(), guard)
        })
    };
    let connection = RecommendationsConnection::new(&config.recommendations_host, &process);
    let recommendations = {
        let freshness = freshness.clone();
        gateways.supervise("recommendations-gateway", Place::Here, move |guard| {
            RecommendationsGateway::new(connection.clone(), freshness.clone(), guard)
        })
    };

    let connection = AccountsConnection::new(&config.accounts_host, &process);
    let credentials = Arc::<Credentials>::default();
    let accounts = {
        let credentials = credentials.clone();
        let is_watching = matches!(visitors, VisitorSource::Accounts { .. });
        gateways.supervise("accounts-gateway", Place::Here, move |guard| {
            AccountsGateway::new(connection.clone(), credentials.clone(), is_watching, guard)
        })
    };

    let rate_limits = Arc::new(RateLimits::new(&config.pages.rate_limits));
    rate_limits.show(process.registry.metrics());
    let state = AppState {
        catalog,
        recommendations,
        secret,
        shutdown: process.shutdown.clone(),
        registry: process.registry.clone(),
        accounts,
        visitors,
        credentials,
        rate_limits,
        cors_origins: Arc::new(config.pages.cors_origins.clone()),
        page_cache: Arc::default(),
        freshness,
        live_pages: Arc::new(LivePages::new(config.pages.most_live_pages())),
    };
    let outcome = serve_pages(
        listeners.http,
        &config.pages.http,
        state,
        config.pages.path_prefix,
        ClientRates::new(&config.pages.client_rate),
        &supervisor,
        &process,
    )
    .await;
    supervisor.stop(process.shutdown.time_left()).await;
    outcome
}

/// Serves the pages until stopping begins or the supervisor gives up.
async fn serve_pages(
    listener: TcpListener,
    settings: &HttpSettings,
    state: AppState,
    prefix: PathPrefix,
    rates: ClientRates,
    supervisor: &Supervisor,
    process: &Process,
) -> Result<(), Fault> {
    let (prefix, rates) = (web::Data::new(prefix), web::Data::new(rates));
    let failed = |e: std::io::Error| Fault::Failed(format!("the pages cannot be served: {e}"));
    let limits = HttpLimits {
        workers: thread::available_parallelism().map_or(1, usize::from),
        connections: Share::Pages.connections(),
        keep_alive: Duration::from_secs(settings.http_keep_alive),
        write_deadline: http::WRITE_DEADLINE,
    };
    let given = process.clone();
    let application = move || {
        App::new()
            .app_data(prefix.clone())
            .app_data(rates.clone())
            .wrap(from_fn(prefix::strip))
            .wrap(from_fn(middleware::check_host))
            .wrap(from_fn(client_rate::limit))
            .wrap(from_fn(http::edge))
            .configure(|cfg| ops::configure_public(cfg, &given))
            .configure(|cfg| crate::configure(cfg, state.clone()))
    };
    let tls = settings.tls()?;
    if let Some(tls) = &tls {
        process.certificates.watch_pages(tls);
    }
    let server = http::server(tls, application, listener, limits).map_err(failed)?;
    ops::serve(server, supervisor, process).await
}
