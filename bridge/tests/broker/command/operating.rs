//! What an operator of a server sees of its clients: on the pages and in the log. The pages are those of nats-server, where
//! there is one to compare with.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Program, get, servers_with, write};
use crate::server::within;
use crate::tls::Certificates;

/// Users in accounts; those of `A` may not do everything.
const ACCOUNTS: &str = r#"
    host: 127.0.0.1, port: -1, http: "127.0.0.1:-1", system_account: SYS
    server_tags: "AZ:1", server_metadata: {owner: films}
    accounts {
        SYS { users [ {user: sys, password: s} ] }
        A { jetstream: enabled, users [ {user: alice, password: a, permissions: {publish: {deny: "no"}, subscribe: {deny: hidden}}} ] }
        B { users [ {user: bob, password: b} ] }
    }"#;

const WITHOUT_JETSTREAM: &str = r#"listen: "127.0.0.1:-1", http: "127.0.0.1:-1""#;

/// Writes the configuration of a server with these accounts.
fn configure(folder: &Path, name: &str, accounts: &str) -> String {
    let store_dir = folder.join(name);
    let text = format!(
        "{accounts}\njetstream {{ store_dir: '{}' }}",
        store_dir.display()
    );
    write(folder, &format!("{name}.conf"), &text)
}

/// The servers with these settings: this one, and nats-server.
async fn servers(folder: &Path) -> Vec<Program> {
    let store = |name: &str| configure(folder, name, ACCOUNTS);
    let mut servers = vec![Program::start(&["-c", &store("own")]).await];
    if let Some(program) = testkit::server("TEST_NATS_SERVER") {
        let mut real = Command::new(program);
        real.args(["-c", &store("real")]).kill_on_drop(true);
        servers.push(Program::run(real).await);
    }
    servers
}

/// A client that says what it is told to.
struct Client(BufReader<TcpStream>);

impl Client {
    /// One that shows a user and a password, and what it is answered up to the first PONG or error.
    async fn connect(server: &Program, user: &str, password: &str) -> (Self, String) {
        let mut client = Self::greeted(server).await;
        let options = json!({
            "verbose": false, "protocol": 1, "headers": true, "no_responders": true, "lang": "test",
            "name": format!("that of {user}"), "user": user, "pass": password,
        });
        client.say(&format!("CONNECT {options}\r\nPING\r\n")).await;
        let answer = client.hear("").await;
        (client, answer)
    }

