//! Which clients the broker serves: those that show its token, in time, and however many others are
//! silent.

use std::time::Duration;

use async_nats::ConnectOptions;
use bridge::broker::{Access, BrokerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Embedded, within};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn broker(change: impl FnOnce(&mut BrokerConfig)) -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(dir.path(), Access::Token(TOKEN.parse().unwrap()));
    change(&mut config);
    let broker = Embedded::start_with(config).await;
    (dir, broker)
}

/// Says something and returns all that the broker says until it closes the connection.
async fn heard(socket: &mut TcpStream, say: &str) -> String {
    socket.write_all(say.as_bytes()).await.unwrap();
    let mut heard = String::new();
    // What is left unread at the broker's end may reset the connection.
    let _ = within(socket.read_to_string(&mut heard)).await;
    heard
}

async fn connect(broker: &Embedded, token: &str) -> Result<async_nats::Client, String> {
    let options = ConnectOptions::with_token(token.to_owned());
    let client = options.connect(broker.addr.to_string()).await;
    client.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_token_is_refused_before_anything_else() {
    let (_dir, broker) = broker(|_| ()).await;
    let other = TOKEN.replace('0', "1");
    for say in [
        "PING\r\n".to_owned(),
        "PUB a 1\r\nx\r\n".to_owned(),
        "CONNECT {}\r\nPING\r\n".to_owned(),
        format!("CONNECT {{\"auth_token\":\"{other}\"}}\r\nPING\r\n"),
        format!("CONNECT {{\"auth_token\":\"{TOKEN}0\"}}\r\nPING\r\n"),
        "CONNECT {\"auth_token\":null,\"user\":\"a\",\"pass\":\"b\"}\r\n".to_owned(),
        "SUB > 1\r\n".to_owned(),
    ] {
        let mut socket = TcpStream::connect(broker.addr).await.unwrap();
        let heard = heard(&mut socket, &say).await;
        let (info, rest) = heard.split_once("\r\n").unwrap();
        assert!(info.contains("\"auth_required\":true"), "{info}");
        assert_eq!(rest, "-ERR 'Authorization Violation'\r\n", "{say}");
    }
    let error = connect(&broker, &other).await.unwrap_err();
    assert!(error.contains("authorization violation"), "{error}");
    connect(&broker, TOKEN)
        .await
        .unwrap()
        .flush()
        .await
        .unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_closed() {
    let (_dir, broker) = broker(|config| config.connect_deadline = Duration::from_millis(50)).await;
    for say in ["", "CONN", "CONNECT {\"auth_token\":\"0123"] {
        let mut socket = TcpStream::connect(broker.addr).await.unwrap();
        let heard = heard(&mut socket, say).await;
        assert!(
            heard.ends_with("\r\n-ERR 'Authentication Timeout'\r\n"),
            "{heard}"
        );
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_lock_no_other_out() {
    let (_dir, broker) = broker(|config| {
        config.connect_deadline = Duration::from_secs(3600);
        config.max_unauthenticated = 8;
        config.max_connections = 2;
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(broker.addr).await.unwrap());
    }
    let first = connect(&broker, TOKEN).await.unwrap();
    let _second = connect(&broker, TOKEN).await.unwrap();
    let too_many = "maximum connections exceeded";
    for socket in silent.iter_mut().take(90) {
        let heard = heard(socket, "").await;
        assert!(
            heard.ends_with(&format!("-ERR '{too_many}'\r\n")),
            "{heard}"
        );
    }
    assert!(
        connect(&broker, TOKEN).await.is_err(),
        "all places are taken"
    );
    first.flush().await.unwrap();
    broker.stop().await;
}
