//! A broker that goes away lets its clients go first.

use std::time::Duration;

use bridge::broker::{Access, Broker, BrokerConfig, BrokerStats};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::within;

#[tokio::test(flavor = "multi_thread")]
async fn in_lame_duck_mode_clients_are_told_and_closed_and_the_broker_ends() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        lame_duck_duration: Duration::from_millis(100),
        lame_duck_grace_period: Duration::from_millis(10),
        ..BrokerConfig::new(dir.path(), Access::Open)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let broker = Broker::open(config, BrokerStats::default()).await.unwrap();
    let control = broker.control();
    let serving = tokio::spawn(broker.serve(listener, std::future::pending()));

    let introduced = async |protocol: u8| {
        let mut socket = BufReader::new(TcpStream::connect(addr).await.unwrap());
        let say = format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\nPING\r\n");
        socket.write_all(say.as_bytes()).await.unwrap();
        let mut line = String::new();
        while !line.contains(if protocol == 1 {
            "connect_info"
        } else {
            "PONG"
        }) {
            line.clear();
            within(socket.read_line(&mut line)).await.unwrap();
        }
        socket
    };
    let (mut newer, mut older) = (introduced(1).await, introduced(0).await);
    control.enter_lame_duck_mode();
    let mut line = String::new();
    within(newer.read_line(&mut line)).await.unwrap();
    assert!(
        line.starts_with("INFO ") && line.contains("\"ldm\":true"),
        "{line}"
    );
    let late = TcpStream::connect(addr).await;
    assert!(late.is_err(), "new clients are turned away at once");
    for socket in [&mut newer, &mut older] {
        line.clear();
        assert_eq!(
            within(socket.read_line(&mut line)).await.unwrap(),
            0,
            "{line}"
        );
    }
    within(control.gone()).await;
    within(serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(addr).await.is_err(), "no more clients");
}
