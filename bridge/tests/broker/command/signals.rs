//! What signals change of a server that runs.

use std::path::Path;

use async_nats::jetstream::{self, stream};
use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Program, command, get, output, servers_with, write};
use crate::server::within;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_is_opened_anew_and_its_level_follows_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = write(dir, "server.conf", "port: -1");
    let log = dir.join("server.log");
    let mut child = command(&["-c", &config, "-l", log.to_str().unwrap()])
        .spawn()
        .unwrap();
    let pid = child.id().unwrap().to_string();
    let logged = async |words: &str| {
        let has_words =
            async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains(words));
        testkit::eventually(words, has_words).await;
    };
    let signal = async |name: &str| {
        let (sent, _, text) = output(command(&["-sl", &format!("{name}={pid}")])).await;
        assert!(sent, "{text}");
    };
    logged("Server is ready").await;
    std::fs::rename(&log, dir.join("moved.log")).unwrap();
    signal("reopen").await;
    logged("File log re-opened").await;
    write(dir, "server.conf", "port: -1\nprot: 1");
    signal("reload").await;
    logged("Failed to reload server configuration: -config: ").await;
    write(dir, "server.conf", "port: -1\ndebug: true");
    signal("reload").await;
    logged("Reloaded server configuration").await;
    signal("term").await;
    assert!(within(child.wait()).await.unwrap().success());
    logged("Server Exiting..").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_lets_its_clients_go_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let text = "port: -1\nlame_duck_grace_period: 0s\nlame_duck_duration: 30s";
    let config = write(folder.path(), "server.conf", text);
    let program = Program::start(&["-c", &config]).await;
    let (told, mut events) = tokio::sync::mpsc::channel(16);
    let options = async_nats::ConnectOptions::new().event_callback(move |event| {
        let told = told.clone();
        async move {
            // The test may have ended.
            let _ = told.send(event).await;
        }
    });
    let _client = within(options.connect(program.addr())).await.unwrap();
    let ending = program.end("ldm");
    let lame_duck = async {
        while let Some(event) = events.recv().await {
            if event == async_nats::Event::LameDuckMode {
                return;
            }
        }
        panic!("the client was not told");
    };
    let (status, ()) = tokio::join!(ending, within(lame_duck));
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_of_the_file_change_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let with_password =
        |password: &str| format!("port: -1\nauthorization {{ user: u, password: {password} }}");
    let config = write(dir, "server.conf", &with_password("old"));
    let mut program = Program::start(&["-c", &config]).await;
    let addr = program.addr().to_owned();
    let connect = async |password: &str| {
        let options =
            async_nats::ConnectOptions::with_user_and_password("u".into(), password.into());
        within(options.connect(&addr)).await
    };
    let client = connect("old").await.unwrap();
    write(
        dir,
        "server.conf",
        &format!(
            "{}\npid_file: '{dir}/pid'",
            with_password("new"),
            dir = dir.display()
        ),
    );
    program.signal("reload").await;
    program
        .wait_for("the change of pid_file takes effect at the next start")
        .await;
    program.wait_for("Reloaded server configuration").await;
    connect("new").await.unwrap();
    connect("old").await.unwrap_err();
    let is_out = async || client.connection_state() != async_nats::connection::State::Connected;
    testkit::eventually("the client that knew the old password is out", is_out).await;
    write(
        dir,
        "server.conf",
        "port: -1\nauthorization { users: [ {nkey: wrong} ] }",
    );
    program.signal("reload").await;
    let refused = program
        .wait_for("Failed to reload server configuration: ")
        .await;
    assert!(
        refused.ends_with(":2:26: the nkey of a user is not a valid public one"),
        "{refused}"
    );
    connect("new").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_others_reach_stays_closed_until_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let locked = "authorization { token: t }";
    let config = write(
        dir,
        "server.conf",
        &format!("host: 0.0.0.0\nport: -1\n{locked}"),
    );
    let mut program = Program::start(&["-c", &config]).await;
    let port = program.addr().rsplit_once(':').unwrap().1;
    let addr = format!("127.0.0.1:{port}");
    for (text, reason) in [
        ("host: 0.0.0.0\nport: -1", format!("{config}:1:1: host: ")),
        (
            "host: 127.0.0.1\nport: -1",
            "-config: config reload not supported for Host: old=\"0.0.0.0\", new=\"127.0.0.1\""
                .to_owned(),
        ),
    ] {
        write(dir, "server.conf", text);
        program.signal("reload").await;
        let refused = format!("Failed to reload server configuration: {reason}");
        program.wait_for(&refused).await;
        within(async_nats::connect(&addr)).await.unwrap_err();
    }
}

