//! The pages, running for one test, over services that the test has in its hand.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use proto::UserId;
use runtime::{Process, http::HttpSettings, process::Service, settings::OpsSettings};
use tempfile::TempDir;
use testkit::{FakeAccounts, FakeCatalog, FakeRecommendations};
use web::{
    ClientRateSettings, Config, CorsOrigins, Listeners, PagesConfig, PathPrefix, RateLimitSettings,
    Visitor, VisitorSource,
};

use crate::browser::Browser;

pub(crate) use testkit::{LIMIT, eventually};

/// The running pages. They stop when this is dropped.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) catalog: FakeCatalog,
    pub(crate) recommendations: FakeRecommendations,
    pub(crate) accounts: FakeAccounts,
    pub(crate) process: Process,
    _service: Service,
    _folder: TempDir,
}

/// A source of visitors for tests with several users: a header says who looks.
pub(crate) fn by_header(request: &actix_web::HttpRequest) -> Visitor {
    let user = request.headers().get("x-user");
    match user.and_then(|user| user.to_str().ok()?.parse().ok()) {
        Some(user) => Visitor::unlimited(UserId(user)),
        None => Visitor::Anonymous,
    }
}

/// How a site is set up.
pub(crate) struct Setup {
    pub(crate) recommendations: FakeRecommendations,
    pub(crate) visitors: VisitorSource,
    pub(crate) accounts: FakeAccounts,
    pub(crate) live_pages: usize,
    pub(crate) path_prefix: PathPrefix,
    pub(crate) client_rate: ClientRateSettings,
    pub(crate) rate_limits: RateLimitSettings,
    pub(crate) cors_origins: CorsOrigins,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            recommendations: FakeRecommendations::start(),
            visitors: VisitorSource::Open(Visitor::owner),
            accounts: FakeAccounts::absent(),
            live_pages: 1_000,
            path_prefix: PathPrefix::default(),
            client_rate: ClientRateSettings::default(),
            rate_limits: RateLimitSettings::default(),
            cors_origins: CorsOrigins::default(),
        }
    }
}

impl Site {
    /// Starts pages over a catalog that has no films, with recommendations that answer.
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts pages where people sign in, and where films are shown to everybody. Nobody has an account yet.
    pub(crate) async fn start_with_accounts() -> Self {
        Self::start_with(Setup {
            visitors: VisitorSource::Accounts {
                is_catalog_public: true,
            },
            accounts: FakeAccounts::start(),
            ..Setup::default()
        })
        .await
    }

    /// A new browser in which this person has signed in.
    pub(crate) fn browser_of(&self, user_id: i32) -> Browser {
        let browser = self.browser();
        browser.sign_in(&self.accounts.sign_in(user_id));
        browser
    }

    /// Starts pages whose recommendations are unavailable.
    pub(crate) async fn start_alone() -> Self {
        Self::start_with(Setup {
            recommendations: FakeRecommendations::absent(),
            ..Setup::default()
        })
        .await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let Setup {
            recommendations,
            visitors,
            accounts,
            live_pages,
            path_prefix,
            client_rate,
            rate_limits,
            cors_origins,
        } = setup;
        let catalog = FakeCatalog::start(Some(recommendations.clone()));
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = Listeners {
            http: TcpListener::bind(any).unwrap(),
        };
        let url = format!("http://{}", listeners.http.local_addr().unwrap());
        let config = Config {
            pages: PagesConfig {
                http_addr: any,
                accounts: None,
                public_catalog: false,
                allow_open_network: false,
                secret_key: None,
                live_pages,
                path_prefix,
                cors_origins,
                http: HttpSettings::default(),
                client_rate,
                rate_limits,
                ops: OpsSettings::default(),
            },
            data_dir: folder.path().to_owned(),
            catalog_host: catalog.address().into(),
            recommendations_host: recommendations.address().into(),
            accounts_host: accounts.address().into(),
        };
        let mut process = Process::new();
        process.ops_addr = Some(any);
        let service = Service::start(web::SERVICE, &process, move |process| {
            web::run(config, listeners, visitors, process)
        })
        .unwrap();
        let site = Self {
            url,
            catalog,
            recommendations,
            accounts,
            process,
            _service: service,
            _folder: folder,
        };
        let browser = site.browser();
        eventually("the pages are shown", async || {
            browser
                .try_get("/")
                .await
                // Who has not signed in may not be let in.
                .is_some_and(|page| [200, 401].contains(&page.status))
        })
        .await;
        site
    }

    /// A new browser, without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url)
    }

    /// Asks the pages to stop.
    pub(crate) fn stop(&self) {
        self.process.shutdown.begin();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}
