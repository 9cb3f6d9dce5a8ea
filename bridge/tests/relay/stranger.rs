//! A Kafka that does not let the relay in: what it says is the reason why the routes do not go on.

use std::{fs, io, time::Duration};

use bridge::relay::{config, route};
use bytes::BufMut;
use runtime::{Process, Supervisor};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::nats::Nats;

/// As Apache Kafka has it.
const REFUSAL: &str = "Authentication failed: Invalid username or password";
/// Requests, and errors.
const METADATA: i16 = 3;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;
const UNSUPPORTED_VERSION: i16 = 35;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// One route for each client that may be the first to be refused.
const ROUTES: &str = r#"
[kafka.k]
brokers = "BROKER"
[kafka.k.properties]
"security.protocol" = "sasl_plaintext"
"sasl.mechanism" = "PLAIN"
"sasl.username" = "relay"
"sasl.password" = "wrong"

[nats.n]
url = "NATS"

[[routes]]
name = "there"
from = "kafka.k"
to = "nats.n"
topic = "films"
subject = "films"

[[routes]]
name = "made"
from = "kafka.k"
to = "nats.n"
topic = "ratings"
subject = "ratings"
create = true

[[routes]]
name = "back"
from = "nats.n"
to = "kafka.k"
subject = "films"
topic = "films"
create = true
"#;

/// A broker that takes the mechanism PLAIN, and no password.
async fn answer(mut socket: TcpStream) -> io::Result<()> {
    loop {
        let length = socket.read_i32().await?;
        let key = socket.read_i16().await?;
        let version = socket.read_i16().await?;
        let id = socket.read_i32().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap() - 8];
        socket.read_exact(&mut rest).await?;
        let mut answer = Vec::new();
        let text = |answer: &mut Vec<u8>, text: &str| {
            answer.put_i16(i16::try_from(text.len()).unwrap());
            answer.put_slice(text.as_bytes());
        };
        match key {
            API_VERSIONS => {
                let requests = [METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE];
                answer.put_i16(if version > 0 { UNSUPPORTED_VERSION } else { 0 });
                answer.put_i32(i32::try_from(requests.len()).unwrap());
                for key in requests {
                    answer.put_i16(key);
                    answer.put_i16(0);
                    answer.put_i16(i16::from(key != API_VERSIONS));
                }
            }
            SASL_HANDSHAKE => {
                answer.put_i16(0);
                answer.put_i32(1);
                text(&mut answer, "PLAIN");
            }
            _ => {
                answer.put_i16(SASL_AUTHENTICATION_FAILED);
                text(&mut answer, REFUSAL);
                answer.put_i32(0);
            }
        }
        let length = i32::try_from(4 + answer.len()).unwrap();
        socket.write_i32(length).await?;
        socket.write_i32(id).await?;
        socket.write_all(&answer).await?;
    }
}

/// Why the routes between `nats` and a Kafka at `broker` do not go on.
async fn reasons(broker: &str, nats: &Nats) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    let routes = ROUTES
        .replace("BROKER", broker)
        .replace("NATS", &nats.url());
    fs::write(&file, routes).unwrap();
    let process = Process::new();
    let supervisor = Supervisor::new("relay", &process);
    let reports = route::start(&supervisor, &config::read(&file).unwrap());
    let mut reasons = Vec::new();
    eventually("all routes are stuck", async || {
        let stuck = reports.iter().filter_map(|report| report.status().stuck);
        reasons = stuck.map(|(reason, _)| reason).collect();
        reasons.len() == reports.len()
    })
    .await;
    supervisor.stop(Duration::from_secs(10)).await;
    reasons
}

#[actix::test]
async fn what_kafka_says_to_a_stranger_is_the_reason() {
    let nats = Nats::embedded().await;
    nats.create_stream("films", "films").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket));
        }
    });
    for reason in reasons(&broker, &nats).await {
        assert!(reason.contains(REFUSAL), "{reason}");
        assert!(!reason.contains("wrong"), "{reason}");
    }
}

#[actix::test]
async fn a_broker_that_is_not_there_is_named() {
    let nats = Nats::embedded().await;
    nats.create_stream("films", "films").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = listener.local_addr().unwrap().to_string();
    drop(listener);
    for reason in reasons(&broker, &nats).await {
        let is_told = reason.contains(&broker) && reason.contains("Connection refused");
        assert!(is_told, "{reason}");
    }
}
