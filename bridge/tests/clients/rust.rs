//! The client async-nats, step by step. Each step is a function; the scripts beside this file take the same ones.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, PushConsumer, push};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::kv::{self, CreateErrorKind, Operation, UpdateErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::object_store;
use async_nats::jetstream::stream::{self, Stream};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, RequestErrorKind, Subscriber,
};
use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::servers::{PASSWORD, SEED, Servers, TOKEN, UNKNOWN_SEED, USER};

/// Longer than any step takes.
const LONG: Duration = Duration::from_secs(30);

/// Takes all steps; the steps about streams use one that the first of them makes.
pub(crate) async fn take_every_step(servers: &mut Servers) {
    let (connected, mut connections) = mpsc::unbounded_channel();
    let client = within(connect(&servers.users_url(), connected)).await;
    within(token(&servers.token_url())).await;
    within(password(&servers.users_url())).await;
    within(nkey(&servers.users_url())).await;
    within(request(&client)).await;
    within(queues(&client)).await;
    let context = jetstream::new(client.clone());
    let stream = within(streams(&context)).await;
    within(pull(&stream)).await;
    within(push(&client, &stream)).await;
    within(key_value(&context)).await;
    within(object_store(&context)).await;
    assert_eq!(connections.recv().await, Some(Event::Connected));
    let messages = client.subscribe("rs.again").await.unwrap();
    let survivor = within(half_consumed(&stream)).await;
    servers.restart().await;
    while within(connections.recv()).await != Some(Event::Connected) {}
    within(resume(&client, messages, survivor)).await;
}

async fn within<F: Future>(step: F) -> F::Output {
    timeout(LONG, step).await.expect("the step took too long")
}

async fn connect(url: &str, connected: mpsc::UnboundedSender<Event>) -> Client {
    let options = ConnectOptions::with_user_and_password(USER.into(), PASSWORD.into())
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .event_callback(move |event| {
            // The test may have ended.
            let _ = connected.send(event);
            async {}
        });
    let client = options.connect(url).await.unwrap();
    let info = client.server_info();
    assert!(info.headers && info.max_payload == 1024 * 1024, "{info:?}");
    client.flush().await.unwrap();
    client
}

async fn is_refused(options: ConnectOptions, url: &str) {
    let error = options.connect(url).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
}

async fn token(url: &str) {
    let options = ConnectOptions::with_token(TOKEN.into());
    options.connect(url).await.unwrap().flush().await.unwrap();
    is_refused(ConnectOptions::with_token("another".into()), url).await;
    is_refused(ConnectOptions::new(), url).await;
}

async fn password(url: &str) {
    for (user, password) in [(USER, "another"), ("another", PASSWORD)] {
        let options = ConnectOptions::with_user_and_password(user.into(), password.into());
        is_refused(options, url).await;
    }
}

async fn nkey(url: &str) {
    let options = ConnectOptions::with_nkey(SEED.into());
    options.connect(url).await.unwrap().flush().await.unwrap();
    is_refused(ConnectOptions::with_nkey(UNKNOWN_SEED.into()), url).await;
}

async fn request(client: &Client) {
    let error = client.request("rs.double", "1".into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    let mut requests = client.subscribe("rs.double").await.unwrap();
    let service = client.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = request.payload.repeat(2).into();
            service
                .publish(request.reply.unwrap(), answer)
                .await
                .unwrap();
        }
    });
    for size in [0, 1, 500_000] {
        let payload = "x".repeat(size);
        let answer = client.request("rs.double", payload.into()).await.unwrap();
        assert_eq!(answer.payload, "x".repeat(2 * size));
    }
    let mut inbox = client.subscribe("rs.headers").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("Film", "Alien");
    headers.append("Film", "Brazil");
    let sent = client.publish_with_headers("rs.headers", headers.clone(), "".into());
    sent.await.unwrap();
    assert_eq!(inbox.next().await.unwrap().headers, Some(headers));
}

async fn queues(client: &Client) {
    let mut members = HashSet::new();
    let member = || client.queue_subscribe("rs.work.*", "workers".into());
    let (one, two) = (member().await.unwrap(), member().await.unwrap());
    for number in 0..200 {
        let payload = format!("{number:03}").into();
        client.publish("rs.work.now", payload).await.unwrap();
    }
    let both = futures::stream::select(
        one.map(|message| ("one", message)),
        two.map(|message| ("two", message)),
    );
    let mut got: Vec<_> = both
        .take(200)
        .map(|(member, message)| {
            members.insert(member);
            String::from_utf8(message.payload.to_vec()).unwrap()
        })
        .collect()
        .await;
    got.sort_unstable();
    let sent: Vec<_> = (0..200).map(|number| format!("{number:03}")).collect();
    assert_eq!(got, sent, "each message goes to one member");
    assert_eq!(members.len(), 2, "both members have some");
}

