//! `marquee doctor`: it finds nothing where nothing is wrong, and each thing that is.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::support::{PATIENCE, Program, System, free_address};

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
    let (code, found) = ask(settings, extra).await;
    let told = found.iter().any(|[name, level, message]| {
        name == check && level == "problem" && message.contains(words)
    });
    assert!(
        told && code == Some(1),
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
        "event bus (NATS)",
        "nothing answers",
    )
    .await;
    let bus = format!("kafka://{nobody}");
    is_told(
        &settings,
        &[("EVENT_BUS", &bus)],
        "event bus (Kafka)",
        "nothing answers",
    )
    .await;
    for setting in ["HTTP", "GRPC"] {
        let files = ["CERT_FILE", "KEY_FILE", "CA_FILE"];
        let files = files.map(|file| format!("{setting}_{file}"));
        let files = files.each_ref().map(|name| (name.as_str(), "/none.pem"));
        is_told(&settings, &files, "settings", "/none.pem").await;
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
