//! A connection, or the listener, breaks in every way: nobody else notices, and nothing of it is left.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use runtime::{Handle, Process, Supervisor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::listener::Panic;
use super::{Listener, supervise};
use crate::broker::access::Users;
use crate::broker::closing::Closing;
use crate::broker::{Access, BrokerConfig, BrokerStats, ClientKind, Shared};

/// How many clients are served at once.
const PLACES: usize = 60;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
const HELLO: &[u8] = b"CONNECT {\"verbose\":false}\r\nSUB each 1\r\nSUB own.* 2\r\nPING\r\n";

struct Scene {
    addr: SocketAddr,
    stats: BrokerStats,
    process: Process,
    supervisor: Supervisor,
    listener: Handle<Listener>,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            max_connections: PLACES,
            ..BrokerConfig::new(dir.path(), Access::Open)
        };
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let (stats, process) = (BrokerStats::default(), Process::new());
        let supervisor = Supervisor::new("bridge", &process);
        let listener = supervise(&supervisor, socket, None, config, stats.clone());
        Scene {
            addr,
            stats,
            process,
            supervisor,
            listener,
            _dir: dir,
        }
    }

    fn broker(&self) -> Arc<Shared> {
        self.stats.control().broker().unwrap()
    }

    /// A client with two subscriptions.
    async fn client(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.addr).await.unwrap();
        socket.write_all(HELLO).await.unwrap();
        read_until(&mut socket, "PONG\r\n").await;
        socket
    }

    /// Connections, clients and subscriptions that there are now.
    fn counts(&self) -> (usize, usize, u64) {
        let stats = &self.stats;
        let subscriptions = stats.subscriptions_made() - stats.subscriptions_ended();
        (stats.connections(), stats.clients().len(), subscriptions)
    }

    /// Waits until so many clients are left, with what is theirs.
    async fn left(&self, clients: usize) {
        let expected = (clients, clients, 2 * clients as u64);
        let all = async || self.counts() == expected;
        testkit::eventually("what is gone has given everything back", all).await;
    }

    /// How many times an actor was restarted.
    fn restarts(&self, name: &str) -> u64 {
        let actors = self.process.registry.actors();
        let actor = actors.iter().find(|actor| actor.name == name);
        actor.map_or(0, |actor| actor.restarts)
    }

    /// The clients hear each other.
    async fn all_hear(&self, clients: &mut [TcpStream]) {
        let first = clients.first_mut().unwrap();
        first.write_all(b"PUB each 5\r\nhello\r\n").await.unwrap();
        for client in clients {
            read_until(client, "hello\r\n").await;
        }
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    let done = tokio::time::timeout(LONG, future).await;
    done.expect("it took too long")
}

async fn read_until(socket: &mut TcpStream, end: &str) {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut bytes = [0; 4096];
        let read = within(socket.read(&mut bytes)).await.unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

async fn is_closed(socket: &mut TcpStream) {
    // It may be reset instead, when something that it said was not read.
    let _ = within(socket.read_to_end(&mut Vec::new())).await;
}

#[actix::test]
async fn connections_that_panic_give_back_all_that_they_had() {
    let scene = Scene::start();
    let mut others = [scene.client().await, scene.client().await];
    // Were its place not given back, all would be taken in the end.
    for panics in 1..=PLACES as u64 {
        let mut victim = scene.client().await;
        assert!(scene.broker().router.has_interest("own.x"));
        // What reads panics, or what writes.
        let said: &[u8] = match panics % 2 {
            0 => b"PUB $PANIC 0\r\n\r\n",
            _ => b"SUB mine 3\r\nPUB mine 6\r\n$PANIC\r\n",
        };
        victim.write_all(said).await.unwrap();
        is_closed(&mut victim).await;
        scene.left(others.len()).await;
        assert_eq!(scene.stats.connection_panics(), panics);
    }
    scene.all_hear(&mut others).await;
    assert_eq!(
        (scene.restarts("broker"), scene.restarts("listener")),
        (0, 0)
    );
    scene.supervisor.stop(LONG).await;
    assert_eq!(scene.counts(), (0, 0, 0));
}

#[actix::test]
async fn a_listener_that_panics_keeps_its_socket_and_its_clients_through_a_storm() {
    let scene = Scene::start();
    let mut clients = vec![scene.client().await];
    for restarts in 1..=3 {
        scene.listener.tell(Panic).unwrap();
        let storm = (0..PLACES / 4).map(|_| scene.client());
        clients.extend(futures::future::join_all(storm).await);
        assert_eq!(scene.restarts("listener"), restarts);
        scene.all_hear(&mut clients).await;
    }
    let accepted = clients.len() as u64;
    assert_eq!(scene.stats.accepted(), accepted);
    assert_eq!(
        (scene.restarts("broker"), scene.stats.connection_panics()),
        (0, 0)
    );
    clients.truncate(1);
    scene.left(1).await;
    scene.all_hear(&mut clients).await;
    scene.supervisor.stop(LONG).await;
}

#[actix::test]
async fn a_connection_is_closed_by_a_message_once_it_has_what_waits() {
    let scene = Scene::start();
    let mut clients = [scene.client().await, scene.client().await];
    let [closed, _] = scene.broker().connections.ids()[..] else {
        panic!("there are two")
    };
    let broker = scene.broker();
    for _ in 0..100 {
        broker.router.answer("each", &[], b"x");
    }
    broker.connections.close(closed, Closing::Stale);
    let [first, second] = &mut clients;
    let mut text = String::new();
    within(first.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text.matches("MSG each 1 1").count(), 100);
    assert!(text.ends_with("-ERR 'Stale Connection'\r\n"), "{text}");
    scene.left(1).await;
    scene.all_hear(std::slice::from_mut(second)).await;
}

#[actix::test]
async fn a_client_that_waits_for_a_stream_is_closed_as_any_other() {
    let scene = Scene::start();
    let control = scene.stats.control();
    let broker = control.serving().await;
    let _stuck = broker.jetstream.as_ref().unwrap().add_stuck_stream();
    let waiting = async || {
        let mut client = scene.client().await;
        // What was published before is written when the session waits.
        let published = b"PUB own.a 5\r\nhello\r\nPUB stuck 0\r\n\r\n";
        client.write_all(published).await.unwrap();
        read_until(&mut client, "hello\r\n").await;
        client
    };
    let mut client = waiting().await;
    let id = broker.connections.ids()[0];
    broker.connections.close(id, Closing::Stale);
    read_until(&mut client, "-ERR 'Stale Connection'\r\n").await;
    scene.left(0).await;
    let mut client = waiting().await;
    let nobody = Access::Users(Users::default());
    let limits = broker.config.serving_limits();
    control
        .change_security(&nobody, None, None, limits)
        .unwrap();
    read_until(&mut client, "-ERR 'Authorization Violation'\r\n").await;
    scene.left(0).await;
}

#[actix::test]
async fn connections_end_with_their_broker_and_none_is_added_to_it() {
    let scene = Scene::start();
    let mut client = scene.client().await;
    let broker = scene.broker();
    broker.connections.end_all();
    is_closed(&mut client).await;
    scene.left(0).await;
    let late = TcpStream::connect(scene.addr).await.unwrap();
    let address = late.local_addr().unwrap();
    actix::Actor::start(super::Connection::new(
        late,
        ClientKind::Standard,
        address,
        Arc::clone(&broker),
    ));
    testkit::eventually("its place is given back", async || {
        Arc::strong_count(&broker) == 2
    })
    .await;
    assert_eq!(scene.counts(), (0, 0, 0));
}
