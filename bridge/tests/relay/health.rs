//! What a monitor is told of routes that cannot go on, and of the same routes when they can.

use std::net::{SocketAddr, TcpListener};

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use testkit::{Proxy, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    cases::{publish_all, send_all},
    scene::Pair,
};

/// How many records each route carries at last.
const RECORDS: usize = 20;

/// One route for each reason: the stream is full, there is no topic to read, the source is unavailable, and there is no topic
/// to write.
const ROUTES: &str = r#"
[nats.away]
url = "nats://AWAY"

[[routes]]
name = "PREFIX-full"
from = "kafka.k"
to = "nats.n"
topic = "PREFIX-topic"
subject = "PREFIX-full"

[[routes]]
name = "PREFIX-absent"
from = "kafka.k"
to = "nats.n"
topic = "PREFIX-absent"
subject = "PREFIX-absent"

[[routes]]
name = "PREFIX-away"
from = "nats.away"
to = "kafka.k"
subject = "PREFIX-subject"
topic = "PREFIX-away"

[[routes]]
name = "PREFIX-unmade"
from = "nats.n"
to = "kafka.k"
subject = "PREFIX-films.{id}"
topic = "PREFIX-film-{id}"
"#;

/// The status of a page, and the page; none before the program listens.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}

pub(crate) async fn a_route_that_is_stuck_is_seen_until_it_goes_on(pair: Pair) {
    let (full, absent, away) = (pair.name("full"), pair.name("absent"), pair.name("away"));
    for topic in [pair.name("topic"), away.clone()] {
        pair.kafka.create_topic(&topic).await;
    }
    for subject in [&absent, &pair.name("subject")] {
        pair.nats.create_stream(subject, subject).await;
    }
    let (unmade, film) = (pair.name("unmade"), pair.name("films.7"));
    pair.nats
        .create_stream(&unmade, &pair.name("films.*"))
        .await;
    let jetstream = pair.nats.jetstream().await;
    let one_message = Config {
        name: full.clone(),
        subjects: vec![full.clone()],
        max_messages: 1,
        discard: DiscardPolicy::New,
        ..Config::default()
    };
    jetstream.create_stream(one_message.clone()).await.unwrap();
    let published = jetstream.publish(film, "Heat".into()).await.unwrap();
    published.await.unwrap();
    publish_all(&pair, 0..RECORDS).await;
    send_all(&pair, 0..RECORDS).await;
    let proxy = Proxy::to(pair.nats.url().replace("nats://", ""))
        .await
        .unwrap();
    proxy.down();

    // The program has to be asked at a port that is known.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = port.local_addr().unwrap();
    drop(port);
    let routes = ROUTES.replace("AWAY", &proxy.address().to_string());
    let _program = pair.program_at(&routes, &http.to_string());
    let tells = async |path, status, words: &[&str]| {
        let answer = get(http, path).await;
        answer.is_some_and(|(known, page)| {
            known == status && words.iter().all(|words| page.contains(words))
        })
    };
    let stuck = [&full, &absent, &away, &unmade].map(|route| format!("relay/{route} is stuck: "));
    let stuck = stuck.each_ref().map(String::as_str);
    let reasons = [
        "maximum messages exceeded",
        "there is no such topic yet",
        "NATS cannot be reached",
        &format!("there is no topic `{}` yet", pair.name("film-7")),
    ];
    eventually("all routes are stuck", async || {
        tells("/healthz", 503, &stuck).await && tells("/healthz", 503, &reasons).await
    })
    .await;
    assert!(tells("/readyz", 503, &reasons).await);

    proxy.up();
    for topic in [&absent, &pair.name("film-7")] {
        pair.kafka.create_topic(topic).await;
    }
    eventually("the routes that can go on are not stuck", async || {
        let answer = get(http, "/healthz").await;
        answer.is_some_and(|(_, page)| {
            stuck.map(|route| page.contains(route)) == [true, false, false, false]
        })
    })
    .await;
    assert!(tells("/readyz", 503, &reasons[..1]).await);

    let any_number = Config {
        max_messages: -1,
        ..one_message
    };
    jetstream.update_stream(&any_number).await.unwrap();
    eventually("no route is stuck", async || {
        tells("/healthz", 200, &[]).await && tells("/readyz", 200, &[]).await
    })
    .await;
    eventually("all records have arrived", async || {
        let arrived = pair.kafka.read(&away).await.len() as u64;
        (pair.nats.count(&full).await, arrived) == (RECORDS as u64, RECORDS as u64)
    })
    .await;
    assert_eq!(pair.kafka.read(&pair.name("film-7")).await.len(), 1);
}
