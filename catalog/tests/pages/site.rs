//! A catalog that runs for one test.

use bus::BusUrl;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use catalog::{Config, Listeners};
use runtime::{Process, process::Service};
use tempfile::TempDir;

use crate::{browser::Browser, fake_recommendations::FakeRecommendations};

/// How long a test waits for what it expects: longer than two heartbeats of a stream, after which a
/// visitor who left is noticed at the latest.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// A running catalog. It stops when it is dropped.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) recommendations: FakeRecommendations,
    process: Process,
    _service: Service,
    _folder: TempDir,
}

impl Site {
    /// Starts a catalog that has no films, with recommendations that answer.
    pub(crate) async fn start() -> Self {
        let recommendations = FakeRecommendations::start().await;
        Self::start_with(recommendations).await
    }

    /// Starts a catalog whose recommendations are away.
    pub(crate) async fn start_alone() -> Self {
        Self::start_with(FakeRecommendations::away().await).await
    }

    async fn start_with(recommendations: FakeRecommendations) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = Listeners {
            http: TcpListener::bind(any).unwrap(),
            grpc: TcpListener::bind(any).unwrap(),
        };
        let url = format!("http://{}", listeners.http.local_addr().unwrap());
        let config = Config {
            http_addr: any,
            catalog_grpc_addr: any,
            data_dir: folder.path().to_owned(),
            database_url: None,
            // The port is reserved (RFC 6335): the bus stays away, and the pages do not need it.
            bus: "nats://127.0.0.1:1".parse::<BusUrl>().unwrap().into(),
            recommendations_host: recommendations.address.to_string().parse().unwrap(),
            secret_key: None,
            database_setting: "DATABASE_URL".into(),
        };
        let process = Process::new();
        let service = Service::start("catalog", &process, |process| {
            catalog::run(config, listeners, process)
        })
        .unwrap();
        let site = Self {
            url,
            recommendations,
            process,
            _service: service,
            _folder: folder,
        };
        let browser = site.browser();
        eventually("the catalog answers", async || {
            browser
                .try_get("/")
                .await
                .is_some_and(|page| page.status == 200)
        })
        .await;
        site
    }

    /// A new browser, without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url)
    }

    /// Asks the catalog to stop.
    pub(crate) fn stop(&self) {
        self.process.shutdown.begin();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
