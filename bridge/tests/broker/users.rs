//! Users of the broker: what each may show to be let in, and what each may do then.
//!
//! The byte-level answers were recorded from nats-server 2.15.1, which gives the same to the same users.

use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream::Stream};
use bridge::broker::BrokerConfig;
use bridge::broker::access::{
    Access, Identity, Password, Permissions, Responses, SubjectList, User, Users,
};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Embedded, settle, within};

/// `secret`, hashed.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

fn list(allow: Option<&[&str]>, deny: &[&str]) -> SubjectList {
    let owned = |subjects: &[&str]| subjects.iter().map(|subject| subject.to_string()).collect();
    SubjectList {
        allow: allow.map(owned),
        deny: owned(deny),
    }
}

fn user(name: &str, password: &str, permissions: Permissions) -> User {
    User {
        account: None,
        identity: Identity::Password {
            name: name.to_owned(),
            password: Password::new(password),
        },
        permissions,
    }
}

fn anything() -> Permissions {
    Permissions::default()
}

/// Some users, of which `guest` is the one that shows nothing.
fn users() -> Vec<User> {
    let only = |publish, subscribe| Permissions {
        publish,
        subscribe,
        allow_responses: None,
    };
    vec![
        user("admin", "admin", anything()),
        user("hashed", HASH, anything()),
        user(
            "a",
            "a",
            only(
                list(Some(&["foo.*", "bar.>", "lit"]), &["foo.no"]),
                list(
                    Some(&["foo.*", "q.> g1", "r", "r g.*", "bar.>", "_INBOX.>", "d.>"]),
                    &["bar.no", "bar.x.*", "d.q qq"],
                ),
            ),
        ),
        user(
            "responder",
            "responder",
            Permissions {
                allow_responses: Some(Responses::default()),
                ..anything()
            },
        ),
        user(
            "guest",
            "guest",
            only(list(Some(&["pub"]), &[]), list(Some(&["sub"]), &[])),
        ),
    ]
}

async fn broker(users: Vec<User>, guest: Option<&str>) -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::Users(Users {
        users,
        no_auth_user: guest.map(str::to_owned),
    });
    let broker = Embedded::start_with(BrokerConfig::new(dir.path(), access)).await;
    (dir, broker)
}

/// A broker with one more user, whose password is its name.
async fn broker_with(name: &str, permissions: Permissions) -> (tempfile::TempDir, Embedded) {
    let everyone = [users(), vec![user(name, name, permissions)]].concat();
    broker(everyone, None).await
}

/// A stream of the admin, over the subjects `name.>`.
async fn stream_of(broker: &Embedded, name: &str) -> (jetstream::Context, Stream) {
    let admin = jetstream::new(client(broker, "admin", "admin").await);
    let config = jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        allow_rollup: true,
        ..Default::default()
    };
    let stream = admin.create_stream(config).await.unwrap();
    (admin, stream)
}

/// Says something, then `PING`, and returns what the broker says up to its `PONG` or the end.
async fn conversation(broker: &Embedded, say: &str) -> String {
    let mut socket = TcpStream::connect(broker.addr).await.unwrap();
    let all = format!("{say}PING\r\n");
    socket.write_all(all.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        match within(socket.read_buf(&mut heard)).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    let heard = String::from_utf8(heard).unwrap();
    let (_greeting, answers) = heard.split_once("\r\n").unwrap();
    answers.to_owned()
}

fn connect_as(user: &str) -> String {
    format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"user\":\"{user}\",\"pass\":\"{user}\"}}\r\n"
    )
}