/// A client that says what it is told to, and what it is answered up to `end`; all there is when the server closes before.
async fn heard(client: &mut TcpStream, say: &str, end: &str) -> String {
    client.write_all(say.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        match within(client.read_buf(&mut heard)).await {
            Ok(read) if read > 0 => {}
            _ => break,
        }
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_the_server_runs() {
    const HELLO: &str = "CONNECT {\"verbose\":false}\r\nPING\r\n";
    let folder = tempfile::tempdir().unwrap();
    let common = "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\n";
    for mut program in servers_with(folder.path(), common).await {
        let monitoring = program.behind("Starting http monitor on ").to_owned();
        let before = get(&monitoring, "/varz").await.1;
        let mut known = TcpStream::connect(program.addr()).await.unwrap();
        let greeting = heard(&mut known, HELLO, "PONG\r\n").await;
        assert!(greeting.contains("\"max_payload\":1048576"), "{greeting}");
        let limits = "max_payload: 1000\nmax_connections: 1\nmax_control_line: 600\nping_interval: \"7s\"\nping_max: 5\n\
             write_deadline: \"3s\"\nlogtime: false\nauthorization { timeout: 4 }\n";
        program.configure(&format!("{common}{limits}"));
        program.signal("reload").await;
        let line = program.wait_for("Reloaded server configuration").await;
        assert!(
            line.starts_with(&format!("[{}] [INF] ", program.pid())),
            "{line}"
        );
        let after = get(&monitoring, "/varz").await.1;
        for (name, value) in [
            ("max_payload", 1000),
            ("max_connections", 1),
            ("max_control_line", 600),
            ("ping_interval", 7_000_000_000_u64),
            ("ping_max", 5),
            ("write_deadline", 3_000_000_000),
        ] {
            assert_eq!(after[name], value, "{name}");
        }
        assert_eq!(after["auth_timeout"].as_f64(), Some(4.0));
        assert_eq!(before["start"], after["start"]);
        assert_ne!(before["config_load_time"], after["config_load_time"]);
        // A client that was there is within the new limits, and keeps others out.
        let payload = format!("PUB a 1001\r\n{:1001}\r\n", "");
        let mut second = TcpStream::connect(program.addr()).await.unwrap();
        let greeting = heard(&mut second, HELLO, "PONG\r\n").await;
        assert!(greeting.contains("\"max_payload\":1000,"), "{greeting}");
        assert!(!greeting.ends_with("PONG\r\n"), "{greeting}");
        let refused = heard(&mut known, &payload, "\r\n").await;
        assert_eq!(refused, "-ERR 'Maximum Payload Violation'\r\n");
        program.configure(&format!("{common}{limits}max_subs: 7\n"));
        program.signal("reload").await;
        program
            .wait_for("config reload not supported for MaxSubs: old=")
            .await;
        for (setting, name) in [
            ("server_name: other", "ServerName"),
            ("lame_duck_duration: \"40s\"", "LameDuckDuration"),
        ] {
            program.configure(&format!("{common}{limits}{setting}\n"));
            program.signal("reload").await;
            program
                .wait_for(&format!("config reload not supported for {name}: old="))
                .await;
        }
        let unchanged = get(&monitoring, "/varz").await.1;
        assert_eq!(after["config_load_time"], unchanged["config_load_time"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_is_not_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let common = "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nlame_duck_duration: \"60s\"\n\
         lame_duck_grace_period: \"50s\"\n";
    for program in servers_with(folder.path(), common).await {
        let monitoring = program.behind("Starting http monitor on ").to_owned();
        assert_eq!(get(&monitoring, "/healthz").await.1["status"], "ok");
        let mut client = TcpStream::connect(program.addr()).await.unwrap();
        heard(
            &mut client,
            "CONNECT {\"verbose\":false}\r\nPING\r\n",
            "PONG\r\n",
        )
        .await;
        program.signal("ldm").await;
        testkit::eventually("it is not healthy", async || {
            get(&monitoring, "/healthz").await.1["status"] != "ok"
        })
        .await;
        for page in ["/healthz", "/healthz?js-server-only=true"] {
            let (status, health) = get(&monitoring, page).await;
            assert_eq!(status, "HTTP/1.1 500 Internal Server Error");
            let error = health["error"].as_str().unwrap();
            assert!(
                error.starts_with("failed to be ready for connections"),
                "{error}"
            );
            assert_eq!(health["status"], "error");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let certify = |authority: &str| {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
        for name in [authority, "server.pem"] {
            std::fs::write(path(name), cert.pem()).unwrap();
        }
        std::fs::write(path("server.key"), signing_key.serialize_pem()).unwrap();
    };
    certify("old.pem");
    let (cert, key) = (path("server.pem"), path("server.key"));
    let mut program =
        Program::start(&["-p", "-1", "--tls", "--tlscert", &cert, "--tlskey", &key]).await;
    let addr = format!("tls://{}", program.addr());
    let connect = async |authority: &str| {
        let options = async_nats::ConnectOptions::new()
            .add_root_certificates(Path::new(&path(authority)).into());
        within(options.connect(&addr)).await
    };
    let client = connect("old.pem").await.unwrap();
    certify("new.pem");
    connect("new.pem").await.unwrap_err();
    program.signal("reload").await;
    program.wait_for("Reloaded server configuration").await;
    connect("new.pem").await.unwrap();
    connect("old.pem").await.unwrap_err();
    client.flush().await.unwrap();
    std::fs::write(&key, "no key").unwrap();
    program.signal("reload").await;
    program
        .wait_for("Failed to reload server configuration: tls: ")
        .await;
    connect("new.pem").await.unwrap();
}

/// The system sends a signal to a process whose file becomes too large, besides refusing the write.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_as_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 1024 && exec \"$0\" \"$@\""])
        .args([env!("CARGO_BIN_EXE_bridge"), "broker"])
        .args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"])
        .arg(folder.path())
        .kill_on_drop(true);
    let program = Program::run(limited).await;
    let client = within(async_nats::connect(program.addr())).await.unwrap();
    let context = jetstream::new(client);
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s".into()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let publish = async |subject, bytes| {
        let payload = vec![b'x'; bytes].into();
        within(
            context
                .publish(subject, payload)
                .await
                .unwrap()
                .into_future(),
        )
        .await
    };
    let mut stored = 0;
    let refused = loop {
        match publish("s", 20_000).await {
            Ok(_) => stored += 1,
            Err(error) => break error.to_string(),
        }
        assert!(stored < 200, "no file grew too large");
    };
    assert!(
        stored > 0 && refused.contains("File too large"),
        "{refused}"
    );
    let other = stream::Config {
        name: "T".into(),
        subjects: vec!["t".into()],
        ..Default::default()
    };
    context.create_stream(other).await.unwrap();
    publish("t", 1).await.unwrap();
    let state = context
        .get_stream("S")
        .await
        .unwrap()
        .cached_info()
        .state
        .clone();
    assert_eq!(state.messages, stored);
    assert!(program.end("term").await.success());
}
