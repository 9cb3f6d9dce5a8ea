//! Tests of what clients that show passwords may wait for: all together, and each by itself.

use std::time::{Duration, Instant};

use actix::AsyncContext;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::turns::MAX_WAITING;
use super::*;
use crate::broker::actors::Connection;
use crate::broker::clients::Client;
use crate::broker::closing::Closing;
use crate::broker::security::{Changed, CurrentSecurity};
use crate::broker::session::Session;
use crate::broker::websocket::WebSocketSettings;
use crate::broker::{Broker, BrokerConfig, BrokerStats, ServingLimits, Shared};

const CONNECT: &[u8] = b"CONNECT {\"auth_token\":\"token\",\"verbose\":false}\r\nPING\r\n";

fn access() -> Access {
    Access::Token(Password::Bcrypt(bcrypt::hash("token", 4).unwrap()))
}

fn shown() -> Credentials {
    Credentials {
        auth_token: Some("token".to_owned()),
        ..Credentials::default()
    }
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn so_many_clients_of_an_address_wait_for_a_check_and_the_next_is_refused() {
    let turns = Turns::on_half_of_the_cores();
    let authenticator = Authenticator::new(&access(), ClientKind::Standard, turns);
    let authenticator = Arc::new(authenticator.unwrap());
    let taken = authenticator.turns.take_all();
    let identify = |from: &str| {
        let (authenticator, from) = (Arc::clone(&authenticator), from.parse().unwrap());
        tokio::spawn(async move { authenticator.identify(shown(), from, None, None).await })
    };
    let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| identify("10.0.0.1")).collect();
    testkit::eventually("all of them wait", async || {
        authenticator.turns.counts() == (0, MAX_WAITING)
    })
    .await;
    let refused = identify("10.0.0.1").await.unwrap();
    assert_eq!(refused.unwrap_err(), Busy);
    let other = identify("10.0.0.2");
    let given_way = waiting.pop().unwrap().await.unwrap();
    assert_eq!(given_way.unwrap_err(), Busy);
    let turns = taken.len();
    drop(taken);
    for waiting in waiting.into_iter().chain([other]) {
        assert!(waiting.await.unwrap().unwrap().is_some());
    }
    assert_eq!(authenticator.turns.counts(), (turns, 0));
}

/// A broker whose clients wait for their checks for as long as the test holds all turns.
async fn serve(config: BrokerConfig) -> (String, Arc<Shared>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = Broker::open(config, BrokerStats::default()).await.unwrap();
    let shared = broker.control().broker().unwrap();
    tokio::spawn(broker.serve(listener, std::future::pending()));
    (address, shared)
}

async fn connect(address: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(CONNECT).await.unwrap();
    client
}

/// What a client hears until it is closed.
async fn heard(mut client: TcpStream) -> String {
    let mut heard = String::new();
    let read = client.read_to_string(&mut heard);
    let read = tokio::time::timeout(Duration::from_secs(30), read).await;
    read.expect("the client is closed").unwrap();
    heard
}

#[tokio::test]
async fn a_client_that_waits_for_its_check_gives_way_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        max_unauthenticated: 1,
        connect_deadline: Duration::from_secs(3600),
        ..BrokerConfig::new(dir.path(), access())
    };
    let (address, shared) = serve(config).await;
    let security = shared.security.get(ClientKind::Standard);
    let taken = security.authenticator.turns.take_all();
    let first = connect(&address).await;
    testkit::eventually("it waits", async || {
        security.authenticator.turns.counts() == (0, 1)
    })
    .await;
    let mut second = connect(&address).await;
    let told = heard(first).await;
    assert!(told.contains("maximum connections exceeded"), "{told}");
    drop(taken);
    let mut bytes = [0; 4096];
    let mut answer = String::new();
    while !answer.contains("PONG") {
        let count = second.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

/// What its connect deadline is does not matter any more once it has passed.
#[tokio::test]
async fn a_client_that_shows_its_token_late_does_not_wait_for_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        connect_deadline: Duration::from_secs(3600),
        ..BrokerConfig::new(dir.path(), access())
    };
    let (_, shared) = serve(config).await;
    let security = shared.security.get(ClientKind::Standard);
    let _taken = security.authenticator.turns.take_all();
    let outbound = shared.outputs.open(7, 1 << 20);
    let address = "127.0.0.1:1".parse().unwrap();
    let client = Arc::new(Client::new(outbound, ClientKind::Standard, address, None));
    let place = shared.admission.enter(7, HERE);
    let actor = actix::Context::<Connection>::new().address();
    let mut session = Session::begin(client, actor, place, Arc::clone(&shared));
    session.login_deadline = Instant::now();
    let mut input = BytesMut::from(CONNECT);
    let handled = tokio::time::timeout(Duration::from_secs(30), session.handle_all(&mut input));
    assert_eq!(
        handled.await.expect("it is not kept waiting"),
        Err(Closing::NotIntroduced)
    );
}

fn limits() -> ServingLimits {
    BrokerConfig::new("unused", Access::Open).serving_limits()
}

/// The security of a broker with websockets, as it is until it changes and as it changes.
fn with_websockets(access: Access) -> (CurrentSecurity, Changed) {
    let config = BrokerConfig {
        websocket: Some(WebSocketSettings::new(access, None)),
        ..BrokerConfig::new(std::path::Path::new("unused"), Access::Open)
    };
    let changed = Changed::default();
    let security = CurrentSecurity::new(&config, changed.clone()).unwrap();
    (security, changed)
}

#[test]
fn all_clients_take_turns_with_each_other() {
    let (security, changed) = with_websockets(access());
    let turns = |kind| Arc::clone(&security.get(kind).authenticator.turns);
    let _taken = turns(ClientKind::Standard).take_all();
    assert_eq!(turns(ClientKind::WebSocket).counts(), (0, 0));
    changed.replace(&access(), None, None, limits()).unwrap();
    assert_eq!(turns(ClientKind::Standard).counts(), (0, 0));
}

#[tokio::test]
async fn a_change_without_websockets_lets_nobody_in_by_websocket() {
    let (security, changed) = with_websockets(access());
    for (is_changed, is_known) in [(false, true), (true, false)] {
        if is_changed {
            changed.replace(&access(), None, None, limits()).unwrap();
        }
        for (kind, is_known) in [
            (ClientKind::Standard, true),
            (ClientKind::WebSocket, is_known),
        ] {
            let authenticator = &security.get(kind).authenticator;
            let identified = authenticator.identify(shown(), HERE, None, None).await;
            assert_eq!(identified.unwrap().is_some(), is_known, "{kind:?}");
        }
    }
}
