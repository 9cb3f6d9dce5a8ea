//! Users by token: an operator vouches for accounts, and these for their users.

use std::time::SystemTime;

use async_nats::ConnectOptions;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bridge::broker::BrokerConfig;
use bridge::broker::access::{Access, Operators};
use futures::StreamExt;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Embedded, settle, within};

/// A token about `subject`.
fn token(signer: &KeyPair, subject: &KeyPair, expires: u64, kind: &str, said: Value) -> String {
    let mut nats = json!({"type": kind, "version": 2});
    let said = said.as_object().unwrap().clone();
    nats.as_object_mut().unwrap().extend(said);
    let claims = json!({
        "iss": signer.public_key(), "sub": subject.public_key(), "exp": expires, "nats": nats,
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let signed = format!("{header}.{}", encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// A user's token, which limits nothing.
fn user(account: &KeyPair, user: &KeyPair, expires: u64, mut said: Value) -> String {
    for limit in ["subs", "data", "payload"] {
        said[limit] = (-1).into();
    }
    token(account, user, expires, "user", said)
}

/// A broker with an operator and these accounts, the first of which has the streams.
async fn broker(accounts: &[&KeyPair]) -> (tempfile::TempDir, Embedded) {
    let operator = KeyPair::new_operator();
    let of_account = |(number, account): (usize, &&KeyPair)| {
        let storage = if number == 0 { -1 } else { 0 };
        let limits = json!({
            "conn": -1, "subs": -1, "data": -1, "payload": -1,
            "mem_storage": storage, "disk_storage": storage,
        });
        let said = json!({"limits": limits});
        let token = token(&operator, account, 0, "account", said);
        (account.public_key(), token)
    };
    let access = Access::Operators(Operators {
        operators: vec![token(&operator, &operator, 0, "operator", json!({}))],
        accounts: accounts.iter().enumerate().map(of_account).collect(),
    });
    let dir = tempfile::tempdir().unwrap();
    let broker = Embedded::start_with(BrokerConfig::new(dir.path(), access)).await;
    (dir, broker)
}

async fn client(broker: &Embedded, account: &KeyPair, said: Value) -> async_nats::Client {
    let key = KeyPair::new_user();
    let token = user(account, &key, 0, said);
    let key = std::sync::Arc::new(key);
    let options = ConnectOptions::with_jwt(token, move |nonce| {
        let key = std::sync::Arc::clone(&key);
        async move { key.sign(&nonce).map_err(async_nats::AuthError::new) }
    });
    options.connect(broker.addr.to_string()).await.unwrap()
}

/// What the broker says to a client that shows this, up to the end of the connection.
async fn told(broker: &Embedded, shown: &str) -> String {
    let mut socket = TcpStream::connect(broker.addr).await.unwrap();
    let say = format!("CONNECT {{\"verbose\":false,{shown}}}\r\n");
    socket.write_all(say.as_bytes()).await.unwrap();
    let mut heard = String::new();
    within(socket.read_to_string(&mut heard)).await.unwrap();
    let (greeting, rest) = heard.split_once("\r\n").unwrap();
    assert!(greeting.contains("\"nonce\":") && greeting.contains("\"auth_required\":true"));
    rest.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_token_hears_its_account_within_its_permissions() {
    let (one, other) = (KeyPair::new_account(), KeyPair::new_account());
    let (_dir, broker) = broker(&[&one, &other]).await;
    let listener = client(&broker, &one, json!({})).await;
    let mut heard = listener.subscribe("films.>").await.unwrap();
    settle(&listener).await;
    let allowed = json!({"pub": {"deny": ["films.secret"]}});
    let publisher = client(&broker, &one, allowed).await;
    let stranger = client(&broker, &other, json!({})).await;
    for (client, subject) in [
        (&stranger, "films.of-another"),
        (&publisher, "films.secret"),
        (&publisher, "films.added"),
    ] {
        client.publish(subject, "".into()).await.unwrap();
        client.flush().await.unwrap();
        settle(client).await;
    }
    let message = within(heard.next()).await.unwrap();
    assert_eq!(message.subject.as_str(), "films.added");

    let info = async |client: &async_nats::Client| {
        let answer = client.request("$JS.API.INFO", "".into());
        let answer = within(answer).await.unwrap();
        serde_json::from_slice::<Value>(&answer.payload).unwrap()
    };
    assert_eq!(info(&listener).await["streams"], 0);
    let refused = info(&stranger).await;
    assert_eq!(
        refused,
        json!({
            "type": "io.nats.jetstream.api.v1.account_info_response",
            "error": {
                "code": 503, "err_code": 10039, "description": "JetStream not enabled for account",
            },
        })
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_right_is_refused_and_one_that_ends_ends_the_client() {
    let account = KeyPair::new_account();
    let (_dir, broker) = broker(&[&account]).await;
    let key = KeyPair::new_user();
    let bearer = json!({"bearer_token": true});
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let unsigned = user(&account, &key, 0, json!({}));
    let of_another = user(&KeyPair::new_account(), &key, 0, bearer.clone());
    let over = user(&account, &key, now - 5, bearer.clone());
    for token in ["", "a.b.c", &unsigned, &of_another, &over] {
        let told = told(&broker, &format!("\"jwt\":\"{token}\",\"sig\":\"AAAA\"")).await;
        assert_eq!(told, "-ERR 'Authorization Violation'\r\n", "{token}");
    }
    let told_nothing = told(&broker, "\"user\":\"a\",\"pass\":\"b\"").await;
    assert_eq!(told_nothing, "-ERR 'Authorization Violation'\r\n");
    let ends = user(&account, &key, now + 2, bearer);
    let told = told(&broker, &format!("\"jwt\":\"{ends}\"")).await;
    assert_eq!(told, "-ERR 'User Authentication Expired'\r\n");
    broker.stop().await;
}