async fn client(broker: &Embedded, name: &str, password: &str) -> async_nats::Client {
    ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned())
        .connect(broker.addr.to_string())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_one_of_the_users_or_refused() {
    let (_dir, broker) = broker(users(), None).await;
    for (name, password) in [("admin", "admin"), ("hashed", "secret")] {
        client(&broker, name, password).await.flush().await.unwrap();
    }
    for shown in [
        "",
        "\"user\":\"admin\"",
        "\"user\":\"admin\",\"pass\":\"Admin\"",
        "\"user\":\"nobody\",\"pass\":\"admin\"",
        "\"user\":\"hashed\",\"pass\":\"wrong\"",
        &format!("\"user\":\"hashed\",\"pass\":\"{HASH}\""),
        "\"auth_token\":\"admin\"",
        "\"nkey\":\"admin\",\"sig\":\"\"",
    ] {
        let answers = conversation(&broker, &format!("CONNECT {{{shown}}}\r\n")).await;
        assert_eq!(answers, "-ERR 'Authorization Violation'\r\n", "{shown}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_short_and_may_be_a_hash() {
    for (token, shown) in [("t", "t"), (HASH, "secret")] {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig::new(dir.path(), Access::Token(Password::new(token)));
        let broker = Embedded::start_with(config).await;
        let options = ConnectOptions::with_token(shown.to_owned());
        options.connect(broker.addr.to_string()).await.unwrap();
        let options = ConnectOptions::with_token("wrong".to_owned());
        options.connect(broker.addr.to_string()).await.unwrap_err();
        broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_what_it_is_greeted_with() {
    let [known, stranger] = [(); 2].map(|()| nkeys::KeyPair::new_user());
    let nkey = User {
        account: None,
        identity: Identity::Nkey(known.public_key()),
        permissions: anything(),
    };
    let (_dir, broker) = broker([users(), vec![nkey]].concat(), None).await;
    let connect = |seed| ConnectOptions::with_nkey(seed).connect(broker.addr.to_string());
    let signed = connect(known.seed().unwrap()).await.unwrap();
    signed.flush().await.unwrap();
    assert!(!signed.server_info().nonce.is_empty());
    connect(stranger.seed().unwrap()).await.unwrap_err();
    client(&broker, "admin", "admin").await;

    // A signature of something else is none, and none is none.
    use base64::Engine;
    let sig = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let sig = sig.encode(known.sign(b"another nonce").unwrap());
    for sig in [sig.as_str(), "", "no base64!", "AAAA"] {
        let key = known.public_key();
        let connect = format!("CONNECT {{\"nkey\":\"{key}\",\"sig\":\"{sig}\"}}\r\n");
        let answers = conversation(&broker, &connect).await;
        assert_eq!(answers, "-ERR 'Authorization Violation'\r\n", "{sig}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_do_is_refused_as_nats_server_does() {
    let (_dir, broker) = broker(users(), Some("guest")).await;
    let subscription =
        |what| format!("-ERR 'Permissions Violation for Subscription to {what}'\r\n");
    let publish = |what| format!("-ERR 'Permissions Violation for Publish to \"{what}\"'\r\n");
    let cases = [
        (
            connect_as("a")
                + "SUB foo.* 1\r\nSUB * 2\r\nSUB > 3\r\nSUB bar.x.* 4\r\nSUB bar.no 5\r\n",
            [r#""*""#, r#"">""#, r#""bar.x.*""#, r#""bar.no""#]
                .map(subscription)
                .concat(),
        ),
        (
            connect_as("a")
                + "SUB q.1 1\r\nSUB q.1 g1 2\r\nSUB q.1 g2 3\r\nSUB r g.x 4\r\nSUB r h 5\r\nSUB d.q qq 6\r\n",
            [
                r#""q.1""#,
                r#""q.1" using queue "g2""#,
                r#""r" using queue "h""#,
                r#""d.q" using queue "qq""#,
            ]
            .map(subscription)
            .concat(),
        ),
        // A wide subscription is allowed, and does not show what is denied.
        (
            connect_as("a")
                + "SUB bar.> 1\r\nPUB bar.no 1\r\nx\r\nPUB bar.yes 1\r\nx\r\nPUB foo.no 1\r\nx\r\nPUB nope 1\r\nx\r\n",
            "MSG bar.yes 1 1\r\nx\r\n".to_owned() + &publish("foo.no") + &publish("nope"),
        ),
        (
            connect_as("a") + "SUB foo.\"b\".c 1\r\n",
            subscription(r#""foo.\"b\".c""#),
        ),
        (
            connect_as("responder") + "SUB in 1\r\nPUB out 1\r\nx\r\n",
            publish("out"),
        ),
        // Who shows nothing is the guest, introduced or not.
        (
            "SUB x 1\r\nSUB sub 2\r\nPUB pub 1\r\nx\r\n".to_owned(),
            subscription(r#""x""#) + "+OK\r\n+OK\r\n",
        ),
        (
            "CONNECT {}\r\nSUB x 1\r\nPUB x 1\r\nx\r\nPUB pub 1\r\nx\r\n".to_owned(),
            "+OK\r\n".to_owned() + &subscription(r#""x""#) + &publish("x") + "+OK\r\n",
        ),
        // Who becomes another user has no subscriptions of the first.
        (
            connect_as("admin") + "SUB foo.a 1\r\n" + &connect_as("a") + "PUB foo.a 1\r\nx\r\n",
            String::new(),
        ),
    ];
    for (say, expected) in cases {
        let answers = conversation(&broker, &say).await;
        assert_eq!(answers, expected + "PONG\r\n", "{say}");
    }
    // Who shows something wrong is not the guest.
    let answers = conversation(&broker, "CONNECT {\"user\":\"a\"}\r\n").await;
    assert_eq!(answers, "-ERR 'Authorization Violation'\r\n");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_may_answer_what_it_was_asked_and_nothing_else() {
    let worker = Permissions {
        publish: list(Some(&["_INBOX.>"]), &[]),
        allow_responses: Some(Responses::default()),
        ..anything()
    };
    let (_dir, broker) = broker_with("worker", worker).await;
    let admin = client(&broker, "admin", "admin").await;
    let responder = client(&broker, "worker", "worker").await;
    let mut requests = responder.subscribe("questions").await.unwrap();
    settle(&responder).await;
    let mut strays = admin.subscribe("stray").await.unwrap();
    let mut replies = admin.subscribe("reply").await.unwrap();
    admin
        .publish_with_reply("questions", "reply", "?".into())
        .await
        .unwrap();
    let request = within(requests.next()).await.unwrap();
    responder.publish("stray", "!".into()).await.unwrap();
    for answer in ["first", "second"] {
        let reply = request.reply.clone().unwrap();
        responder.publish(reply, answer.into()).await.unwrap();
    }
    settle(&responder).await;
    for subject in ["stray", "reply"] {
        admin.publish(subject, "last".into()).await.unwrap();
    }
    assert_eq!(within(strays.next()).await.unwrap().payload, "last");
    assert_eq!(within(replies.next()).await.unwrap().payload, "first");
    assert_eq!(within(replies.next()).await.unwrap().payload, "last");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_for_streams_too() {
    let reader = Permissions {
        publish: list(
            Some(&["$JS.API.CONSUMER.>", "$JS.ACK.>"]),
            &["$JS.API.CONSUMER.DELETE.>"],
        ),
        subscribe: list(Some(&["_INBOX.>"]), &[]),
        allow_responses: None,
    };
    let (_dir, broker) = broker_with("reader", reader).await;
    let (admin, stream) = stream_of(&broker, "s").await;
    admin
        .publish("s.1", "one".into())
        .await
        .unwrap()
        .await
        .unwrap();

    let mut reader = jetstream::new(client(&broker, "reader", "reader").await);
    reader.set_timeout(Duration::from_millis(300));
    let handle = reader.get_stream_no_info("s").await.unwrap();
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("C".to_owned()),
        ..Default::default()
    };
    let consumer = handle.create_consumer(config).await.unwrap();
    let mut messages = consumer.fetch().max_messages(1).messages().await.unwrap();
    let message = within(messages.next()).await.unwrap().unwrap();
    assert_eq!(message.payload, "one");
    within(message.double_ack()).await.unwrap();
    // Neither the stream's subjects nor the rest of its interface are for this user.
    reader
        .publish("s.2", "two".into())
        .await
        .unwrap()
        .await
        .unwrap_err();
    assert!(handle.delete_consumer("C").await.is_err());
    assert!(reader.delete_stream("s").await.is_err());
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_of_the_api_is_denied_under_longer_subjects_too() {
    let denied = [
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.STREAM.PURGE.s",
        "$JS.API.CONSUMER.NAMES.*",
        "$JS.API.CONSUMER.DURABLE.CREATE.*.*",
        "$JS.API.STREAM.NAMES",
    ];
    let reader = Permissions {
        publish: list(Some(&[">"]), &denied),
        ..anything()
    };
    let (_dir, broker) = broker_with("reader", reader).await;
    let (admin, stream) = stream_of(&broker, "s").await;
    let stored = admin.publish("s.1", "secret".into()).await.unwrap();
    stored.await.unwrap();

    let reader = client(&broker, "reader", "reader").await;
    let consumer = r#"{"stream_name": "s", "config": {"durable_name": "C"}}"#;
    for (subject, body) in [
        ("STREAM.MSG.GET.s.x", r#"{"seq": 1}"#),
        ("STREAM.PURGE.s.x", ""),
        ("CONSUMER.NAMES.s.x", ""),
        ("CONSUMER.DURABLE.CREATE.s.C.s.1", consumer),
        ("STREAM.NAMES.x", ""),
    ] {
        let request = reader.request(format!("$JS.API.{subject}"), body.into());
        let answer = within(request).await.unwrap();
        let answer = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(
            answer.contains("is not supported by this server"),
            "{subject}: {answer}"
        );
    }
    let say = "SUB in 1\r\nPUB $JS.API.STREAM.PURGE.s. in 0\r\n\r\n";
    conversation(&broker, &(connect_as("reader") + say)).await;
    settle(&reader).await;
    let info = stream.get_info().await.unwrap();
    assert_eq!((info.state.messages, info.state.consumer_count), (1, 0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_does_not_replace_what_its_user_may_not_publish() {
    let writer = |allow: &str, deny: &[&str]| Permissions {
        publish: list(Some(&[allow]), deny),
        ..anything()
    };
    let everyone = vec![
        user("admin", "admin", anything()),
        user("some", "some", writer("d.*", &["d.secret"])),
        user("level", "level", writer("d.*", &[])),
        user("all", "all", writer("d.>", &[])),
    ];
    let (_dir, broker) = broker(everyone, None).await;
    let (admin, stream) = stream_of(&broker, "d").await;
    for subject in ["d.secret", "d.a", "d.a.b"] {
        let stored = admin.publish(subject, "".into()).await.unwrap();
        stored.await.unwrap();
    }
    for (name, subject, is_allowed) in [
        ("some", "d.*", false),
        ("some", "d.>", false),
        ("level", "d.>", false),
        ("all", "d.>", true),
    ] {
        let connect = connect_as(name).replace('}', ",\"headers\":true}");
        let headers = "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n";
        let len = headers.len();
        let say = format!("{connect}HPUB {subject} {len} {len}\r\n{headers}\r\n");
        let answers = conversation(&broker, &say).await;
        assert_eq!(
            answers.contains("Violation"),
            !is_allowed,
            "{name} {subject}"
        );
        let left = if is_allowed { 1 } else { 3 };
        let has_left = async || stream.get_info().await.unwrap().state.messages == left;
        testkit::eventually("the stream has what is left", has_left).await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn users_that_cannot_be_are_an_error_before_anything_starts() {
    let twice = vec![user("a", "x", anything()), user("a", "y", anything())];
    let key = User {
        account: None,
        identity: Identity::Nkey("UNONSENSE".to_owned()),
        permissions: anything(),
    };
    let subject = Permissions {
        publish: list(None, &["a..b"]),
        ..anything()
    };
    for (users, guest, expected) in [
        (twice, None, "duplicate user `a`"),
        (
            users(),
            Some("nobody"),
            "no_auth_user `nobody` is none of the users",
        ),
        (
            vec![key],
            None,
            "the nkey of a user is not a valid public one",
        ),
        (vec![user("", "", anything())], None, "a user needs a name"),
        (
            vec![user("a", "a", subject)],
            None,
            "subject `a..b` is not a valid subject",
        ),
        (
            vec![user("a", "$2a$04$short", anything())],
            None,
            "the bcrypt hash of `a` is not a valid one",
        ),
    ] {
        let access = Access::Users(Users {
            users,
            no_auth_user: guest.map(str::to_owned),
        });
        assert_eq!(access.check().unwrap_err().to_string(), expected);
    }
}
