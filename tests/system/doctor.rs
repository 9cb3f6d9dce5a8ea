//! `marquee doctor`: it finds nothing where nothing is wrong, and each thing that is.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;
use testkit::{FakeCollector, FakeConsul};

use crate::certificates::Certificate;
use crate::support::{Bus, Layout, PATIENCE, Program, Store, System, eventually, free_address};

type Settings = Vec<(String, String)>;

/// Runs it; returns its exit code, and for each check what it found.
async fn ask(settings: &Settings, extra: &[(&str, &str)]) -> (Option<i32>, Vec<[String; 3]>) {
    let mut settings = settings.clone();
    let extra = extra.iter();
    settings.extend(extra.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let arguments = ["doctor", "--format", "json"];
    let mut program = Program::start_with("marquee", Path::new("/"), &settings, &arguments);
    let status = program.end_within(PATIENCE).await;
    let printed = program.stdout() + &program.stderr();
    assert!(!printed.contains("s3cr3t"), "{printed}");
    let found: Value = serde_json::from_str(&program.stdout()).expect(&printed);
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let found = found.as_array().unwrap().iter();
    let found = found.map(|f| ["check", "level", "message"].map(|name| text(f, name)));
    (status.code(), found.collect())
}

/// Asserts that this check found a problem, which is told by these words.
async fn is_told(settings: &Settings, extra: &[(&str, &str)], check: &str, words: &str) {
    is_found(settings, extra, check, "problem", words).await;
}

/// Asserts that this check found this, and that the exit code is of it.
async fn is_found(
    settings: &Settings,
    extra: &[(&str, &str)],
    check: &str,
    level: &str,
    words: &str,
) {
    let (code, found) = ask(settings, extra).await;
    let told = found
        .iter()
        .any(|[name, of, message]| name == check && of == level && message.contains(words));
    let expected = i32::from(level == "problem");
    assert!(
        told && code == Some(expected),
        "{check}, {words}: {code:?} {found:#?}"
    );
}

#[tokio::test]
async fn each_problem_is_told_with_what_to_do() {
    let mut system = System::plain().await;
    let settings = system.settings("marquee");
    let data = system.folder.path().join("data");
    for is_running in [true, false] {
        let (code, found) = ask(&settings, &[]).await;
        assert_eq!(code, Some(0), "{found:#?}");
        let says = if is_running { "can serve" } else { "none runs" };
        let is_told =
            |[check, _, message]: &[String; 3]| check == "program" && message.contains(says);
        assert!(found.iter().any(is_told), "{found:#?}");
        if is_running {
            // Another one's addresses are no place for a start.
            let other = system.folder.path().join("other");
            let other = [("DATA_DIR", other.to_str().unwrap())];
            is_found(&settings, &other, "program", "problem", "but not with").await;
            system.stop().await;
        }
    }
    let nobody = free_address();
    let url = format!("mysql://ann:s3cr3t@{nobody}/movies");
    let movies = "movies";
    is_told(
        &settings,
        &[("MOVIES_DATABASE_URL", &url)],
        movies,
        "127.0.0.1",
    )
    .await;
    let same = [
        ("MOVIES_DATABASE_URL", url.as_str()),
        ("RECOMMENDATIONS_DATABASE_URL", &url),
    ];
    is_told(&settings, &same, "settings", "same database").await;
    let bus = format!("nats://s3cr3t@{nobody}");
    is_told(
        &settings,
        &[("EVENT_BUS", &bus)],
        "event bus",
        "nothing answers",
    )
    .await;
    let bus = format!("kafka://{nobody}");
    is_told(
        &settings,
        &[("EVENT_BUS", &bus)],
        "event bus",
        "nothing answers",
    )
    .await;
    for setting in ["HTTP", "GRPC"] {
        let files = ["CERT_FILE", "KEY_FILE", "CA_FILE"];
        let files = files.map(|file| format!("{setting}_{file}"));
        let files = files.each_ref().map(|name| (name.as_str(), "/none.pem"));
        is_told(&settings, &files, "settings", "/none.pem").await;
    }
    for (certificate, level, words) in [
        (
            Certificate::new(2020..2024),
            "problem",
            "ended 2024-01-01 00:00 UTC",
        ),
        (
            Certificate::new(2090..2091),
            "problem",
            "is not valid before 2090-01-01 00:00 UTC",
        ),
        (Certificate::ends_in(9), "warning", ", in 9 days; renew it"),
        (Certificate::ends_in(99), "ok", ", in 99 days"),
    ] {
        let files = certificate.settings();
        let files = files.each_ref().map(|(name, file)| (*name, &**file));
        let (code, found) = ask(&settings, &files).await;
        let told = found.iter().find(|[check, ..]| check == "certificates");
        let [_, found_level, message] = told.expect("the certificate is looked at");
        assert_eq!(found_level, level, "{message}");
        assert!(message.starts_with("HTTP_CERT_FILE: "), "{message}");
        assert!(message.contains(words), "{message}");
        let is_problem = level == "problem";
        assert_eq!(message.contains("the clock"), is_problem, "{message}");
        assert_eq!(code, Some(i32::from(is_problem)), "{found:#?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    is_told(
        &settings,
        &[("GRPC_ADDR", &address)],
        "ports",
        "--grpc-addr (GRPC_ADDR)",
    )
    .await;

    fs::write(data.join("restore.unfinished"), "").unwrap();
    is_told(&settings, &[], "data folder", "marquee restore --replace").await;
    fs::remove_file(data.join("restore.unfinished")).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, found) = ask(&settings, &[]).await;
    let warned = found
        .iter()
        .any(|[_, level, message]| level == "warning" && message.contains("chmod 700"));
    assert!(warned && code == Some(0), "{found:#?}");

    let path = data.join("movies.db");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    for page in damaged.chunks_mut(4_096).skip(1) {
        page.fill(0xff);
    }
    fs::write(&path, damaged).unwrap();
    is_told(&settings, &[], movies, "restore it from a backup").await;
    fs::remove_file(&path).unwrap();
    is_told(&settings, &[], movies, "is missing").await;
    fs::write(&path, whole).unwrap();
}

#[tokio::test]
async fn what_is_elsewhere_is_asked_as_the_programs_ask_it() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let token = fs::read_to_string(system.folder.path().join("data/broker_token")).unwrap();
    let of_catalog = system.settings("catalog").into_iter();
    let own: Settings = of_catalog
        .filter(|(name, _)| name == "EVENT_BUS")
        .chain(
            [
                "HTTP_ADDR",
                "OPS_ADDR",
                "GRPC_ADDR",
                "CATALOG_GRPC_ADDR",
                "ACCOUNTS_GRPC_ADDR",
                "NATS_ADDR",
            ]
            .map(|name| (name.to_owned(), free_address().to_string())),
        )
        .collect();
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut settings = own.clone();
    settings.push(("DATA_DIR".into(), data));
    let nobody = free_address().to_string();

    // The bus, with and without the token that it wants.
    let shown = [("NATS_TOKEN", token.trim())];
    is_found(&settings, &shown, "event bus", "ok", "lets the programs in").await;
    let wrong = [("NATS_TOKEN", "s3cr3t-and-wrong")];
    is_told(&settings, &wrong, "event bus", "NATS refuses the token").await;
    settings.push(("NATS_TOKEN".into(), token.trim().into()));

    // Other services, which may be started later.
    let addresses = system.grpc_addresses();
    for (setting, check, address) in [
        (
            "RECOMMENDATIONS_HOST",
            "recommendations service",
            &addresses.recommendations,
        ),
        ("CATALOG_HOST", "catalog service", &addresses.catalog),
        // What is asked is the health of whatever service is there.
        (
            "ACCOUNTS_HOST",
            "accounts service",
            &addresses.recommendations,
        ),
    ] {
        let answers = [(setting, address.as_str())];
        // Its gRPC health follows its readiness within a moment.
        eventually("the service to be found serving", async || {
            let (_, found) = ask(&settings, &answers).await;
            let serves = |[name, level, _]: &[String; 3]| name == check && level == "ok";
            let is_found = found.iter().any(serves);
            is_found.then_some(()).ok_or(format!("{found:#?}"))
        })
        .await;
        let told = format!("correct {setting}");
        is_found(&settings, &[(setting, &nobody)], check, "warning", &told).await;
        // As container engines pass what is not set.
        let (code, found) = ask(&settings, &[(setting, "")]).await;
        assert_eq!(code, Some(0), "{found:#?}");
    }

    // Consul, for what is looked up and for what is registered.
    let consul = FakeConsul::new();
    consul.require_token("a-token-of-consul");
    let address = addresses.recommendations.trim_start_matches("http://");
    consul.add("films-1", "films", address.parse().unwrap());
    let agent = format!("http://{}", consul.address());
    for used in [
        ("RECOMMENDATIONS_HOST", "consul://films"),
        ("CONSUL_REGISTER_HOST", "127.0.0.1"),
    ] {
        let accepted = [
            used,
            ("CONSUL_HTTP_ADDR", &agent),
            ("CONSUL_HTTP_TOKEN", "a-token-of-consul"),
        ];
        is_found(&settings, &accepted, "consul", "ok", "the agent answers").await;
        let refused = [
            used,
            ("CONSUL_HTTP_ADDR", &agent),
            ("CONSUL_HTTP_TOKEN", "s3cr3t-and-wrong"),
        ];
        let told = "CONSUL_HTTP_TOKEN has to be";
        is_told(&settings, &refused, "consul", told).await;
        let absent = [used, ("CONSUL_HTTP_ADDR", nobody.as_str())];
        is_told(&settings, &absent, "consul", "start the agent").await;
    }

    // The collector of traces, without which programs run.
    let collector = FakeCollector::new();
    const COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let endpoint = collector.endpoint();
    let takes = [(COLLECTOR, endpoint.as_str())];
    is_found(&settings, &takes, "traces", "ok", "takes them").await;
    let absent = format!("http://{nobody}");
    let absent = [(COLLECTOR, absent.as_str())];
    is_found(
        &settings,
        &absent,
        "traces",
        "warning",
        "start the collector",
    )
    .await;

    for (setting, value) in [("LOG", "loud"), (COLLECTOR, "collector:4317")] {
        let told = format!("({setting})");
        is_told(&settings, &[(setting, value)], "settings", &told).await;
    }
    // Each of the settings that is wrong is told of.
    let (_, found) = ask(&settings, &[("LOG", "loud"), (COLLECTOR, "collector:4317")]).await;
    let problems = found
        .iter()
        .filter(|[name, level, _]| name == "settings" && level == "problem");
    assert_eq!(problems.count(), 2, "{found:#?}");
    system.stop().await;
}
