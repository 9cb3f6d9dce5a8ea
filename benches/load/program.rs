//! The program that is measured, in a process of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use proto::recommendations::{
    catalog_client::CatalogClient, recommendations_client::RecommendationsClient,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::Channel;

use super::ports::free_address;

/// How long anything may take that should take a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `marquee`, running. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) catalog_grpc: SocketAddr,
    /// From its start until it said that it can serve.
    pub(crate) start: Duration,
}

/// How long it is left alone before it is asked again whether it can serve: each question is a connection, and asked every millisecond
/// they took a sixth of both processors from a start.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(10);

impl Program {
    /// Starts the program over the data in `folder` and waits until it can serve.
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// Like [`Self::start`], with further settings.
    pub(crate) async fn start_with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let [http, grpc, catalog_grpc, accounts_grpc, nats] =
            std::array::from_fn(|_| free_address());
        let begun = Instant::now();
        let built = || env!("CARGO_BIN_EXE_marquee").into();
        let child = Command::new(std::env::var_os("LOAD_PROGRAM").unwrap_or_else(built))
            .env_clear()
            .env("HTTP_ADDR", http.to_string())
            .env("GRPC_ADDR", grpc.to_string())
            .env("CATALOG_GRPC_ADDR", catalog_grpc.to_string())
            .env("ACCOUNTS_GRPC_ADDR", accounts_grpc.to_string())
            .env("NATS_ADDR", nats.to_string())
            .env("DATA_DIR", folder)
            .env("LOG", "warn")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut program = Self {
            child,
            http,
            grpc,
            catalog_grpc,
            start: Duration::ZERO,
        };
        while !is_ready(http).await {
            assert!(begun.elapsed() < PATIENCE, "the program does not get ready");
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
        }
        program.start = begun.elapsed();
        program
    }

    /// How much memory it has, in megabytes.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = resident
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024.0 / 1e6
    }

    /// How much processor time it has taken so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name before it may hold spaces; ticks are a hundredth of a second.
        let figures = stat.rsplit(')').next().unwrap().split_whitespace();
        let ticks: u64 = figures
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// A connection of its own to the recommendations service.
    pub(crate) async fn recommendations(&self) -> RecommendationsClient<Channel> {
        let address = format!("http://{}", self.grpc);
        RecommendationsClient::connect(address).await.unwrap()
    }

    /// A connection of its own to the catalog service.
    pub(crate) async fn catalog(&self) -> CatalogClient<Channel> {
        let address = format!("http://{}", self.catalog_grpc);
        CatalogClient::connect(address).await.unwrap()
    }

    /// Stops it as an orchestrator does.
    pub(crate) async fn stop(mut self) {
        let signal = format!("kill -TERM {}", self.child.id());
        Command::new("sh").args(["-c", &signal]).status().unwrap();
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the program does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200"))
    };
    let asked = tokio::time::timeout(Duration::from_secs(1), ask).await;
    matches!(asked, Ok(Ok(true)))
}
