//! Consumers that choose among their clients, and consumers that start anew.

use serde_json::{Value, json};

use crate::messages::publish;
use crate::push::{ask, make, next};
use crate::server::{on_each_server, settle};
use crate::statuses::{Requests, status};

fn groups(policy: &str) -> Value {
    json!({"durable_name": "d", "ack_policy": "explicit", "priority_policy": policy, "priority_groups": ["A"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn some_clients_take_messages_only_when_many_wait() {
    on_each_server(async |server| {
        let (context, _) = server.stream("overflow").await;
        let (client, name) = (context.client(), server.name("overflow"));
        let subject = format!("{name}.a");
        let mut spare = Requests::to(&client, &name, groups("overflow")).await;
        let mut first = Requests::to(&client, &name, groups("overflow")).await;
        publish(&context, &subject, 0..3).await;
        spare
            .send(r#"{"batch": 1, "expires": 60000000000, "group": "A", "min_pending": 4}"#)
            .await;
        first
            .send(r#"{"batch": 1, "expires": 60000000000, "group": "A"}"#)
            .await;
        assert_eq!(first.next().await.payload, "0");
        publish(&context, &subject, 3..5).await;
        assert_eq!(spare.next().await.payload, "1", "four wait");
        spare
            .send(r#"{"batch": 1, "expires": 60000000000, "group": "A", "min_ack_pending": 2}"#)
            .await;
        assert_eq!(spare.next().await.payload, "2", "two are unacknowledged");
        for (body, text) in [
            (r#"{"batch": 1}"#, "Bad Request - Priority Group missing"),
            (
                r#"{"batch": 1, "group": "B"}"#,
                "Bad Request - Invalid Priority Group",
            ),
            (
                r#"{"batch": 1, "group": "A", "id": "x"}"#,
                "Bad Request - Not a Pinned Client Priority consumer",
            ),
        ] {
            assert_eq!(spare.status(body).await, (400, text.to_owned(), None));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_client_takes_all_messages_until_it_is_let_go() {
    on_each_server(async |server| {
        let (context, _) = server.stream("pinned").await;
        let (client, name) = (context.client(), server.name("pinned"));
        let subject = format!("{name}.a");
        let mut one = Requests::to(&client, &name, groups("pinned_client")).await;
        let mut two = Requests::to(&client, &name, groups("pinned_client")).await;
        let mut events = client
            .subscribe(format!("$JS.EVENT.ADVISORY.CONSUMER.*.{name}.d"))
            .await
            .unwrap();
        let asked = r#"{"batch": 2, "expires": 60000000000, "group": "A"}"#;
        one.send(asked).await;
        settle(&client).await;
        two.send(asked).await;
        settle(&client).await;
        publish(&context, &subject, 0..2).await;
        let mut pins = Vec::new();
        for expected in ["0", "1"] {
            let message = one.next().await;
            assert_eq!(message.payload, expected);
            let headers = message.headers.unwrap();
            pins.push(headers.get("Nats-Pin-Id").unwrap().to_string());
        }
        assert_eq!(pins[0], pins[1]);
        let told: Value = serde_json::from_slice(&next(&mut events).await.payload).unwrap();
        assert_eq!(
            (&told["group"], &told["pinned_id"]),
            (&json!("A"), &json!(pins[0]))
        );
        let info = format!("CONSUMER.INFO.{name}.d");
        let state = &ask(&client, &info, Value::Null).await["priority_groups"][0];
        assert_eq!(
            (&state["group"], &state["pinned_client_id"]),
            (&json!("A"), &json!(pins[0]))
        );
        let wrong = r#"{"batch": 1, "expires": 60000000000, "group": "A", "id": "wrong"}"#;
        let expected = (423, "Nats-Pin-Id mismatch".to_owned(), None);
        assert_eq!(one.status(wrong).await, expected);

        let unpin = format!("CONSUMER.UNPIN.{name}.d");
        let unknown = ask(&client, &unpin, json!({"group": "B"})).await;
        assert_eq!(unknown["error"]["err_code"], 10160);
        let answer = ask(&client, &unpin, json!({"group": "A"})).await;
        assert_eq!(answer["error"], Value::Null);
        publish(&context, &subject, 2..3).await;
        let message = two.next().await;
        assert_eq!(message.payload, "2");
        assert!(message.headers.unwrap().get("Nats-Pin-Id").is_some());
        let told: Value = serde_json::from_slice(&next(&mut events).await.payload).unwrap();
        assert_eq!(told["reason"], "admin");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_better_rank_come_first() {
    on_each_server(async |server| {
        let (context, _) = server.stream("rank").await;
        let (client, name) = (context.client(), server.name("rank"));
        let mut low = Requests::to(&client, &name, groups("prioritized")).await;
        let mut high = Requests::to(&client, &name, groups("prioritized")).await;
        for (requests, priority) in [(&low, 5), (&high, 1)] {
            let body = json!({"batch": 2, "expires": 60_000_000_000_i64, "group": "A", "priority": priority});
            requests.send(&body.to_string()).await;
            settle(&client).await;
        }
        publish(&context, &format!("{name}.a"), 0..3).await;
        for (requests, expected) in [(&mut high, "0"), (&mut low, "2")] {
            assert_eq!(requests.next().await.payload, expected);
        }
        assert_eq!(high.next().await.payload, "1");
        let expected = (400, "Bad Request - Priority must be between 0 and 9".to_owned(), None);
        let body = r#"{"batch": 1, "group": "A", "priority": 10}"#;
        assert_eq!(high.status(body).await, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_starts_anew_from_a_sequence() {
    on_each_server(async |server| {
        let (context, _) = server.stream("anew").await;
        let (client, name) = (context.client(), server.name("anew"));
        publish(&context, &format!("{name}.a"), 0..4).await;
        let config = json!({"durable_name": "d", "ack_policy": "explicit"});
        let mut requests = Requests::to(&client, &name, config).await;
        let take_all = r#"{"batch": 10, "no_wait": true}"#;
        requests.send(take_all).await;
        for _ in 0..4 {
            assert!(requests.next().await.status.is_none());
        }
        assert_eq!(status(&requests.next().await).0, 404);
        let reset = format!("CONSUMER.RESET.{name}.d");
        let answer = ask(&client, &reset, json!({"seq": 3})).await;
        assert_eq!(answer["reset_seq"], 3, "{answer}");
        assert_eq!((&answer["num_pending"], &answer["num_ack_pending"]), (&json!(2), &json!(0)));
        requests.send(take_all).await;
        let again = requests.next().await;
        assert_eq!(again.payload, "2");
        let reply = again.reply.unwrap();
        let tokens: Vec<_> = reply.split('.').skip(4).take(3).collect();
        assert_eq!(tokens, ["1", "3", "1"], "deliveries, stream sequence, consumer sequence");
        assert_eq!(requests.next().await.payload, "3");
        let answer = ask(&client, &reset, Value::Null).await;
        assert_eq!(answer["reset_seq"], 3, "{answer}");
        let config = json!({"durable_name": "late", "deliver_policy": "by_start_sequence", "opt_start_seq": 3});
        make(&client, &name, config).await;
        let refused = ask(&client, &format!("CONSUMER.RESET.{name}.late"), json!({"seq": 2})).await;
        assert_eq!(refused["error"]["err_code"], 10204);
        assert_eq!(refused["error"]["description"], "invalid reset: below start seq");
    })
    .await;
}
