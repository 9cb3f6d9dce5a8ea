//! The databases and brokers that a test runs over: what every machine has, and what the environment names.

use std::{
    env,
    io::Write,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use mysql_async::prelude::Queryable;
use tokio::sync::{Mutex, MutexGuard};

/// Where the services keep their tables.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// Files in the data folder.
    Sqlite,
    /// The server of this URL, which names no database.
    Mysql(String),
}

/// What carries the events.
#[derive(Clone, Debug)]
pub(crate) enum Bus {
    Embedded,
    /// The URL of a real nats-server.
    Nats(String),
    /// `host:port` of a real Kafka.
    Kafka(String),
}

/// Says that something is not tested here; where servers are required, that is an error.
pub(crate) fn skip(what: &str) {
    assert!(
        env::var_os("CI_REQUIRE_SERVERS").is_none(),
        "skipped although servers are required: {what}"
    );
    // Past the capture of `eprintln`, which would hide it in a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

fn server(variable: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        skip(&format!("no {variable}"));
    }
    value
}

/// The MySQL server to test against, if there is one.
pub(crate) fn mysql_url() -> Option<String> {
    server("TEST_MYSQL_URL")
}

/// Where Kafka listens for a relay, and the address of the relay, to which it refers its clients.
pub(crate) fn kafka_for_relay() -> Option<(String, String)> {
    let addresses = server("TEST_KAFKA_RELAYED")?;
    let (server, relay) = addresses.split_once(' ').expect("two addresses");
    Some((server.to_owned(), relay.to_owned()))
}

/// Every kind of database that this machine has.
pub(crate) fn stores() -> Vec<Store> {
    [Store::Sqlite]
        .into_iter()
        .chain(mysql_url().map(Store::Mysql))
        .collect()
}

/// Every kind of bus that this machine has.
pub(crate) fn buses() -> Vec<Bus> {
    let nats = server("TEST_NATS_URL").map(Bus::Nats);
    let kafka = server("TEST_KAFKA_BROKERS").map(Bus::Kafka);
    [Bus::Embedded]
        .into_iter()
        .chain(nats)
        .chain(kafka)
        .collect()
}

impl Store {
    /// A database of its own for the service `service`: the value of its `DATABASE_URL`, or nothing for its default.
    pub(crate) async fn database(&self, service: &str) -> Option<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Self::Mysql(server) = self else {
            return None;
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("system_{service}_{}_{number}", process::id());
        let mut connection = mysql_async::Conn::from_url(server).await.unwrap();
        connection
            .query_drop(format!("DROP DATABASE IF EXISTS {name}"))
            .await
            .unwrap();
        connection
            .query_drop(format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        connection.disconnect().await.unwrap();
        Some(format!("{}/{name}", server.trim_end_matches('/')))
    }
}

impl Bus {
    /// The settings that choose this bus; the embedded one is chosen by saying nothing.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Embedded => Vec::new(),
            Self::Nats(url) => vec![("EVENT_BUS".to_owned(), url.clone())],
            Self::Kafka(brokers) => vec![("KAFKA_BROKER".to_owned(), brokers.clone())],
        }
    }

    /// Waits for this test's turn on a broker that others use too: topic and consumer group are
    /// the contract's, so two catalogs at once would take each other's events.
    pub(crate) async fn turn(&self) -> Option<MutexGuard<'static, ()>> {
        static NATS: Mutex<()> = Mutex::const_new(());
        static KAFKA: Mutex<()> = Mutex::const_new(());
        match self {
            Self::Embedded => None,
            Self::Nats(_) => Some(NATS.lock().await),
            Self::Kafka(_) => Some(KAFKA.lock().await),
        }
    }
}