/// A message whose id says that it is the first one.
fn first() -> PublishMessage {
    PublishMessage::build()
        .payload("1".into())
        .message_id("one")
}

async fn streams(context: &jetstream::Context) -> Stream {
    let config = stream::Config {
        name: "RS".into(),
        subjects: vec!["rs.films.>".into()],
        ..stream::Config::default()
    };
    let mut stream = context.create_stream(config.clone()).await.unwrap();
    assert_eq!(
        context.stream_by_subject("rs.films.added").await.unwrap(),
        "RS"
    );
    for is_duplicate in [false, true] {
        let sent = context
            .send_publish("rs.films.added", first())
            .await
            .unwrap();
        let ack = sent.await.unwrap();
        assert_eq!((ack.sequence, ack.duplicate), (1, is_duplicate));
    }
    let wrong = PublishMessage::build().expected_last_sequence(7);
    let sent = context.send_publish("rs.films.added", wrong).await.unwrap();
    let error = sent.await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::WrongLastSequence);
    for number in 2..=20_u64 {
        let payload = number.to_string().into();
        let ack = context.publish("rs.films.edited", payload).await.unwrap();
        assert_eq!(ack.await.unwrap().sequence, number);
    }
    assert_eq!(stream.get_raw_message(3).await.unwrap().payload, "3");
    let last = stream
        .get_last_raw_message_by_subject("rs.films.edited")
        .await;
    assert_eq!(last.unwrap().sequence, 20);
    assert!(stream.delete_message(20).await.unwrap());
    stream.get_raw_message(20).await.unwrap_err();
    stream
        .purge()
        .filter("rs.films.edited")
        .keep(9)
        .await
        .unwrap();
    let update = stream::Config {
        max_messages: 1000,
        ..config
    };
    context.update_stream(update).await.unwrap();
    let info = stream.info().await.unwrap();
    assert_eq!((info.config.max_messages, info.state.messages), (1000, 10));
    let subjects = stream.info_with_subjects(">").await.unwrap();
    let mut subjects: Vec<_> = subjects.try_collect().await.unwrap();
    subjects.sort_unstable();
    let expected = [("rs.films.added", 1), ("rs.films.edited", 9)];
    assert_eq!(
        subjects,
        expected.map(|(subject, count)| (subject.to_owned(), count))
    );
    context.get_stream("NONE").await.unwrap_err();
    assert!(context.query_account().await.unwrap().streams >= 1);
    stream
}

fn durable(name: &str) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(name.into()),
        ack_policy: AckPolicy::Explicit,
        ..consumer::pull::Config::default()
    }
}

/// Fetches so many messages.
async fn fetch(consumer: &PullConsumer, count: usize) -> Vec<Message> {
    let batch = consumer
        .fetch()
        .max_messages(count)
        .messages()
        .await
        .unwrap();
    batch.try_collect().await.unwrap()
}

async fn pull(stream: &Stream) {
    let mut consumer = stream.create_consumer(durable("puller")).await.unwrap();
    let messages = fetch(&consumer, 4).await;
    let sequences = messages
        .iter()
        .map(|message| message.info().unwrap().consumer_sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), [1, 2, 3, 4]);
    let mut messages = messages.into_iter();
    messages.next().unwrap().ack().await.unwrap();
    messages.next().unwrap().double_ack().await.unwrap();
    let refused = messages.next().unwrap();
    refused.ack_with(AckKind::Nak(None)).await.unwrap();
    messages
        .next()
        .unwrap()
        .ack_with(AckKind::Term)
        .await
        .unwrap();
    let mut consumed = consumer.messages().await.unwrap().take(7);
    while let Some(message) = consumed.next().await {
        let message = message.unwrap();
        let delivered = 1 + i64::from(message.payload == refused.payload);
        assert_eq!(message.info().unwrap().delivered, delivered);
        message.double_ack().await.unwrap();
    }
    let info = consumer.info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (0, 0));
    assert!(fetch(&consumer, 1).await.is_empty());
    stream.delete_consumer("puller").await.unwrap();
}