    /// One that has been greeted.
    async fn greeted(server: &Program) -> Self {
        let socket = TcpStream::connect(server.addr()).await.unwrap();
        let mut client = Client(BufReader::new(socket));
        client.hear("INFO").await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to a line that begins like this, which it returns.
    async fn hear(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            let read = within(self.0.read_line(&mut line)).await.unwrap();
            assert!(read > 0, "the connection ended without `{beginning}`");
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Asks the server about itself, and hears the answer on `inbox`.
    async fn ask(&mut self, what: &str, body: &str) -> Value {
        let request = format!(
            "PUB $SYS.REQ.SERVER.{what} inbox {}\r\n{body}\r\n",
            body.len()
        );
        self.say(&request).await;
        serde_json::from_str(&self.hear("{").await).unwrap()
    }

    /// Waits until the server has done what it was told.
    async fn settle(&mut self) {
        self.say("PING\r\n").await;
        self.hear("PONG").await;
    }
}

fn http(server: &Program) -> &str {
    server.behind("Starting http monitor on ")
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line.split_once(' ').unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_shown_in_its_account() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()).await {
        let (mut alice, _) = Client::connect(&server, "alice", "a").await;
        let info = json_of(&alice.hear("INFO").await);
        assert_eq!(info["remote_account"], "A");
        let (mut bob, _) = Client::connect(&server, "bob", "b").await;
        assert_eq!(json_of(&bob.hear("INFO").await)["remote_account"], "B");
        bob.say("SUB inbox 1\r\nPUB $SYS.REQ.USER.INFO inbox 0\r\n\r\n")
            .await;
        bob.hear("MSG").await;
        assert!(bob.hear("{").await.contains(r#""account":"B""#));

        let page = async |path: &str| get(http(&server), path).await.1;
        let connz = page("/connz?acc=A&auth=1").await;
        let shown = &connz["connections"][0];
        assert_eq!(
            [
                &connz["total"],
                &shown["authorized_user"],
                &shown["account"]
            ],
            [&json!(1), &json!("alice"), &json!("A")]
        );
        assert_eq!(page("/connz?acc=nobody").await["total"], 0);
        let connz = page("/connz?auth=1").await;
        assert_eq!(connz["connections"][1]["account"], "B");
        let mut accountz = page("/accountz").await;
        let names = accountz["accounts"].as_array_mut().unwrap();
        names.sort_by_key(|name| name.as_str().unwrap().to_owned());
        assert_eq!(accountz["accounts"], json!(["$G", "A", "B", "SYS"]));
        assert_eq!(accountz["system_account"], "SYS");
        let detail = page("/accountz?acc=A").await["account_detail"].take();
        let jetstream = (&detail["account_name"], &detail["jetstream_enabled"]);
        assert_eq!(jetstream, (&json!("A"), &json!(true)));
        assert_eq!(detail["client_connections"], 1);
        let mut accstatz = page("/accstatz").await;
        let of_accounts = accstatz["account_statz"].as_array_mut().unwrap();
        of_accounts.sort_by_key(|one| one["acc"].as_str().unwrap().to_owned());
        let conns = of_accounts.iter().map(|one| (&one["acc"], &one["conns"]));
        let expected = [(json!("A"), json!(1)), (json!("B"), json!(1))];
        assert!(conns.eq(expected.iter().map(|(a, b)| (a, b))));
        let subsz = page("/subsz?subs=1").await;
        let all = subsz["subscriptions_list"].as_array().unwrap();
        let own = all.iter().find(|one| one["subject"] == "inbox").unwrap();
        assert_eq!(own["account"], "B");
    }
}

/// The names of the members of an object that both servers have.
fn members(object: &Value) -> Vec<&str> {
    let members = object.as_object().unwrap().keys().map(String::as_str);
    // What one of them has nothing to tell of.
    let only_of_one = [
        "authorized_user",
        "max_subscriptions",
        "feature_flags",
        "git_commit",
        "disk_io_wait_stats",
        "compress_ok",
        "strict",
        "sync_interval",
        "sync_always",
        "gateways",
        "routes",
        "leafs",
    ];
    let mut members: Vec<_> = members.filter(|name| !only_of_one.contains(name)).collect();
    members.sort_unstable();
    members
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_account_is_answered_what_the_pages_show() {
    let folder = tempfile::tempdir().unwrap();
    let mut shapes = Vec::new();
    for server in servers(folder.path()).await {
        let (mut bob, _) = Client::connect(&server, "bob", "b").await;
        let (mut sys, _) = Client::connect(&server, "sys", "s").await;
        sys.say("SUB inbox 1\r\n").await;
        let idz = sys.ask("PING.IDZ", "").await;
        assert_eq!(members(&idz), ["host", "id", "name"]);
        let id = idz["id"].as_str().unwrap();
        let statsz = sys.ask("PING", "").await;
        let connections = (
            &statsz["statsz"]["connections"],
            &statsz["statsz"]["active_accounts"],
        );
        assert_eq!(connections, (&json!(2), &json!(2)));
        let mut shape = vec![format!("{:?}", members(&statsz))];
        for part in ["/server", "/statsz", "/statsz/sent", "/statsz/jetstream"] {
            let part = statsz.pointer(part).unwrap();
            shape.push(format!("{:?}", members(part)));
        }
        for operation in [
            "VARZ", "CONNZ", "SUBSZ", "JSZ", "ACCOUNTZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "HEALTHZ",
        ] {
            for whom in ["PING", id] {
                let answer = sys.ask(&format!("{whom}.{operation}"), "").await;
                assert_eq!(members(&answer), ["data", "server"], "{operation}");
                assert_eq!(answer["server"]["id"], id);
                let is_of_page = operation == "HEALTHZ" || answer["data"]["server_id"] == id;
                assert!(is_of_page, "{answer}");
            }
        }
        let varz = &sys.ask("PING.VARZ", "").await["data"];
        assert_eq!(
            (&varz["version"], &varz["connections"]),
            (&statsz["server"]["ver"], &json!(2))
        );
        let health = &sys.ask("PING.HEALTHZ", "").await["data"];
        assert_eq!(*health, json!({"status": "ok", "status_code": 200}));
        let health = &sys.ask("PING.HEALTHZ", r#"{"stream":"S"}"#).await["data"];
        assert_eq!(
            (&health["status"], &health["status_code"]),
            (&json!("error"), &json!(400))
        );
        let bobs = &sys.ask("PING.CONNZ", r#"{"auth":true,"user":"bob"}"#).await["data"];
        let shown = &bobs["connections"][0];
        assert_eq!(
            (&bobs["num_connections"], &shown["account"]),
            (&json!(1), &json!("B"))
        );
        let own = r#"{"acc":"SYS","subscriptions":true,"limit":7}"#;
        let own = &sys.ask("PING.CONNZ", own).await["data"];
        let shown = &own["connections"][0]["subscriptions_list"];
        assert_eq!((&own["limit"], shown), (&json!(7), &json!(["inbox"])));
        let closed = &sys.ask("PING.CONNZ", r#"{"state":1}"#).await["data"];
        assert_eq!(closed["num_connections"], 0);
        let account = &sys.ask("PING.ACCOUNTZ", r#"{"account":"A"}"#).await["data"];
        assert_eq!(account["account_detail"]["account_name"], "A");
        assert_eq!(statsz["server"]["tags"], json!(["az:1"]));
        assert_eq!(statsz["server"]["metadata"], json!({"owner": "films"}));
        assert_eq!(sys.ask("PING.IDZ", r#"{"tags":["az:1"]}"#).await, idz);
        for (body, code) in [("{bad", 400), (r#"{"sort":"stop"}"#, 500)] {
            let refused = sys.ask("PING.CONNZ", body).await;
            assert_eq!(refused["error"]["code"], code, "{refused}");
            shape.push(format!("{:?}", members(&refused["error"])));
        }
        for body in [
            r#"{"server_name":"nobody"}"#,
            r#"{"host":"nobody"}"#,
            r#"{"domain":"other"}"#,
            r#"{"tags":["x"]}"#,
        ] {
            sys.say(&format!(
                "PUB $SYS.REQ.SERVER.PING.VARZ inbox {}\r\n{body}\r\n",
                body.len()
            ))
            .await;
        }
        let part = format!(r#"{{"server_name":"{}"}}"#, &id[..9]);
        assert_eq!(sys.ask("PING.IDZ", &part).await, idz);
        for unknown in ["PING.NOPE", "NOBODY.VARZ", "PING.VARZ.x", id] {
            sys.say(&format!("PUB $SYS.REQ.SERVER.{unknown} inbox 0\r\n\r\n"))
                .await;
            sys.hear("NATS/1.0 503").await;
        }
        bob.say("SUB inbox 1\r\nPUB $SYS.REQ.SERVER.PING inbox 0\r\n\r\n")
            .await;
        bob.hear("NATS/1.0 503").await;
        shapes.push(shape);
    }
    shapes.dedup();
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_account_learns_of_clients_that_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut shapes = Vec::new();
    for server in servers(folder.path()).await {
        let (mut sys, _) = Client::connect(&server, "sys", "s").await;
        sys.say("SUB $SYS.ACCOUNT.*.CONNECT 1\r\nSUB $SYS.ACCOUNT.*.DISCONNECT 2\r\n")
            .await;
        sys.settle().await;
        let (mut bob, _) = Client::connect(&server, "bob", "b").await;
        sys.hear("MSG $SYS.ACCOUNT.B.CONNECT 1 ").await;
        let came: Value = serde_json::from_str(&sys.hear("{").await).unwrap();
        bob.say("PUB x 2\r\nhi\r\n").await;
        bob.settle().await;
        drop(bob);
        sys.hear("MSG $SYS.ACCOUNT.B.DISCONNECT 2 ").await;
        let left: Value = serde_json::from_str(&sys.hear("{").await).unwrap();
        let mut shape = Vec::new();
        for (event, kind) in [(&came, "client_connect"), (&left, "client_disconnect")] {
            assert_eq!(event["type"], format!("io.nats.server.advisory.v1.{kind}"));
            let client = &event["client"];
            for (name, value) in [
                ("acc", "B"),
                ("user", "bob"),
                ("name", "that of bob"),
                ("lang", "test"),
                ("host", "127.0.0.1"),
                ("kind", "Client"),
                ("client_type", "nats"),
            ] {
                assert_eq!(client[name], value, "{event}");
            }
            shape.push(format!("{:?} {:?}", members(event), members(client)));
            shape.push(format!("{:?}", members(&event["server"])));
        }
        assert_eq!(left["client"]["id"], came["client"]["id"]);
        assert_eq!(left["reason"], "Client Closed");
        assert_eq!(left["sent"], json!({"msgs": 1, "bytes": 2}));
        assert_eq!(left["received"], json!({"msgs": 0, "bytes": 0}));
        shapes.push(shape);
    }
    shapes.dedup();
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_what_clients_were_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "server.conf", ACCOUNTS);
    let mut server = Program::start(&["-c", &config]).await;
    let (mut alice, _) = Client::connect(&server, "alice", "a").await;
    alice
        .say("SUB hidden 2\r\nPUB no 2\r\nhi\r\nPUB no 2\r\nhi\r\n")
        .await;
    let who = r#"client_id=1 peer=127.0.0.1:"#;
    for subject in ["Subscription to", "Publish to"] {
        let line = server.wait_for("[ERR] a client may not").await;
        for words in [
            who,
            "user=alice",
            "account=A",
            "name=that of alice",
            subject,
        ] {
            assert!(line.contains(words), "{line}");
        }
    }
    // It cannot fill the log.
    alice.say(&"PUB no 2\r\nhi\r\n".repeat(1000)).await;
    alice.settle().await;
    let (_, answer) = Client::connect(&server, "mallory", "s3cr3t").await;
    assert!(answer.contains("Authorization Violation"));
    let line = server.wait_for("a login failed").await;
    assert!(line.contains("user=mallory"), "{line}");
    assert!(!line.contains("s3cr3t") && !line.contains("NATS_TOKEN"));
    let lines = server.logged.iter();
    let violations = lines.filter(|line| line.contains("may not")).count();
    assert!(violations < 20, "{violations}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_what_clients_say_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "server.conf", ACCOUNTS);
    let mut server = Program::start(&["-c", &config, "-V"]).await;
    let (mut bob, _) = Client::connect(&server, "bob", "b").await;
    let secrets = r#"CONNECT {"verbose":false,"user":"bob","pass":"s3cr3t","auth_token":"t0k3n","jwt":"j","sig":"s","Pass":"t00"}"#;
    bob.say("SUB greet.* workers 7\r\nUNSUB 7 3\r\nPUB greet.you inbox 6\r\npr1v4t\r\n")
        .await;
    bob.settle().await;
    bob.say(&format!("{secrets}\r\n")).await;
    for said in [
        "CONNECT ",
        "PING",
        "SUB greet.* workers 7",
        "UNSUB 7 3",
        "PUB greet.you inbox 6",
        "PING",
        "CONNECT ",
    ] {
        let line = server.wait_for(&format!("<<- [{said}")).await;
        assert!(
            line.contains("[TRC]") && line.contains("client_id=1"),
            "{line}"
        );
    }
    server.wait_for("Authorization Violation").await;
    let logged = server.logged.join("\n");
    assert!(logged.contains(r#""user":"bob""#), "{logged}");
    for secret in ["s3cr3t", "t0k3n", "t00", "pr1v4t", r#""pass":"b""#] {
        assert!(!logged.contains(secret), "{logged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_may_come_while_a_server_runs_and_the_system_account_stays() {
    let folder = tempfile::tempdir().unwrap();
    let servers = servers(folder.path()).await;
    for (name, mut server) in ["own", "real"].into_iter().zip(servers) {
        let (mut alice, _) = Client::connect(&server, "alice", "a").await;
        let with_carl = "C { users [ {user: carl, password: c} ] }\n B {";
        configure(folder.path(), name, &ACCOUNTS.replace("B {", with_carl));
        server.signal("reload").await;
        server.wait_for("Reloaded server configuration").await;
        let (_carl, answer) = Client::connect(&server, "carl", "c").await;
        assert_eq!(answer, "PONG\r\n");
        let mut accountz = get(http(&server), "/accountz").await.1;
        let names = accountz["accounts"].as_array_mut().unwrap();
        names.sort_by_key(|name| name.as_str().unwrap().to_owned());
        assert_eq!(accountz["accounts"], json!(["$G", "A", "B", "C", "SYS"]));
        let accstatz = get(http(&server), "/accstatz").await.1;
        let of_accounts = accstatz["account_statz"].as_array().unwrap();
        let carl = of_accounts.iter().find(|one| one["acc"] == "C").unwrap();
        assert_eq!(carl["conns"], 1);

        let other = ACCOUNTS.replace("system_account: SYS", "system_account: B");
        configure(folder.path(), name, &other);
        server.signal("reload").await;
        let refusal = "config reload not supported for SystemAccount: old=SYS, new=B";
        server.wait_for(refusal).await;
        alice.settle().await;
    }
}

/// The streams of a nats-server belong to their account, and another one that comes to have JetStream has none of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_streams_stay_with_their_account_while_a_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), "own", ACCOUNTS);
    let mut server = Program::start(&["-c", &config]).await;
    let (mut alice, _) = Client::connect(&server, "alice", "a").await;
    let (mut bob, _) = Client::connect(&server, "bob", "b").await;
    let without = ACCOUNTS.replace("A { jetstream: enabled,", "A {");
    let moved = without.replace("B {", "B { jetstream: enabled,");
    for (accounts, new) in [(moved, "B"), (without, "$G")] {
        configure(folder.path(), "own", &accounts);
        server.signal("reload").await;
        let refusal = "config reload not supported for the account with JetStream";
        let refusal = format!("{refusal}: old=A, new={new}");
        server.wait_for(&refusal).await;
    }
    for (client, code) in [(&mut alice, ""), (&mut bob, "10039")] {
        client
            .say("SUB inbox 1\r\nPUB $JS.API.INFO inbox 0\r\n\r\n")
            .await;
        client.hear("MSG").await;
        assert!(client.hear("{").await.contains(code));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_have_left_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()).await {
        let (_, answer) = Client::connect(&server, "mallory", "s3cr3t").await;
        assert!(answer.contains("Authorization Violation"));
        let (mut bob, _) = Client::connect(&server, "bob", "b").await;
        let (mut alice, _) = Client::connect(&server, "alice", "a").await;
        bob.say("PUB x 2\r\nhi\r\n").await;
        bob.settle().await;
        drop(bob);
        let page = async |path: &str| get(http(&server), path).await.1;
        testkit::eventually("both have left", async || {
            page("/connz?state=closed").await["total"] == 2
        })
        .await;
        let closed = page("/connz?state=closed&auth=1").await;
        let of = |at: usize| &closed["connections"][at];
        assert_eq!(of(0)["reason"], "Authentication Failure");
        assert_eq!(of(0)["name"], "that of mallory");
        let (reason, user) = (&of(1)["reason"], &of(1)["authorized_user"]);
        assert_eq!((reason, user), (&json!("Client Closed"), &json!("bob")));
        assert_eq!(
            (&of(1)["account"], &of(1)["in_msgs"]),
            (&json!("B"), &json!(1))
        );
        assert!(of(1)["stop"].as_str() >= of(1)["start"].as_str());
        assert_eq!(page("/connz?state=closed&acc=A").await["total"], 0);
        assert_eq!(page("/connz?state=any").await["total"], 3);
        assert_eq!(page("/connz").await["total"], 1);
        alice.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_make_no_sense_are_answered_as_by_nats_server() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()).await {
        let page = async |path: &str| get(http(&server), path).await;
        let (mut alice, _) = Client::connect(&server, "alice", "a").await;
        alice.say("SUB own 1\r\n").await;
        alice.settle().await;
        let (_bob, _) = Client::connect(&server, "bob", "b").await;
        let connz = page("/connz?cid=123456").await.1;
        let counts = ["num_connections", "total", "limit"].map(|name| connz[name].as_u64());
        assert_eq!(counts, [Some(0), Some(2), Some(1)]);
        let subsz = page("/subsz?subs=1&acc=A&test=own").await.1;
        assert_eq!(subsz["subscriptions_list"][0]["account"], "A");
        let subsz = page("/subsz?subs=1&acc=B&test=own").await.1;
        assert_eq!(subsz["total"], 0);
        for path in ["/subsz?test=foo..", "/subsz?test=foo.*", "/connz?sort=stop"] {
            assert_eq!(page(path).await.0, "HTTP/1.1 400 Bad Request", "{path}");
        }
        for (path, code, word) in [
            ("/healthz?stream=S", "400 Bad Request", "error"),
            ("/healthz?consumer=c", "400 Bad Request", "error"),
            ("/healthz?account=nobody", "404 Not Found", "unavailable"),
            (
                "/healthz?account=B&stream=S",
                "404 Not Found",
                "unavailable",
            ),
        ] {
            let (status, answer) = page(path).await;
            assert_eq!(status, format!("HTTP/1.1 {code}"), "{path}");
            assert_eq!(answer["status"], word, "{path}");
        }
        let varz = page("/varz").await.1;
        let jetstream = &varz["jetstream"];
        for name in ["memory", "storage", "reserved_memory", "accounts", "api"] {
            assert!(
                jetstream["stats"].get(name).is_some(),
                "{name}: {jetstream}"
            );
        }
        assert!(jetstream["limits"].is_object());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_jetstream_health_and_pages_are_the_same_on_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for server in servers_with(folder.path(), WITHOUT_JETSTREAM).await {
        let page = async |path: &str| get(http(&server), path).await;
        let mut answers = Vec::new();
        for query in [
            "",
            "?js-enabled-only=1",
            "?js-enabled=true",
            "?js-server-only=true",
            "?stream=S",
        ] {
            let (status, health) = page(&format!("/healthz{query}")).await;
            answers.push(json!([query, status, health["status"]]));
        }
        let (_, jsz) = page("/jsz?streams=1").await;
        answers.push(json!([members(&jsz), members(&jsz["config"])]));
        found.push(answers);
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_find_the_same_on_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        HOLD: "3s", listen: "127.0.0.1:-1", http: "127.0.0.1:-1", server_name: one
        server_tags: ["Region:EU", "disk:1", "disk:1"], server_metadata: {owner: "<a&b>", Zone: a}
        max_payload: 2MB, ping_interval: "1s", ping_max: 1, write_deadline: $HOLD
        authorization: {timeout: 1.5}, jetstream: {max_mem: 10MB, max_file: 20MB, domain: hub}"#;
    let mut found = Vec::new();
    for server in servers_with(folder.path(), text).await {
        let page = async |path: &str| get(http(&server), path).await.1;
        let config = format!("{} (sha256:", server.config);
        assert!(
            server
                .behind("Using configuration file: ")
                .starts_with(&config)
        );
        for (name, value) in [
            ("Max Memory: ", "10.00 MB"),
            ("Max Storage: ", "20.00 MB"),
            ("Domain: ", "hub"),
        ] {
            assert_eq!(server.behind(name).trim(), value);
        }
        let (mut client, _) = Client::connect(&server, "u", "").await;
        client.say("SUB inbox 1\r\n").await;
        client
            .say("PUB $JS.hub.API.STREAM.CREATE.S inbox 12\r\n{\"name\":\"S\"}\r\n")
            .await;
        client.hear("{").await;
        let varz = page("/varz").await;
        let jsz = page("/jsz?streams=1").await;
        let stream = jsz.pointer("/account_details/0/stream_detail/0").unwrap();
        let connz = page("/connz?auth=1").await;
        let shown = [
            "config_digest",
            "tags",
            "metadata",
            "system_account",
            "stale_connections",
            "in_client_msgs",
        ]
        .map(|name| varz[name].clone());
        assert_eq!(varz["gomaxprocs"], varz["cores"]);
        assert_eq!(varz["tls_timeout"].as_f64(), Some(2.0));
        // It does not answer pings.
        testkit::eventually("the client is stale", async || {
            let varz = page("/varz").await;
            varz["stale_connections"] == 1 && varz["stale_connection_stats"]["clients"] == 1
        })
        .await;
        let closed = page("/connz?state=closed").await;
        found.push(json!({
            "varz": shown,
            "members": {
                "varz": members(&varz),
                "jetstream": members(&varz["jetstream"]["config"]),
                "jsz": members(&jsz),
                "account": members(&jsz["account_details"][0]),
                "stream": members(stream),
                "open": members(&connz["connections"][0]),
                "closed": members(&closed["connections"][0]),
            },
            "cluster": stream["cluster"],
            "name_tag": connz["connections"][0]["name_tag"],
        }));
    }
    for one in &found {
        assert_eq!(*one, found[0], "{found:#?}");
    }
    assert_eq!(found[0]["varz"][1], json!(["region:eu", "disk:1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_ciphers_are_shown_on_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let text = format!(
        "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\ntls {{ cert_file: '{}', key_file: '{}', timeout: 7 }}",
        certificates.cert("server").display(),
        certificates.key("server").display()
    );
    let mut expiries = Vec::new();
    for server in servers_with(folder.path(), &text).await {
        let options = certificates.client();
        let _client = within(options.connect(server.addr())).await.unwrap();
        let page = async |path: &str| get(http(&server), path).await.1;
        let varz = page("/varz").await;
        assert_eq!(varz["tls_timeout"].as_f64(), Some(7.0));
        expiries.push(varz["tls_cert_not_after"].as_str().unwrap().to_owned());
        let connz = page("/connz").await;
        let shown = &connz["connections"][0];
        assert_eq!(shown["tls_version"], "1.3");
        let suite = shown["tls_cipher_suite"].as_str().unwrap();
        assert!(suite.starts_with("TLS_AES_"), "{suite}");
    }
    expiries.dedup();
    assert_eq!(expiries.len(), 1, "{expiries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_is_told_at_the_start_and_at_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let text = format!(
        "listen: \"127.0.0.1:-1\"\ntls {{ cert_file: '{}', key_file: '{}' }}",
        certificates.cert("client").display(),
        certificates.key("client").display()
    );
    let config = write(folder.path(), "server.conf", &text);
    const TOLD: &str = "tls.cert_file: the certificate in";
    certificates.end("client");
    let mut server = Program::start(&["-c", &config]).await;
    let told = server.wait_for(TOLD).await;
    assert!(told.contains("ended 2024-01-01 00:00 UTC"), "{told}");
    server.signal("reload").await;
    server.wait_for(TOLD).await;
    server.end("stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_slow_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"host: 127.0.0.1, port: -1, http: "127.0.0.1:-1", max_pending: 200000, write_deadline: "1s""#;
    let config = write(folder.path(), "server.conf", text);
    let mut server = Program::start(&["-c", &config]).await;
    let (mut slow, _) = Client::connect(&server, "slow", "").await;
    slow.say("SUB a 1\r\n").await;
    slow.settle().await;
    let (mut publisher, _) = Client::connect(&server, "publisher", "").await;
    let message = format!("PUB a 30000\r\n{}\r\n", "x".repeat(30_000));
    for _ in 0..400 {
        publisher.say(&message.repeat(4)).await;
    }
    let line = server.wait_for("does not read its messages").await;
    for words in ["peer=127.0.0.1:", "name=that of slow"] {
        assert!(line.contains(words), "{line}");
    }
    let varz = async || get(http(&server), "/varz").await.1;
    testkit::eventually("its connection has ended", async || {
        varz().await["connections"] == 1
    })
    .await;
    let varz = varz().await;
    assert_eq!(varz["slow_consumers"], 1);
    assert!(varz["stalled_clients"].as_u64() > Some(0), "{varz}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_client_is_closed_is_an_error_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "listen: \"127.0.0.1:-1\"\nmax_connections: 2\nmax_control_line: 1024\nmax_payload: 1000\n";
    let hello = "CONNECT {\"verbose\":false,\"name\":\"looked-at\"}\r\nPING\r\n";
    for (index, mut server) in servers_with(folder.path(), text)
        .await
        .into_iter()
        .enumerate()
    {
        let (mut first, mut second) = (
            Client::greeted(&server).await,
            Client::greeted(&server).await,
        );
        for client in [&mut first, &mut second] {
            client.say(hello).await;
            client.hear("PONG").await;
        }
        let mut third = Client::greeted(&server).await;
        third.say(hello).await;
        let line = server.wait_for("maximum connections exceeded").await;
        assert!(line.contains("[ERR]"), "{line}");
        drop((first, second, third));
        let long = format!("{hello}PUB {} 1\r\n", "x".repeat(2000));
        for (say, told) in [
            (format!("{hello}FOO s3cr3t\r\n"), "Client parser ERROR"),
            (long, "maximum control line exceeded"),
            (
                format!("{hello}PUB a 1001\r\n"),
                "maximum payload exceeded: 1001 vs 1000",
            ),
        ] {
            // The places of those before are free a moment later.
            let _client = loop {
                let mut client = Client::greeted(&server).await;
                client.say(&say).await;
                let mut answer = String::new();
                let answered = within(client.0.read_line(&mut answer)).await;
                if answered.is_ok() && answer.starts_with("PONG") {
                    break client;
                }
            };
            let line = server.wait_for(told).await;
            assert!(
                line.contains("[ERR]") && line.contains("looked-at"),
                "{line}"
            );
            if index == 0 {
                assert!(!line.contains("s3cr3t"), "{line}");
            }
        }
        let mut broken = Client::greeted(&server).await;
        broken.say("CONNECT {broken\r\n").await;
        let words = if index == 0 {
            "CONNECT cannot be read"
        } else {
            "invalid character"
        };
        let line = server.wait_for(words).await;
        assert!(line.contains("[ERR]"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_reached_are_errors_in_the_log_on_each_server() {
    let folder = tempfile::tempdir().unwrap();
    let text = "listen: \"127.0.0.1:-1\"\nmax_subscriptions: 2\njetstream { max_file: 1MB }";
    for mut server in servers_with(folder.path(), text).await {
        let (mut client, _) = Client::connect(&server, "u", "").await;
        client
            .say("SUB inbox 1\r\nPUB $JS.API.STREAM.CREATE.S inbox 12\r\n{\"name\":\"S\"}\r\n")
            .await;
        client.hear("{").await;
        client.say("SUB b 2\r\nSUB c 3\r\nSUB d 4\r\n").await;
        client.hear("-ERR 'maximum subscriptions exceeded'").await;
        let line = server.wait_for("maximum subscriptions exceeded").await;
        assert!(
            line.contains("[ERR]") && line.contains("that of u"),
            "{line}"
        );
        let message = format!("PUB S inbox 100000\r\n{}\r\n", "x".repeat(100_000));
        for _ in 0..20 {
            client.say(&message).await;
            client.hear("{").await;
        }
        let words = "JetStream file resource limits exceeded for server";
        let line = server.wait_for(words).await;
        assert!(line.contains("[ERR]"), "{line}");
        client.say(&"SUB e 5\r\n".repeat(1000)).await;
        client.settle().await;
        client.say("FOO\r\n").await;
        server.wait_for("Client parser ERROR").await;
        let times = |words| {
            server
                .logged
                .iter()
                .filter(|line| line.contains(words))
                .count()
        };
        assert_eq!(times(words), 1);
        assert!(times("maximum subscriptions exceeded") <= 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_are_listed_and_looking_at_them_is_no_use_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let text = "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\njetstream: enabled\n";
    for server in servers_with(folder.path(), text).await {
        let client = within(async_nats::connect(server.addr())).await.unwrap();
        let context = async_nats::jetstream::new(client);
        for name in ["A", "B", "C"] {
            let config = async_nats::jetstream::stream::Config {
                name: name.into(),
                ..Default::default()
            };
            context.create_stream(config).await.unwrap();
        }
        let page = async |query: &str| get(http(&server), &format!("/jsz?{query}")).await.1;
        let before = page("").await["api"]["total"].clone();
        let shown = page("accounts=1&streams=1&limit=1").await;
        let account = &shown["account_details"][0];
        assert_eq!(account["stream_detail"].as_array().unwrap().len(), 3);
        let past = page("accounts=1&streams=1&offset=1").await;
        let none = past.get("account_details").and_then(Value::as_array);
        assert!(none.is_none_or(Vec::is_empty), "{past}");
        get(http(&server), "/varz").await;
        assert_eq!(page("").await["api"]["total"], before);
    }
}
