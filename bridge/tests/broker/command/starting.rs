//! What starts a server, and what it then is: its log, its files, its pages, its accounts. What is wrong is named before.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Program, command, get, output, write};
use crate::server::{settle, within};

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_a_server_that_flags_started() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let pid_file = format!("{dir}/pid");
    let program = Program::start(&[
        "-p",
        "-1",
        "-m",
        "-1",
        "-a",
        "127.0.0.1",
        "-js",
        &format!("-sd={dir}"),
        "-P",
        &pid_file,
        "--ports_file_dir",
        dir,
        "-n",
        "tester",
        "-DV",
    ])
    .await;
    let store = program.behind("Store Directory: ");
    assert_eq!(store, format!("\"{dir}/jetstream\""));
    assert!(program.logged[0].starts_with(&format!("[{}] 2", program.pid())));
    assert!(
        program.logged[0].contains(" [INF] "),
        "{}",
        program.logged[0]
    );
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), program.pid());
    let ports_file = format!("{dir}/nats-server_{}.ports", program.pid());
    let ports: Value =
        serde_json::from_str(&std::fs::read_to_string(&ports_file).unwrap()).unwrap();
    assert_eq!(ports["nats"][0], format!("nats://{}", program.addr()));
    let mode = fs::metadata(&ports_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "others may look for it");

    let client = async_nats::ConnectOptions::new().name("looked-at");
    let client = within(client.connect(program.addr())).await.unwrap();
    assert_eq!(client.server_info().server_name, "tester");
    let _subscription = client
        .queue_subscribe("a.*", "workers".into())
        .await
        .unwrap();
    let context = jetstream::new(client.clone());
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    context
        .publish("s.a", "hello".into())
        .await
        .unwrap()
        .await
        .unwrap();

    let monitoring = ports["monitoring"][0].as_str().unwrap();
    let monitoring = monitoring.strip_prefix("http://").unwrap();
    let (status, varz) = get(monitoring, "/varz").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let addr: SocketAddr = program.addr().parse().unwrap();
    assert_eq!(
        (&varz["server_name"], &varz["port"]),
        (&"tester".into(), &addr.port().into())
    );
    assert_eq!(varz["server_id"], client.server_info().server_id);
    assert_eq!(
        (&varz["connections"], &varz["total_connections"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        varz["jetstream"]["config"]["store_dir"],
        format!("{dir}/jetstream")
    );
    assert!(varz["in_msgs"].as_u64().unwrap() > 0 && varz["mem"].as_u64().unwrap() > 0);
    assert!(varz.get("auth_required").is_none());
    let (_, connz) = get(monitoring, "/connz?subs=detail").await;
    assert_eq!(
        (&connz["num_connections"], &connz["total"]),
        (&1.into(), &1.into())
    );
    let connection = &connz["connections"][0];
    assert_eq!(
        (&connection["name"], &connection["lang"]),
        (&"looked-at".into(), &"rust".into())
    );
    let details = connection["subscriptions_list_detail"].as_array().unwrap();
    let own = details
        .iter()
        .find(|detail| detail["subject"] == "a.*")
        .unwrap();
    assert_eq!(own["qgroup"], "workers");
    let (_, subsz) = get(monitoring, "/subsz?subs=1&test=a.b").await;
    assert_eq!(
        (&subsz["total"], &subsz["subscriptions_list"][0]["subject"]),
        (&1.into(), &"a.*".into())
    );
    let (_, jsz) = get(monitoring, "/jsz").await;
    assert_eq!((&jsz["streams"], &jsz["messages"]), (&1.into(), &1.into()));
    assert_eq!(get(monitoring, "/healthz").await.1["status"], "ok");
    assert_eq!(get(monitoring, "/routez").await.1["num_routes"], 0);
    let (status, _) = get(monitoring, "/connz?sort=nothing").await;
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert_eq!(
        get(monitoring, "/nothing").await.0,
        "HTTP/1.1 404 Not Found"
    );

    assert!(program.end("term").await.success());
    for file in [&pid_file, &ports_file] {
        assert!(!Path::new(file).exists(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_could_not_be_recovered_is_a_matter_of_health() {
    let folder = tempfile::tempdir().unwrap();
    let streams = folder.path().join("jetstream/streams");
    std::fs::create_dir_all(streams.join("films")).unwrap();
    std::fs::write(streams.join("films/0000000000000001.log"), "rotten").unwrap();
    let store = format!("-sd={}", folder.path().display());
    for _ in 0..2 {
        let program =
            Program::start(&["-p", "-1", "-m", "-1", "-a", "127.0.0.1", "-js", &store]).await;
        let monitoring = program.behind("Starting http monitor on ").to_owned();
        let (status, health) = get(&monitoring, "/healthz").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        let error = health["error"].as_str().unwrap();
        assert!(
            error.starts_with("stream `films` could not be recovered"),
            "{error}"
        );
        let server_only = get(&monitoring, "/healthz?js-server-only=true").await;
        assert_eq!(server_only.1["status"], "ok");
        assert!(program.end("term").await.success());
    }
    for left in std::fs::read_dir(&streams).unwrap() {
        std::fs::remove_dir_all(left.unwrap().path()).unwrap();
    }
    let program = Program::start(&["-p", "-1", "-m", "-1", "-a", "127.0.0.1", "-js", &store]).await;
    let monitoring = program.behind("Starting http monitor on ");
    assert_eq!(get(monitoring, "/healthz").await.1["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_js_there_is_no_jetstream() {
    let program = Program::start(&["-p", "-1", "-T=false"]).await;
    assert!(program.logged[0].starts_with(&format!("[{}] [INF] ", program.pid())));
    let client = async_nats::connect(program.addr()).await.unwrap();
    let error = client.request("$JS.API.INFO", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
    assert!(program.end("quit").await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_as_large_before_the_folder_for_streams_is_there_as_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut start = command(&["-p", "-1", "-m", "-1", "-js", "-sd", "store"]);
        start.current_dir(folder.path());
        let program = Program::run(start).await;
        let monitoring = program.behind("Starting http monitor on ");
        let (_, jsz) = get(monitoring, "/jsz").await;
        found.push(jsz["config"]["max_storage"].as_u64().unwrap());
        assert!(program.end("quit").await.success());
    }
    // Others write to the disk meanwhile.
    assert!(
        found[0] < found[1] * 2 && found[1] < found[0] * 2,
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_starts_a_server_and_flags_go_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    write(
        dir,
        "users.conf",
        "users = [ {user: alice, password: $PASSWORD} ]",
    );
    let config = write(
        dir,
        "server.conf",
        "port: 1\nserver_name: from-file\nPASSWORD: \"s3cr3t\"\nmax_payload: 2KB\n\
         authorization { users = [ {user: alice, password: $PASSWORD} ], timeout: 1s }\n\
         jetstream { store_dir: 'never', max_file: 1GB } # not used",
    );
    let log = dir.join("server.log");
    let store = dir.join("store");
    let (log, store) = (log.to_str().unwrap(), store.to_str().unwrap());
    let start = ["-c", &config, "-p", "-1", "--store_dir", store];
    let program = Program::start(&start).await;
    let connect = |password: &str| {
        async_nats::ConnectOptions::with_user_and_password("alice".into(), password.into())
            .connect(program.addr())
    };
    let client = within(connect("s3cr3t")).await.unwrap();
    assert_eq!(client.server_info().server_name, "from-file");
    assert_eq!(client.max_payload(), 2048);
    within(connect("wrong")).await.unwrap_err();
    assert!(Path::new(store).join("jetstream").exists());
    assert!(program.end("quit").await.success());

    let valid = output(command(&["-t", "-c", &config, "-l", log])).await;
    assert_eq!(
        valid,
        (
            true,
            Some(0),
            format!("nats-server: configuration file {config} is valid\n")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(
        folder.path(),
        "wrong.conf",
        "\nprot: 4222\ncluster { name: c }",
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let user_file = write(
        folder.path(),
        "user.conf",
        "listen: \"0.0.0.0:-1\"\nauthorization { users: [ {user: bob, password: b}, {user: alice} ] }",
    );
    let websocket_user = write(
        folder.path(),
        "websocket.conf",
        "port: -1\nwebsocket { host: 0.0.0.0, port: -1, no_tls: true, authorization { user: carl } }",
    );
    for (arguments, words) in [
        (
            &["-c", &config][..],
            &[
                "wrong.conf:2:1: unknown setting `prot`",
                "wrong.conf:3:1: the setting `cluster`",
            ][..],
        ),
        (&["-t", "-c", &config], &["unknown setting `prot`"]),
        (&["--prot", "1"], &["unknown flag: `-prot`"]),
        (
            &["--routes", "nats://h:1"],
            &["`-routes` of nats-server is not supported"],
        ),
        (&["-p", "70000"], &["-port: a port is a number"]),
        (&["-p", &port], &["is taken by another program"]),
        (
            &["-a", "0.0.0.0", "-p", "-1"],
            &["can be reached from other machines"],
        ),
        (
            &["-a", "0.0.0.0", "-p", "-1", "--auth", ""],
            &["-auth: a token or a password is empty"],
        ),
        (
            &["-p", "-1", "--user", "u", "--pass="],
            &["-pass: a token or a password is empty"],
        ),
        (
            &["-c", "/no/such.conf"],
            &["/no/such.conf: cannot read it: No such file"],
        ),
        (
            &["-a", "0.0.0.0", "-p", "-1", "--user", "a"],
            &["the user `a` has no password", "`allow_unauthenticated`"],
        ),
        (
            &["-c", &user_file],
            &[
                "user.conf:1:1: listen: 0.0.0.0:0 can be reached",
                "the user `alice` has no password",
                "`allow_unauthenticated`",
            ],
        ),
        (
            &["-c", &websocket_user],
            &["websocket: ", "the user `carl` has no password"],
        ),
        (&["--signal", "nothing"], &["unknown signal `nothing`"]),
        (&["--tls", "-p", "-1"], &["TLS needs a certificate"]),
    ] {
        let (_, code, text) = output(command(arguments)).await;
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        for words in words {
            assert!(text.contains(words), "{arguments:?}: {text}");
        }
    }
    let (is_fine, _, text) = output(command(&["--version"])).await;
    assert!(is_fine && text.starts_with("nats-server: v2."), "{text}");
    let (is_fine, _, text) = output(command(&["-h"])).await;
    assert!(is_fine && text.contains("--store_dir"), "{text}");
}

/// Each account has a folder of its own there, one named `streams` that in which this broker has its streams.
#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_nats_server_are_refused_in_whatever_account() {
    let Some(real) = testkit::server("TEST_NATS_SERVER") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for account in ["$G", "A", "streams"] {
        let store = folder.path().join(account);
        let store = store.to_str().unwrap();
        let accounts = match account {
            "$G" => String::new(),
            name => format!(
                "no_auth_user: u\naccounts {{ {name} {{ jetstream: enabled, users: [ {{user: u, password: p}} ] }} }}"
            ),
        };
        let config = format!("listen: \"127.0.0.1:-1\"\n{accounts}\n");
        let config = write(folder.path(), "server.conf", &config);
        let arguments = ["-c", &config, "-js", "-sd", store];
        let mut theirs = tokio::process::Command::new(&real);
        theirs.args(arguments).kill_on_drop(true);
        let theirs = Program::run(theirs).await;
        let client = within(async_nats::connect(theirs.addr())).await.unwrap();
        let stream = stream::Config {
            name: "S".into(),
            subjects: vec!["s".into()],
            ..stream::Config::default()
        };
        jetstream::new(client).create_stream(stream).await.unwrap();
        assert!(theirs.end("quit").await.success());
        let (_, code, text) = output(command(&arguments)).await;
        assert_eq!(code, Some(64), "{text}");
        let words = format!("`{store}/jetstream/{account}` holds streams of nats-server");
        assert!(text.contains(&words), "{text}");
        assert!(!Path::new(store).join("jetstream/broker.lock").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_stream_may_be_named_as_a_folder_of_nats_server() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["-p", "-1", "-js", "-sd", folder.path().to_str().unwrap()];
    for _ in 0..2 {
        let program = Program::start(&arguments).await;
        let client = within(async_nats::connect(program.addr())).await.unwrap();
        jetstream::new(client)
            .get_or_create_stream("streams")
            .await
            .unwrap();
        assert!(program.end("term").await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_do_not_hear_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let config = write(
        folder.path(),
        "server.conf",
        "port: -1\nno_auth_user: guest\naccounts {\n a { users [ {user: alice, password: a}, {user: guest} ] }\n \
         b { jetstream: enabled, users [ {user: bob, password: b} ] } }",
    );
    let program = Program::start(&["-c", &config, "-js", "-sd", dir]).await;
    let connect = async |user: &str, password: &str| {
        let options =
            async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
        within(options.connect(program.addr())).await.unwrap()
    };
    let (alice, bob) = (connect("alice", "a").await, connect("bob", "b").await);
    let guest = within(async_nats::connect(program.addr())).await.unwrap();
    let mut heard_by_guest = guest.subscribe("greeting").await.unwrap();
    let mut heard_by_bob = bob.subscribe("greeting").await.unwrap();
    settle(&guest).await;
    settle(&bob).await;
    alice
        .publish("greeting", "from alice".into())
        .await
        .unwrap();
    assert_eq!(
        within(heard_by_guest.next()).await.unwrap().payload,
        "from alice"
    );
    settle(&alice).await;
    bob.publish("greeting", "from bob".into()).await.unwrap();
    assert_eq!(
        within(heard_by_bob.next()).await.unwrap().payload,
        "from bob"
    );
    let streams = jetstream::new(bob);
    let config = stream::Config {
        name: "S".into(),
        subjects: vec!["s".into()],
        ..stream::Config::default()
    };
    let mut stream = streams.create_stream(config).await.unwrap();
    alice
        .publish("s", "not for bob's stream".into())
        .await
        .unwrap();
    settle(&alice).await;
    streams
        .publish("s", "for it".into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
    for (request, kind) in [
        ("INFO", "account_info"),
        ("STREAM.MSG.GET.S", "stream_msg_get"),
        ("CONSUMER.DURABLE.CREATE.S.d", "consumer_create"),
    ] {
        let refusal = alice.request(format!("$JS.API.{request}"), "".into());
        let refusal: Value = serde_json::from_slice(&refusal.await.unwrap().payload).unwrap();
        assert_eq!(
            (&refusal["type"], &refusal["error"]["err_code"]),
            (
                &format!("io.nats.jetstream.api.v1.{kind}_response").into(),
                &10039.into()
            )
        );
    }
    let next = alice.request("$JS.API.CONSUMER.MSG.NEXT.S.d", "".into());
    let error = next.await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_broker_has_ends_the_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().to_str().unwrap();
    let pid_file = folder.path().join("pid");
    let arguments = [
        "-p",
        "-1",
        "-js",
        "-sd",
        store,
        "-P",
        pid_file.to_str().unwrap(),
    ];
    let program = Program::start(&arguments).await;
    let (_, code, text) = output(command(&arguments)).await;
    assert_eq!(code, Some(64), "{text}");
    let words =
        format!("-sd, store_dir: the data folder `{store}/jetstream` is in use by another broker");
    assert!(text.contains(&words), "{text}");
    assert!(!text.contains("restart"), "{text}");
    // The file is that of the one that runs.
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), program.pid());
    assert!(program.end("term").await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_large_message_is_no_reason_to_keep_memory_for_good() {
    const CLIENTS: u64 = 60;
    const PAYLOAD: u64 = 1 << 20;
    let program = Program::start(&["-a", "127.0.0.1", "-p", "-1"]).await;
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024
    };
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(program.addr()).await.unwrap();
        hear(
            &mut client,
            "CONNECT {\"verbose\":false}\r\nPING\r\n",
            "PONG\r\n",
        )
        .await;
        clients.push(client);
    }
    let before = memory();
    let payload = "x".repeat(PAYLOAD as usize);
    let say = format!("PUB a {PAYLOAD}\r\n{payload}\r\nPING\r\n");
    for client in &mut clients {
        hear(client, &say, "PONG\r\n").await;
    }
    let most = before + CLIENTS * PAYLOAD / 2;
    testkit::eventually("the memory is given back", async || memory() < most).await;
}

/// Says something, and reads until the answer ends so.
async fn hear(client: &mut TcpStream, say: &str, end: &str) {
    client.write_all(say.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        assert!(within(client.read_buf(&mut heard)).await.unwrap() > 0);
    }
}