async fn push(client: &Client, stream: &Stream) {
    let config = push::Config {
        durable_name: Some("pusher".into()),
        deliver_subject: client.new_inbox(),
        ack_policy: AckPolicy::Explicit,
        idle_heartbeat: Duration::from_secs(1),
        flow_control: true,
        ..push::Config::default()
    };
    let mut consumer: PushConsumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    for _ in 0..10 {
        let message = messages.next().await.unwrap().unwrap();
        message.double_ack().await.unwrap();
    }
    let info = consumer.info().await.unwrap();
    assert_eq!((info.num_ack_pending, info.push_bound), (0, true));
    drop(messages);
    let config = push::OrderedConfig {
        deliver_subject: client.new_inbox(),
        ..push::OrderedConfig::default()
    };
    let ordered = stream.create_consumer(config).await.unwrap();
    let messages = ordered.messages().await.unwrap().take(10);
    let sequences: Vec<_> = messages
        .map_ok(|message| message.info().unwrap().stream_sequence)
        .try_collect()
        .await
        .unwrap();
    assert!(
        sequences.is_sorted_by(|one, next| one < next),
        "{sequences:?}"
    );
}

async fn key_value(context: &jetstream::Context) {
    let config = kv::Config {
        bucket: "rs_films".into(),
        history: 5,
        ..kv::Config::default()
    };
    let bucket = context.create_key_value(config).await.unwrap();
    assert_eq!(bucket.create("alien", "1979".into()).await.unwrap(), 1);
    let error = bucket.create("alien", "1980".into()).await.unwrap_err();
    assert_eq!(error.kind(), CreateErrorKind::AlreadyExists);
    assert_eq!(bucket.update("alien", "1986".into(), 1).await.unwrap(), 2);
    let error = bucket.update("alien", "".into(), 1).await.unwrap_err();
    assert_eq!(error.kind(), UpdateErrorKind::WrongLastRevision);
    assert_eq!(bucket.put("brazil", "1985".into()).await.unwrap(), 3);
    let entry = bucket.entry("alien").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), ("1986".into(), 2));
    let old = bucket
        .entry_for_revision("alien", 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(old.value, "1979");
    let mut changes = bucket.watch_with_history("*").await.unwrap();
    for key in ["alien", "brazil"] {
        assert_eq!(changes.next().await.unwrap().unwrap().key, key);
    }
    bucket.delete("brazil").await.unwrap();
    let change = changes.next().await.unwrap().unwrap();
    assert_eq!(change.operation, Operation::Delete);
    assert_eq!(bucket.get("brazil").await.unwrap(), None);
    let keys: Vec<_> = bucket.keys().await.unwrap().try_collect().await.unwrap();
    assert_eq!(keys, ["alien"]);
    let entries = async || bucket.history("alien").await.unwrap().count().await;
    assert_eq!(entries().await, 2);
    bucket.purge("alien").await.unwrap();
    assert_eq!(entries().await, 1);
    context.delete_key_value("rs_films").await.unwrap();
}

async fn object_store(context: &jetstream::Context) {
    let config = object_store::Config {
        bucket: "rs_covers".into(),
        ..object_store::Config::default()
    };
    let store = context.create_object_store(config).await.unwrap();
    let cover: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    for content in [cover.as_slice(), b"smaller"] {
        let info = store.put("alien.png", &mut &content[..]).await.unwrap();
        assert_eq!(
            (info.size, info.chunks),
            (content.len(), content.len().div_ceil(128 * 1024))
        );
        let mut object = store.get("alien.png").await.unwrap();
        let mut got = vec![];
        object.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, content);
    }
    let objects: Vec<_> = store.list().await.unwrap().try_collect().await.unwrap();
    assert_eq!(objects.len(), 1, "{objects:?}");
    store.delete("alien.png").await.unwrap();
    assert!(store.get("alien.png").await.is_err());
    context.delete_object_store("rs_covers").await.unwrap();
}

/// A consumer that has acknowledged four messages of ten.
async fn half_consumed(stream: &Stream) -> PullConsumer {
    let consumer = stream.create_consumer(durable("survivor")).await.unwrap();
    for message in fetch(&consumer, 4).await {
        message.double_ack().await.unwrap();
    }
    consumer
}

/// What the client held before the restart is good after it.
async fn resume(client: &Client, mut messages: Subscriber, mut survivor: PullConsumer) {
    client.publish("rs.again", "here".into()).await.unwrap();
    assert_eq!(messages.next().await.unwrap().payload, "here");
    let info = survivor.info().await.unwrap();
    assert_eq!((info.num_pending, info.num_ack_pending), (6, 0));
    assert_eq!(fetch(&survivor, 6).await.len(), 6);
    let context = jetstream::new(client.clone());
    let sent = context
        .send_publish("rs.films.added", first())
        .await
        .unwrap();
    let ack = sent.await.unwrap();
    assert_eq!((ack.sequence, ack.duplicate), (1, true));
    context.delete_stream("RS").await.unwrap();
    client.drain().await.unwrap();
}
