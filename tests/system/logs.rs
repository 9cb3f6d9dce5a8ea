//! Every line of the log that a request led to has its id, in all services; and nobody's secrets or likings are in any line.

use std::{collections::BTreeSet, fs, path::Path};

use proto::recommendations::CreateMovieRequest;
use serde_json::Value;
use testkit::FakeCollector;

use crate::support::{Bus, Film, Layout, Store, System, eventually, marked};

const REQUEST_ID: &str = "needle-4711";
/// Where the programs keep the token that they show their broker.
const TOKEN_FILE: &str = "broker_token";
/// What the services themselves say of their work.
const OURS: &str =
    "warn,web=debug,catalog=debug,recommendations=debug,runtime=debug,bus=debug,storage=debug";

#[tokio::test]
async fn every_line_of_a_request_has_its_id_in_both_formats() {
    if !Layout::Three.is_built() {
        return;
    }
    for format in ["text", "json"] {
        let collector = FakeCollector::new();
        let settings = [
            ("LOG", OURS),
            ("LOG_FORMAT", format),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                collector.endpoint().leak() as &str,
            ),
        ];
        let mut system =
            System::start_with(Layout::Three, &Store::Sqlite, &Bus::Embedded, &settings).await;
        system.follow(2, "heist").await;
        let mut request = tonic::Request::new(CreateMovieRequest {
            title: "Heat".to_owned(),
            description: "One last heist.".to_owned(),
            ..CreateMovieRequest::default()
        });
        let id = REQUEST_ID.parse().unwrap();
        request.metadata_mut().insert("x-request-id", id);
        let answer = system.catalog().await.create_movie(request).await.unwrap();
        assert_eq!(answer.metadata().get("x-request-id").unwrap(), REQUEST_ID);
        let film = answer.into_inner().id;
        marked(&system.browser(), "Heat", true).await;
        let asked = reqwest::Client::new()
            .get(format!("http://{}/movie/{film}", system.http))
            .header("x-request-id", REQUEST_ID);
        let page = asked.send().await.unwrap();
        assert_eq!(page.headers().get("x-request-id").unwrap(), REQUEST_ID);
        system.stop().await;

        let mut told = BTreeSet::new();
        for program in ["catalog", "recommendations"] {
            let log = system.program(program).stderr();
            for line in log.lines() {
                let steps = [
                    "answered GET",
                    "answered a call",
                    "is delivered",
                    "applied 1 status event",
                ];
                let Some(step) = steps.iter().find(|step| line.contains(**step)) else {
                    assert!(!line.contains(&film), "{format}: {line}");
                    continue;
                };
                let id = field(line, format, "request_id");
                assert!(id.is_some(), "{format}: {line}");
                if id.as_deref() == Some(REQUEST_ID) {
                    let trace = field(line, format, "trace_id");
                    assert!(trace.is_some(), "{format}: {line}");
                    told.insert(format!("{program}: {step}"));
                }
            }
        }
        let expected = [
            "catalog: answered GET",
            "catalog: answered a call",
            "catalog: applied 1 status event",
            "catalog: is delivered",
            "recommendations: answered a call",
        ];
        assert_eq!(told, expected.map(str::to_owned).into());
    }
}

/// The value of a field of one of the spans that a line is in.
fn field(line: &str, format: &str, name: &str) -> Option<String> {
    if format == "json" {
        let line: Value = serde_json::from_str(line).unwrap();
        let spans = line.get("spans")?.as_array()?;
        let value = spans.iter().find_map(|span| span.get(name))?;
        return Some(value.as_str().unwrap().to_owned());
    }
    let (_, rest) = line.split_once(&format!("{name}="))?;
    let value = rest.split([' ', '}']).next()?;
    Some(value.to_owned())
}

#[tokio::test]
async fn no_line_has_a_secret_or_what_a_user_likes() {
    const SECRET_KEY: &str = "a-secret-of-thirty-two-characters-or-more";
    const KEYWORD: &str = "quixotic";
    const USER: i32 = 77_123;
    if !Layout::Three.is_built() {
        return;
    }
    let settings = [("LOG", "debug"), ("SECRET_KEY", SECRET_KEY)];
    let mut system =
        System::start_with(Layout::Three, &Store::Sqlite, &Bus::Embedded, &settings).await;
    system.follow(USER, KEYWORD).await;
    let browser = system.browser();
    browser.follow(KEYWORD).await;
    let film = Film {
        title: "Zanzibar Overture",
        description: "A quixotic lamplighter conducts the harbour.",
        ..Film::default()
    };
    let id = browser.add(film).await;
    marked(&browser, film.title, true).await;
    system.recommended_to(USER).await.unwrap();
    browser.open(&format!("/?keyword={KEYWORD}")).await;
    // What is refused, and what is not there.
    let refused = Film {
        rating: "quixotic",
        ..film
    };
    let page = browser.open("/movie/new").await;
    browser.submit(&page, "/movie/new", &refused.fields()).await;
    browser.open(&format!("/movie/{KEYWORD}")).await;
    browser.stop_following(KEYWORD).await;
    browser.delete(&id).await;
    eventually("the log to tell of all this", async || {
        let log = system.program("catalog").stderr();
        let is_told = log.contains("answered POST /movie/{id}/delete");
        is_told.then_some(()).ok_or(log)
    })
    .await;
    system.stop().await;
    let token = broker_token(&system.folder.path().join("data"));
    for program in Layout::Three.programs() {
        let program = system.program(program);
        let log = format!("{}{}", program.stdout(), program.stderr());
        assert!(!log.is_empty());
        for personal in [
            SECRET_KEY,
            KEYWORD,
            "lamplighter",
            &USER.to_string(),
            &token,
        ] {
            let mut lines = log.lines();
            let line = lines.find(|line| line.contains(personal));
            assert_eq!(line, None, "{personal}");
        }
    }
}

/// What is in [`TOKEN_FILE`].
fn broker_token(data: &Path) -> String {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with(TOKEN_FILE) {
                return fs::read_to_string(path).unwrap().trim().to_owned();
            }
        }
    }
    panic!("there is no {TOKEN_FILE}");
}
