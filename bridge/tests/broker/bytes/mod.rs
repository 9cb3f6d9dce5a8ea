//! Conversations byte by byte: the broker has to answer as nats-server does, and a real one is asked as well where there is one.

mod introductions;
mod messages;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, on_each_server, within};

const QUIET: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
const VERBOSE: &str = "CONNECT {\"verbose\":true,\"headers\":true}\r\n";
const PEDANTIC: &str = "CONNECT {\"verbose\":false,\"pedantic\":true,\"headers\":true}\r\n";
const CLOSED: &str = "<closed>";

/// What the server says after its greeting: until it closes the connection if that is expected, else until all is heard that is.
async fn heard(server: &Server, say: &str, expected: &str) -> String {
    let is_to_be_closed = expected.ends_with(CLOSED);
    let is_enough = |heard: &[u8]| !is_to_be_closed && heard.len() >= expected.len();
    listen(server, say, is_enough).await
}

async fn heard_until(server: &Server, say: &str, last: &str) -> String {
    let is_enough = |heard: &[u8]| String::from_utf8_lossy(heard).contains(last);
    within(listen(server, say, is_enough)).await
}

async fn listen(server: &Server, say: &str, is_enough: impl Fn(&[u8]) -> bool) -> String {
    let address = server.url.trim_start_matches("nats://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    while socket.read_u8().await.unwrap() != b'\n' {}
    // The server may close the connection before it has read everything.
    let _ = socket.write_all(say.as_bytes()).await;
    let mut heard = Vec::new();
    while !is_enough(&heard) {
        match socket.read_buf(&mut heard).await {
            Ok(0) | Err(_) => {
                heard.extend_from_slice(CLOSED.as_bytes());
                break;
            }
            Ok(_) => {}
        }
    }
    String::from_utf8(heard).unwrap()
}

/// `prefix` takes the place of `by.`: other tables are tried on the same server at the same time.
async fn compare(cases: &[(&str, &str)], prefix: &str) {
    on_each_server(async |server| {
        let mut wrong = Vec::new();
        for (say, expected) in cases {
            let expected = &expected.replace("by.", prefix);
            let say = say
                .replace("by.", prefix)
                .replace("Q|", QUIET)
                .replace("V|", VERBOSE)
                .replace("P|", PEDANTIC);
            let hearing = heard(&server, &say, expected);
            match tokio::time::timeout(std::time::Duration::from_secs(2), hearing).await {
                Ok(heard) if heard == *expected => {}
                outcome => wrong.push(format!(
                    "{say:?}\n  wanted {expected:?}\n  heard {outcome:?}"
                )),
            }
        }
        assert!(wrong.is_empty(), "{}: {}", server.url, wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_words_are_understood_or_refused() {
    compare(introductions::WHAT_BEGINS_A_CONVERSATION, "b1.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn introductions_are_taken_or_refused() {
    compare(introductions::CONNECT, "b2.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_as_much_as_it_asked_for() {
    compare(introductions::VERBOSE_AND_PEDANTIC, "b3.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_begin_and_end() {
    compare(messages::SUBSCRIPTIONS, "b4.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_are_delivered_or_refused() {
    compare(messages::PUBLISHING, "b5.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_delivered_or_refused() {
    compare(messages::HEADERS, "b6.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_learns_that_nobody_answers() {
    compare(messages::NO_RESPONDERS, "b7.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_may_be_4096_bytes_long() {
    on_each_server(async |server| {
        let line = |len: usize| format!("{QUIET}SUB {} 1\r\nPING\r\n", "a".repeat(len - 2));
        let heard_of = async |say: &str, expected| within(heard(&server, say, expected)).await;
        let pong = "PONG\r\n";
        assert_eq!(heard_of(&line(4096), pong).await, pong);
        let exceeded = "-ERR 'maximum control line exceeded'\r\n<closed>";
        for say in [line(4097), format!("{QUIET}SUB {}", "a".repeat(9000))] {
            let heard = heard_of(&say, exceeded).await;
            // What is left unread at the server's end may reset the connection before the reason arrives.
            assert!(heard == exceeded || heard == CLOSED, "{heard}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_newer_protocol_is_told_about_its_connection_after_its_first_ping() {
    on_each_server(async |server| {
        let say = "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nPING\r\n";
        let heard = heard_until(&server, say, "} \r\n").await;
        let info = heard.strip_prefix("PONG\r\nINFO ").unwrap();
        assert!(info.contains("\"connect_info\":true"), "{heard}");
        assert!(info.contains("\"remote_account\":\"$G\""), "{heard}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_who_it_is() {
    on_each_server(async |server| {
        // Whoever else hears of it.
        for others in ["", "SUB $SYS.REQ.> 8\r\n"] {
            let inbox = server.name("who");
            let say =
                format!("{QUIET}{others}SUB {inbox} 7\r\nPUB $SYS.REQ.USER.INFO {inbox} 0\r\n\r\n");
            let heard = heard_until(&server, &say, "}}\r\n").await;
            let (_, answer) = heard.split_once(&format!("MSG {inbox} 7 ")).unwrap();
            assert!(answer.contains("\"account\":\"$G\""), "{heard}");
        }
    })
    .await;
}
