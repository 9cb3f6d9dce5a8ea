//! The database server becomes unavailable and available again. Seen from a client that is a closed port and cut
//! connections, which a relay in between can do without a server of its own.

use std::time::{Duration, Instant};

use runtime::{Process, Supervisor};
use storage::{Database, DatabaseUrl, Error, testing::TestDatabase};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::support::{count, eventually, in_system, insert, open, outside};

#[test]
fn the_pool_recovers_when_the_server_is_back() {
    with_relay("restarted", async |database, mut relay, test| {
        database.write(|conn| insert(conn, 1)).await.unwrap();
        relay.cut().await;

        let begun = Instant::now();
        let (read, write) = tokio::join!(
            database.read(|conn| count(conn, "notes")),
            database.write(|conn| insert(conn, 2))
        );
        assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
        assert!(matches!(write, Err(Error::Unavailable(_))), "{write:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "the callers waited {:?}",
            begun.elapsed()
        );

        relay.repair().await;
        eventually("reads to work again", async || {
            database.read(|conn| count(conn, "notes")).await.ok()
        })
        .await;
        database.write(|conn| insert(conn, 3)).await.unwrap();
        assert_eq!(
            outside(test, |conn| count(conn, "notes").unwrap()),
            2,
            "1 and 3"
        );
    });
}

#[test]
fn connections_that_fall_silent_are_given_up() {
    with_relay("silent", async |database, relay, test| {
        database.write(|conn| insert(conn, 1)).await.unwrap();
        let read = database.read(|conn| count(conn, "notes")).await;
        assert_eq!(read.unwrap(), 1);
        // In the middle of a write, and on connections that wait for their next use.
        let mute = relay.mute.clone();
        let write = database.write(move |conn| {
            mute.send_modify(|count| *count += 1);
            insert(conn, 2)
        });
        let begun = Instant::now();
        let write = write.await;
        assert!(matches!(write, Err(Error::Unavailable(_))), "{write:?}");
        let until = Duration::from_secs(15);
        tokio::time::timeout(until, database.write(|conn| insert(conn, 3)))
            .await
            .expect("the writer was never held up for long")
            .unwrap();
        eventually("reads to work again", async || {
            database.read(|conn| count(conn, "notes")).await.ok()
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(20));
        let there = outside(test, |conn| count(conn, "notes WHERE id <> 2").unwrap());
        assert_eq!(there, 2, "1 and 3");
    });
}

#[test]
fn a_service_that_starts_before_its_server_waits_for_it() {
    with_relay("early", async |database, mut relay, _| {
        drop(database);
        relay.cut().await;
        let supervisor = Supervisor::new("storage-test", &Process::new());
        let url = relay.url.clone();
        let opens = async { open(&supervisor, &url).await.map(drop) };
        let comes_back = async {
            // Attempts to connect are refused meanwhile; nothing shows how many.
            tokio::time::sleep(Duration::from_millis(500)).await;
            relay.repair().await;
        };
        let (opened, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(60), opens),
            comes_back
        );
        opened.expect("it is open in time").unwrap();
    });
}

/// Stands between the storage and the server.
struct Relay {
    url: DatabaseUrl,
    server: String,
    address: String,
    running: Option<JoinHandle<()>>,
    /// Each change makes the connections that are open forward nothing more, without closing them.
    mute: watch::Sender<u32>,
}

fn with_relay(name: &str, test: impl AsyncFnOnce(Database, Relay, &TestDatabase)) {
    let Some(database) = TestDatabase::mysql(name) else {
        return;
    };
    outside(&database, |conn| {
        use diesel::connection::SimpleConnection;
        conn.batch_execute(
            "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY, word VARCHAR(255) NOT NULL)",
        )
        .unwrap();
    });
    in_system(async {
        let relay = Relay::before(database.url()).await;
        let supervisor = Supervisor::new("storage-test", &Process::new());
        let opened = open(&supervisor, &relay.url).await.unwrap();
        test(opened, relay, &database).await;
    });
}

impl Relay {
    async fn before(url: &DatabaseUrl) -> Self {
        let DatabaseUrl::Mysql(url) = url else {
            unreachable!("a MySQL database has a MySQL address")
        };
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut through = url.clone();
        through.set_port(Some(address.port())).unwrap();
        let mut relay = Self {
            url: DatabaseUrl::Mysql(through),
            server,
            address: address.to_string(),
            running: None,
            mute: watch::Sender::default(),
        };
        relay.run(listener);
        relay
    }

    fn run(&mut self, listener: TcpListener) {
        let (server, mute) = (self.server.clone(), self.mute.clone());
        self.running = Some(tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut upstream = TcpStream::connect(&server).await.unwrap();
                let mut muted = mute.subscribe();
                connections.spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut upstream) => {}
                        // Keeps both sides open.
                        Ok(()) = muted.changed() => std::future::pending().await,
                    }
                });
            }
        }));
    }

    /// Cuts all connections and takes no more.
    async fn cut(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    async fn repair(&mut self) {
        let listener = eventually("the port to be free again", async || {
            TcpListener::bind(&self.address).await.ok()
        });
        let listener = listener.await;
        self.run(listener);
    }
}
