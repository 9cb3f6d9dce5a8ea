//! The statuses that end a request for messages, word for word.

use async_nats::jetstream::consumer::Info;
use async_nats::{Client, Message, Subscriber};
use futures::TryStreamExt;
use serde_json::{Value, json};
use testkit::eventually;

use crate::messages::publish;
use crate::push::{ask, make, next};
use crate::server::{on_each_server, settle};

/// A client's requests to one consumer, and what comes of them.
pub(crate) struct Requests {
    client: Client,
    subject: String,
    inbox: String,
    answers: Subscriber,
}

impl Requests {
    pub(crate) async fn to(client: &Client, stream: &str, config: Value) -> Self {
        let made = make(client, stream, config.clone()).await;
        assert_eq!(made["error"], Value::Null);
        let inbox = client.new_inbox();
        Requests {
            client: client.clone(),
            subject: format!(
                "$JS.API.CONSUMER.MSG.NEXT.{stream}.{}",
                config["durable_name"].as_str().unwrap()
            ),
            answers: client.subscribe(inbox.clone()).await.unwrap(),
            inbox,
        }
    }

    pub(crate) async fn send(&self, body: &str) {
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        let sent = self
            .client
            .publish_with_reply(subject, inbox, body.to_owned().into());
        sent.await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        next(&mut self.answers).await
    }

    /// What a request is answered with at once: code, text, and what is left of it.
    pub(crate) async fn status(&mut self, body: &str) -> (u16, String, Option<(String, String)>) {
        self.send(body).await;
        let message = self.next().await;
        status(&message)
    }
}

pub(crate) fn status(message: &Message) -> (u16, String, Option<(String, String)>) {
    let header = |name| {
        let headers = message.headers.as_ref()?;
        Some(headers.get(name)?.to_string())
    };
    let left = header("Nats-Pending-Messages").zip(header("Nats-Pending-Bytes"));
    let code = message.status.unwrap_or_else(|| panic!("{message:?}"));
    let text = message.description.as_ref().map(ToString::to_string);
    (code.as_u16(), text.unwrap_or_default(), left)
}

