//! Streams: publishing with acknowledgements, their life, their limits.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{self, DiscardPolicy};
use futures::TryStreamExt;
use testkit::eventually;

use crate::messages::publish;
use crate::server::on_each_server;

#[tokio::test(flavor = "multi_thread")]
async fn publishes_are_acknowledged_with_their_sequence() {
    on_each_server(async |server| {
        let (context, mut stream) = server.stream("acks").await;
        let name = server.name("acks");
        for expected in 1..=3 {
            let ack = context
                .publish(format!("{name}.a"), "x".into())
                .await
                .unwrap()
                .await
                .unwrap();
            assert_eq!(
                (ack.sequence, ack.duplicate, ack.stream.as_str()),
                (expected, false, name.as_str())
            );
        }
        let info = stream.info().await.unwrap();
        assert_eq!(
            (
                info.state.messages,
                info.state.first_sequence,
                info.state.last_sequence
            ),
            (3, 1, 3)
        );
        let message = stream.get_raw_message(2).await.unwrap();
        assert_eq!(
            (message.subject.as_str(), message.payload),
            (format!("{name}.a").as_str(), "x".into())
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_id_is_taken_once() {
    on_each_server(async |server| {
        let (context, mut stream) = server.stream("ids").await;
        let subject = format!("{}.a", server.name("ids"));
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "one");
        // Sent without waiting, so that the second meets the first on its way to the disk.
        let first = context
            .publish_with_headers(subject.clone(), headers.clone(), "a".into())
            .await
            .unwrap();
        let second = context
            .publish_with_headers(subject.clone(), headers.clone(), "b".into())
            .await
            .unwrap();
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.sequence, first.duplicate), (1, false));
        assert_eq!((second.sequence, second.duplicate), (1, true));
        assert_eq!(stream.info().await.unwrap().state.messages, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_may_set_conditions() {
    on_each_server(async |server| {
        let (context, _) = server.stream("conditions").await;
        let name = server.name("conditions");
        publish(&context, &format!("{name}.a"), [1]).await;
        for (header, value, accepted) in [
            ("Nats-Expected-Stream", name.as_str(), true),
            ("Nats-Expected-Stream", "other", false),
            ("Nats-Expected-Last-Sequence", "1", false),
            ("Nats-Expected-Last-Sequence", "2", true),
            ("Nats-Expected-Last-Subject-Sequence", "2", false),
            ("Nats-Expected-Last-Subject-Sequence", "3", true),
            ("Nats-Expected-Last-Msg-Id", "nothing", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header, value);
            let ack = context
                .publish_with_headers(format!("{name}.a"), headers, "x".into())
                .await
                .unwrap()
                .await;
            assert_eq!(ack.is_ok(), accepted, "{header}: {value}: {ack:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_can_be_made_found_changed_and_deleted() {
    on_each_server(async |server| {
        let (context, mut stream) = server.stream("life").await;
        let name = server.name("life");
        let config = stream.info().await.unwrap().config.clone();
        context
            .create_stream(config.clone())
            .await
            .expect("the same again is no error");
        let other = stream::Config {
            max_messages: 7,
            ..config.clone()
        };
        let error = context.create_stream(other.clone()).await.unwrap_err();
        assert!(error.to_string().contains("10058"), "{error}");
        let overlap = stream::Config {
            name: format!("{name}2"),
            ..config.clone()
        };
        let error = context.create_stream(overlap).await.unwrap_err();
        assert!(error.to_string().contains("10065"), "{error}");
        assert_eq!(
            context
                .update_stream(other)
                .await
                .unwrap()
                .config
                .max_messages,
            7
        );
        let names: Vec<String> = context.stream_names().try_collect().await.unwrap();
        assert!(names.contains(&name));
        let infos: Vec<stream::Info> = context.streams().try_collect().await.unwrap();
        assert!(infos.iter().any(|info| info.config.name == name));
        assert_eq!(
            context
                .stream_by_subject(format!("{name}.x"))
                .await
                .unwrap(),
            name
        );
        assert!(context.delete_stream(&name).await.unwrap().success);
        let error = context.get_stream(&name).await.unwrap_err();
        assert!(error.to_string().contains("10059"), "{error}");
        context.query_account().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_give_way_or_new_ones_are_refused() {
    on_each_server(async |server| {
        let config = stream::Config {
            max_messages: 3,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("old", config).await;
        publish(&context, &format!("{}.a", server.name("old")), 1..=5).await;
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!(
            (state.messages, state.first_sequence, state.last_sequence),
            (3, 3, 5)
        );

        let config = stream::Config {
            max_messages: 2,
            discard: DiscardPolicy::New,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("new", config).await;
        let subject = format!("{}.a", server.name("new"));
        publish(&context, &subject, 1..=2).await;
        context
            .publish(subject.clone(), "3".into())
            .await
            .unwrap()
            .await
            .unwrap_err();
        assert_eq!(stream.info().await.unwrap().state.last_sequence, 2);

        let config = stream::Config {
            max_messages_per_subject: 1,
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("per", config).await;
        for subject in ["a", "b", "a"] {
            publish(&context, &format!("{}.{subject}", server.name("per")), [1]).await;
        }
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!(
            (state.messages, state.first_sequence, state.last_sequence),
            (2, 2, 3)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_grow_old_and_are_purged_and_deleted() {
    on_each_server(async |server| {
        let config = stream::Config {
            max_age: Duration::from_millis(400),
            ..stream::Config::default()
        };
        let (context, mut stream) = server.stream_with("age", config).await;
        publish(&context, &format!("{}.a", server.name("age")), 1..=5).await;
        eventually("old messages are gone", async || {
            stream.info().await.unwrap().state.messages == 0
        })
        .await;
        assert_eq!(stream.info().await.unwrap().state.last_sequence, 5);

        let (context, mut stream) = server.stream("purge").await;
        let name = server.name("purge");
        publish(&context, &format!("{name}.a"), 1..=4).await;
        publish(&context, &format!("{name}.b"), 5..=6).await;
        assert!(stream.delete_message(2).await.unwrap());
        assert_eq!(
            stream
                .purge()
                .filter(format!("{name}.a"))
                .keep(1)
                .await
                .unwrap()
                .purged,
            2
        );
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!((state.messages, state.first_sequence), (3, 4));
        assert_eq!(stream.purge().sequence(6).await.unwrap().purged, 2);
        assert_eq!(stream.purge().await.unwrap().purged, 1);
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!(
            (state.messages, state.first_sequence, state.last_sequence),
            (0, 7, 6)
        );
        publish(&context, &format!("{name}.a"), [7]).await;
        assert_eq!(stream.get_raw_message(7).await.unwrap().payload, "7");
    })
    .await;
}
