//! Publish and subscribe, queue groups, requests, headers.

use std::time::Duration;

use async_nats::{HeaderMap, RequestErrorKind};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{on_each_server, settle};

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_every_subscriber_whose_pattern_matches() {
    on_each_server(async |server| {
        let (sender, receiver) = (server.client().await, server.client().await);
        let base = server.name("pubsub");
        let mut exact = receiver.subscribe(format!("{base}.a.b")).await.unwrap();
        let mut star = receiver.subscribe(format!("{base}.*.b")).await.unwrap();
        let mut rest = receiver.subscribe(format!("{base}.>")).await.unwrap();
        settle(&receiver).await;
        sender
            .publish(format!("{base}.a.b"), "one".into())
            .await
            .unwrap();
        sender
            .publish(format!("{base}.x.b"), "two".into())
            .await
            .unwrap();
        sender
            .publish(format!("{base}.x"), "three".into())
            .await
            .unwrap();
        sender.flush().await.unwrap();
        assert_eq!(exact.next().await.unwrap().payload, "one");
        for payload in ["one", "two"] {
            assert_eq!(star.next().await.unwrap().payload, payload);
        }
        for payload in ["one", "two", "three"] {
            assert_eq!(rest.next().await.unwrap().payload, payload);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_group_shares_its_messages() {
    on_each_server(async |server| {
        let sender = server.client().await;
        let subject = server.name("queue");
        let (first, second) = (server.client().await, server.client().await);
        let one = first
            .queue_subscribe(subject.clone(), "workers".into())
            .await
            .unwrap();
        let two = second
            .queue_subscribe(subject.clone(), "workers".into())
            .await
            .unwrap();
        settle(&first).await;
        settle(&second).await;
        for number in 0..200 {
            sender
                .publish(subject.clone(), number.to_string().into())
                .await
                .unwrap();
        }
        sender.flush().await.unwrap();
        let mut numbers: Vec<u32> = Vec::new();
        let mut both = futures::stream::select(
            one.map(|message| (1, message)),
            two.map(|message| (2, message)),
        );
        let mut got = [0, 0];
        while numbers.len() < 200 {
            let (who, message) = both.next().await.unwrap();
            got[who - 1] += 1;
            numbers.push(
                std::str::from_utf8(&message.payload)
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
        }
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            (0..200).collect::<Vec<_>>(),
            "each message went to one"
        );
        assert!(got[0] > 20 && got[1] > 20, "{got:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_or_refused_at_once() {
    on_each_server(async |server| {
        let (client, service) = (server.client().await, server.client().await);
        let subject = server.name("echo");
        let error = client
            .request(subject.clone(), "hi".into())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);
        let mut requests = service.subscribe(subject.clone()).await.unwrap();
        settle(&service).await;
        let answering = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                service
                    .publish(request.reply.unwrap(), request.payload)
                    .await
                    .unwrap();
            }
        });
        assert_eq!(
            client.request(subject, "hi".into()).await.unwrap().payload,
            "hi"
        );
        answering.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_travel_with_their_message() {
    on_each_server(async |server| {
        let client = server.client().await;
        let subject = server.name("headers");
        let mut messages = client.subscribe(subject.clone()).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("marquee-key", "film-1");
        headers.append("many", "a");
        headers.append("many", "b");
        client
            .publish_with_headers(subject, headers.clone(), "body".into())
            .await
            .unwrap();
        let message = messages.next().await.unwrap();
        assert_eq!(
            (message.headers, message.payload),
            (Some(headers), "body".into())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_can_be_limited_in_advance() {
    on_each_server(async |server| {
        let client = server.client().await;
        let subject = server.name("limited");
        let mut messages = client.subscribe(subject.clone()).await.unwrap();
        messages.unsubscribe_after(2).await.unwrap();
        for _ in 0..5 {
            client.publish(subject.clone(), "x".into()).await.unwrap();
        }
        client.flush().await.unwrap();
        let mut count = 0;
        while messages.next().await.is_some() {
            count += 1;
        }
        assert_eq!(count, 2);
    })
    .await;
}

/// Sends raw protocol text and returns what the server says until it has said `until` or closed the connection.
pub(crate) async fn converse(url: &str, text: &str, until: &str) -> String {
    let address = url.trim_start_matches("nats://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&heard).contains(until) {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => heard.extend_from_slice(&buffer[..count]),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reading)
        .await
        .expect("the server said nothing more");
    let heard = String::from_utf8(heard).unwrap();
    heard
        .split_once("\r\n")
        .map(|(_, after_info)| after_info.to_owned())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_spoken_as_real_clients_do() {
    on_each_server(async |server| {
        let subject = server.name("raw");
        let quiet = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"name":null}"#;
        for (say, hear) in [
            ("CONNECT {}\r\nPING\r\n".to_owned(), "+OK\r\nPONG\r\n".to_owned()),
            (
                format!("{quiet}\r\nsub {subject}  1\r\npub {subject}   2\r\nhi\r\nUNSUB 1 \r\nPUB {subject} 1\r\nx\r\nping\r\n"),
                format!("MSG {subject} 1 2\r\nhi\r\nPONG\r\n"),
            ),
            (
                format!("{quiet}\r\nSUB {subject} 1\r\nHPUB {subject} r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n"),
                format!("HMSG {subject} 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n"),
            ),
            (
                format!("CONNECT {{\"verbose\":false,\"echo\":false}}\r\nSUB {subject} 1\r\nPUB {subject} 1\r\nx\r\nPING\r\n"),
                "PONG\r\n".to_owned(),
            ),
        ] {
            assert_eq!(converse(&server.url, &say, "PONG\r\n").await, hear, "{say}");
        }
        // Newer servers add the subject to it.
        let say = format!("{quiet}\r\nSUB {subject}.in 7\r\nPUB {subject}.nobody {subject}.in 0\r\n\r\nPING\r\n");
        let heard = converse(&server.url, &say, "PONG\r\n").await;
        assert!(heard.starts_with(&format!("HMSG {subject}.in 7 ")) && heard.contains("\r\nNATS/1.0 503\r\n"), "{heard}");
        for (say, error) in [
            ("NONSENSE\r\n".to_owned(), "-ERR 'Unknown Protocol Operation'"),
            (format!("{quiet}\r\nPUB {subject} 99999999\r\n"), "-ERR 'Maximum Payload Violation'"),
            (format!("{quiet}\r\nSUB a..b 1\r\n"), "-ERR 'Invalid Subject'"),
        ] {
            let heard = converse(&server.url, &say, "\r\n-ERR").await;
            assert!(heard.contains(error), "{say}: {heard}");
        }
    })
    .await;
}
