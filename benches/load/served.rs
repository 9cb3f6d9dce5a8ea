//! Servers of the benchmark itself, each in a process of its own as the program is.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::ports::free_address;

const ADDRESS: &str = "LOAD_SERVED_ADDR";

/// A server of the benchmark. Dropped, it is killed.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    /// Starts the benchmark again as `what`, with these settings, and waits until it answers.
    pub(crate) async fn start(what: &str, settings: &[(&str, String)]) -> Self {
        let address = free_address();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(what)
            .env(ADDRESS, address.to_string())
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Pages have to reach their services first.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self { child, address }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server that the benchmark has started is to listen.
pub(crate) fn address() -> SocketAddr {
    setting(ADDRESS)
}

/// What a server that the benchmark has started was told.
pub(crate) fn setting<T: std::str::FromStr>(name: &str) -> T {
    let value = std::env::var(name).unwrap();
    value.parse().unwrap_or_else(|_| panic!("{name}={value}"))
}