fn left(messages: &str, bytes: &str) -> Option<(String, String)> {
    Some((messages.to_owned(), bytes.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_wrong_or_too_large_are_told_so() {
    on_each_server(async |server| {
        let (context, _) = server.stream("wrong").await;
        let (client, name) = (context.client(), server.name("wrong"));
        let config = json!({
            "durable_name": "d", "ack_policy": "explicit", "max_batch": 10, "max_expires": 90_000_000_000_i64,
            "max_bytes": 1000,
        });
        let mut requests = Requests::to(&client, &name, config).await;
        for (body, code, text) in [
            (r#"{"batch": 11}"#, 409, "Exceeded MaxRequestBatch of 10"),
            (
                r#"{"batch": 1, "expires": 100000000000}"#,
                409,
                "Exceeded MaxRequestExpires of 1m30s",
            ),
            (r#"{"max_bytes": 1001}"#, 409, "Exceeded MaxRequestMaxBytes of 1000"),
            (
                r#"{"idle_heartbeat": 6, "expires": 10}"#,
                400,
                "Bad Request - heartbeat value too large",
            ),
            (r#"{"batch": 1, "no_wait": true}"#, 404, "No Messages"),
        ] {
            assert_eq!(requests.status(body).await, (code, text.to_owned(), None), "{body}");
        }
        let config = json!({"durable_name": "p", "deliver_subject": client.new_inbox()});
        let mut requests = Requests::to(&client, &name, config).await;
        let expected = (409, "Consumer is push based".to_owned(), None);
        assert_eq!(requests.status("").await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_request_tells_what_is_left_of_it() {
    on_each_server(async |server| {
        let (context, _) = server.stream("end").await;
        let (client, name) = (context.client(), server.name("end"));
        publish(&context, &format!("{name}.a"), 0..3).await;
        let config = json!({"durable_name": "d", "ack_policy": "explicit"});
        let mut requests = Requests::to(&client, &name, config).await;

        requests
            .send(r#"{"batch": 1, "max_bytes": 10000, "expires": 5000000000}"#)
            .await;
        assert!(requests.next().await.status.is_none());
        let (code, text, left_over) = status(&requests.next().await);
        assert_eq!((code, text.as_str()), (409, "Batch Completed"));
        assert_eq!(left_over.unwrap().0, "0");

        let too_large = r#"{"batch": 5, "max_bytes": 10, "expires": 5000000000}"#;
        let expected = (
            409,
            "Message Size Exceeds MaxBytes".to_owned(),
            left("5", "10"),
        );
        assert_eq!(requests.status(too_large).await, expected);

        requests.send(r#"{"batch": 5, "expires": 300000000}"#).await;
        for _ in 0..2 {
            assert!(requests.next().await.status.is_none());
        }
        let expected = (408, "Request Timeout".to_owned(), left("3", "0"));
        assert_eq!(status(&requests.next().await), expected);

        publish(&context, &format!("{name}.a"), 3..4).await;
        requests.send(r#"{"batch": 5, "no_wait": true}"#).await;
        assert!(requests.next().await.status.is_none());
        assert_eq!(
            status(&requests.next().await),
            (404, "No Messages".to_owned(), None)
        );

        requests
            .send(r#"{"batch": 5, "expires": 5000000000, "idle_heartbeat": 200000000}"#)
            .await;
        let heartbeat = requests.next().await;
        assert_eq!(status(&heartbeat), (100, "Idle Heartbeat".to_owned(), None));
        let headers = heartbeat.headers.unwrap();
        assert_eq!(headers.get("Nats-Last-Consumer").unwrap().as_str(), "4");
        ask(&client, &format!("CONSUMER.DELETE.{name}.d"), Value::Null).await;
        loop {
            let (code, text, left) = status(&requests.next().await);
            if code != 100 {
                assert_eq!((code, text.as_str(), left), (409, "Consumer Deleted", None));
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_wait_and_no_more() {
    on_each_server(async |server| {
        let (context, _) = server.stream("many").await;
        let (client, name) = (context.client(), server.name("many"));
        let config = json!({"durable_name": "d", "ack_policy": "explicit", "max_waiting": 2, "max_ack_pending": 1});
        let mut requests = Requests::to(&client, &name, config).await;
        for _ in 0..2 {
            requests.send(r#"{"batch": 1, "expires": 60000000000}"#).await;
        }
        let expected = (409, "Exceeded MaxWaiting".to_owned(), None);
        assert_eq!(requests.status(r#"{"batch": 1, "expires": 60000000000}"#).await, expected);
        // The first goes to a request, the second waits for the acknowledgement.
        publish(&context, &format!("{name}.a"), 0..2).await;
        let first = requests.next().await;
        assert!(first.status.is_none());
        requests.send(r#"{"batch": 3, "expires": 60000000000}"#).await;
        settle(&client).await;
        let expected = (408, "Requests Pending".to_owned(), None);
        assert_eq!(requests.status(r#"{"batch": 1, "no_wait": true}"#).await, expected);
        // The acknowledgement that asks for more.
        let inbox = requests.inbox.clone();
        client.publish(first.reply.unwrap(), "+ACK".into()).await.unwrap();
        let second = requests.next().await;
        assert!(second.status.is_none());
        client
            .publish_with_reply(second.reply.unwrap(), inbox, r#"+NXT {"batch": 1, "no_wait": true}"#.into())
            .await
            .unwrap();
        assert_eq!(status(&requests.next().await), (404, "No Messages".to_owned(), None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_what_is_there_ends_although_the_rest_is_held_back() {
    on_each_server(async |server| {
        let (context, _) = server.stream("held").await;
        let (client, name) = (context.client(), server.name("held"));
        let config = json!({"durable_name": "d", "ack_policy": "explicit", "max_ack_pending": 1});
        let mut requests = Requests::to(&client, &name, config).await;
        publish(&context, &format!("{name}.a"), 0..2).await;
        let body = json!({
            "batch": 2, "no_wait": true, "expires": 60_000_000_000_i64, "idle_heartbeat": 100_000_000,
        });
        requests.send(&body.to_string()).await;
        assert!(requests.next().await.status.is_none());
        let expected = (404, "No Messages".to_owned(), None);
        assert_eq!(status(&requests.next().await), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_listens_no_more_ends_with_the_next_heartbeat() {
    on_each_server(async |server| {
        let (context, stream) = server.stream("unheard").await;
        let client = context.client();
        let config = json!({"durable_name": "d", "ack_policy": "explicit"});
        let mut requests = Requests::to(&client, &server.name("unheard"), config).await;
        let body =
            json!({"batch": 1, "expires": 60_000_000_000_i64, "idle_heartbeat": 100_000_000});
        requests.send(&body.to_string()).await;
        let waiting = async || {
            let consumers: Vec<Info> = stream.consumers().try_collect().await.unwrap();
            consumers[0].num_waiting
        };
        eventually("the request waits", async || waiting().await == 1).await;
        requests.answers.unsubscribe().await.unwrap();
        eventually("the request has ended", async || waiting().await == 0).await;
    })
    .await;
}
