//! Users and TLS that change while the broker serves.

use bridge::broker::access::{Access, Identity, Password, Permissions, SubjectList, User, Users};
use bridge::broker::{Broker, BrokerConfig, BrokerStats};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::within;

fn users(all: &[(&str, &str, &[&str])]) -> Access {
    let user = |(name, password, subscribe): &(&str, &str, &[&str])| User {
        identity: Identity::Password {
            name: name.to_string(),
            password: Password::new(password),
        },
        permissions: Permissions {
            subscribe: SubjectList {
                allow: Some(
                    subscribe
                        .iter()
                        .map(|subject| subject.to_string())
                        .collect(),
                ),
                deny: Vec::new(),
            },
            ..Permissions::default()
        },
        account: None,
    };
    Access::Users(Users {
        users: all.iter().map(user).collect(),
        no_auth_user: None,
    })
}

/// A client that says one thing after the other and hears line by line.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(addr: std::net::SocketAddr, user: &str, password: &str) -> Self {
        let mut client = Client(BufReader::new(TcpStream::connect(addr).await.unwrap()));
        let greeting = client.line().await;
        assert!(greeting.starts_with("INFO "), "{greeting}");
        let connect = format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
        );
        client.say(&connect).await;
        client
    }

    async fn say(&mut self, say: &str) {
        self.0.write_all(say.as_bytes()).await.unwrap();
    }

    /// The next line that is not a ping of the broker's; empty at the end.
    async fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            within(self.0.read_line(&mut line)).await.unwrap();
            if line != "PING\r\n" {
                return line;
            }
        }
    }

    /// Waits until the broker has taken in what was said.
    async fn settle(&mut self) {
        self.say("PING\r\n").await;
        assert_eq!(self.line().await, "PONG\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_looked_at_again_when_the_users_change() {
    let dir = tempfile::tempdir().unwrap();
    let before = users(&[
        ("kept", "k", &["a", "b.>"]),
        ("limited", "l", &["a", "b.>"]),
        ("changed", "old", &[">"]),
        ("gone", "g", &[">"]),
    ]);
    let config = BrokerConfig::new(dir.path(), before);
    let limits = config.serving_limits();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let broker = Broker::open(config, BrokerStats::default()).await.unwrap();
    let control = broker.control();
    let serving = tokio::spawn(broker.serve(listener, std::future::pending()));

    let mut kept = Client::connect(addr, "kept", "k").await;
    let mut limited = Client::connect(addr, "limited", "l").await;
    let mut changed = Client::connect(addr, "changed", "old").await;
    let mut gone = Client::connect(addr, "gone", "g").await;
    for client in [&mut kept, &mut limited] {
        client.say("SUB a 1\r\nSUB b.* 2\r\nSUB b.c q 3\r\n").await;
        client.settle().await;
    }
    for client in [&mut changed, &mut gone] {
        client.settle().await;
    }

    // What cannot be changes nothing.
    control
        .change_security(&users(&[("a", "a", &["x..y"])]), None, None, limits)
        .unwrap_err();
    let after = users(&[
        ("kept", "k", &["a", "b.>", "c"]),
        ("limited", "l", &["a"]),
        ("changed", "new", &[">"]),
    ]);
    control.change_security(&after, None, None, limits).unwrap();
    for client in [&mut changed, &mut gone] {
        assert_eq!(client.line().await, "-ERR 'Authorization Violation'\r\n");
        assert_eq!(client.line().await, "");
    }
    let mut told = [limited.line().await, limited.line().await];
    told.sort();
    assert_eq!(
        told,
        [
            "-ERR 'Permissions Violation for Subscription to \"b.*\" (sid \"2\")'\r\n",
            "-ERR 'Permissions Violation for Subscription to \"b.c\" using queue \"q\" (sid \"3\")'\r\n",
        ]
    );
    kept.say("SUB c 4\r\n").await;
    kept.settle().await;
    let mut new = Client::connect(addr, "changed", "new").await;
    new.say("PUB a 1\r\nx\r\nPUB b.d 1\r\ny\r\nPUB c 1\r\nz\r\n")
        .await;
    new.settle().await;
    for expected in [
        "MSG a 1 1\r\n",
        "x\r\n",
        "MSG b.d 2 1\r\n",
        "y\r\n",
        "MSG c 4 1\r\n",
        "z\r\n",
    ] {
        assert_eq!(kept.line().await, expected);
    }
    assert_eq!(
        [limited.line().await, limited.line().await],
        ["MSG a 1 1\r\n", "x\r\n"]
    );
    limited.settle().await;

    // Where clients need not show anything any more, all that are there stay.
    control
        .change_security(&Access::Open, None, None, limits)
        .unwrap();
    limited.say("SUB b.> 2\r\n").await;
    loop {
        // The client learns of the change when its session does.
        limited.say("PING\r\n").await;
        if limited.line().await == "PONG\r\n" {
            break;
        }
        assert_eq!(limited.line().await, "PONG\r\n");
        limited.say("SUB b.> 2\r\n").await;
    }
    serving.abort();
}
