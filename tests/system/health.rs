//! Each program says on its HTTP address how it is.

use crate::support::{Bus, Film, Layout, Store, System, eventually, marked};

#[tokio::test]
async fn each_program_shows_its_health_and_its_actors() {
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let mut system = System::start(layout, &Store::Sqlite, &Bus::Embedded).await;
        for name in layout.programs() {
            let health = system.health(name);
            for path in ["/healthz", "/readyz", "/metrics"] {
                let page = health.open(path).await;
                assert_eq!(page.status, 200, "{name}{path}: {page:?}");
            }
            let page = health.open("/system").await;
            assert_eq!(page.status, 200, "{name}: {page:?}");
            for actor in actors(name) {
                assert!(
                    page.shows(actor),
                    "{name} does not show its {actor}: {page:?}"
                );
            }
        }
        system.stop().await;
    }
}

#[tokio::test]
async fn each_program_says_which_version_it_is_and_what_it_uses() {
    let version = env!("CARGO_PKG_VERSION");
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let mut system = System::start(layout, &Store::Sqlite, &Bus::Embedded).await;
        for name in layout.programs() {
            let health = system.health(name);
            let metrics = health.open("/metrics").await.html;
            let line = format!("marquee_build_info{{version=\"{version}\"}} 1");
            assert!(metrics.lines().any(|l| l == line), "{name}: {metrics}");
            let page = health.open("/system").await;
            assert!(
                page.shows(&format!("Version {version}")),
                "{name}: {page:?}"
            );
            let log = system.program(name).stderr();
            let lines = [
                format!("{name} {version} starts"),
                "for operators: http://".into(),
            ];
            let used: &[&str] = match *name {
                "marquee" => &[
                    "databases: movies sqlite://",
                    "event bus: ",
                    "pages: http://",
                ],
                "catalog" => &[
                    "database: sqlite://",
                    "event bus: nats://",
                    "pages: http://",
                ],
                "recommendations" => &["database: sqlite://", "event bus: nats://"],
                _ => &["data: "],
            };
            for line in lines.iter().map(String::as_str).chain(used.iter().copied()) {
                assert_eq!(log.matches(line).count(), 1, "{name}: {line} in {log}");
            }
        }
        system.stop().await;
    }
}

#[tokio::test]
async fn what_is_asked_is_counted_by_route_and_method() {
    let mut system = System::plain().await;
    let browser = system.browser();
    browser.open("/").await;
    browser.open("/no/such/page").await;
    browser
        .add(Film {
            title: "Heat",
            ..Film::default()
        })
        .await;
    let health = system.health("marquee");
    eventually("all to be counted", async || {
        let metrics = health.try_open("/metrics").await?.html;
        let counts = |labels: &str| {
            let mut lines = metrics.lines();
            lines.any(|line| line.contains(labels) && !line.ends_with(" 0"))
        };
        let all = [
            r#"marquee_http_requests_total{code="200",method="GET",route="/"}"#,
            r#"marquee_http_requests_total{code="404",method="GET",route="unknown"}"#,
            r#"marquee_http_request_seconds_count{route="/movie/new"}"#,
            r#"/CreateMovie"}"#,
            r#"marquee_grpc_calls_total{code="Ok",method="#,
            "process_open_fds",
        ];
        let missing: Vec<_> = all.into_iter().filter(|labels| !counts(labels)).collect();
        missing
            .is_empty()
            .then_some(())
            .ok_or(format!("{missing:?} in {metrics}"))
    })
    .await;
    system.stop().await;
}

#[tokio::test]
async fn every_actor_counts_what_it_does() {
    let film = Film {
        title: "Heat",
        description: "A crew of thieves plans one last heist.",
        ..Film::default()
    };
    for layout in [Layout::One, Layout::Three] {
        if !layout.is_built() {
            continue;
        }
        let settings = [("REGISTRATION", "open")];
        let mut system =
            System::start_with(layout, &Store::Sqlite, &Bus::Embedded, &settings).await;
        let browser = system.browser();
        browser.follow("heist").await;
        browser.add(film).await;
        marked(&browser, film.title, true).await;
        if layout == Layout::One {
            system.come_and_go().await;
        }
        for name in layout.programs() {
            let health = system.health(name);
            // Some do their work now and then.
            eventually("every actor to have counted something", async || {
                let metrics = health.try_open("/metrics").await?.html;
                let mut handled = metrics
                    .lines()
                    .filter(|line| line.starts_with("marquee_actor_handled_total{"))
                    .peekable();
                assert!(handled.peek().is_some(), "{metrics}");
                // Where nobody signs in, nothing is asked of the accounts service, and the three programs have none that an account could go from.
                let has_no_work = |line: &str| match layout {
                    Layout::Three => line.contains("actor=\"account-consumer\""),
                    Layout::One => false,
                };
                let works = |line: &&str| {
                    !line.contains("actor=\"accounts-gateway\"") && !has_no_work(line)
                };
                let idle = handled.filter(|line| line.ends_with(" 0")).filter(works);
                let idle: Vec<_> = idle.collect();
                idle.is_empty().then_some(()).ok_or(idle.join("\n"))
            })
            .await;
        }
        system.stop().await;
    }
}

#[tokio::test]
async fn the_public_address_tells_no_visitor_what_is_for_operators() {
    let mut system = System::plain().await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let get = async |path: &str, name: &str, value: &str| {
        let url = format!("http://{}{path}", system.http);
        let answer = client.get(url).header(name, value).send().await.unwrap();
        for header in [
            "content-security-policy",
            "x-content-type-options",
            "x-request-id",
        ] {
            assert!(answer.headers().contains_key(header), "{path}: {answer:?}");
        }
        answer
    };
    assert_eq!(get("/metrics", "accept", "*/*").await.status(), 404);
    let ready = get("/readyz", "accept", "*/*").await;
    assert_eq!(ready.status(), 200);
    assert_eq!(ready.text().await.unwrap(), "ready\n");

    // Those who sit at the machine are sent on.
    let local = get("/system", "accept", "*/*").await;
    let location = format!("http://{}/system", system.ops_addr());
    assert_eq!(local.status(), 302);
    assert_eq!(local.headers()["location"], location.as_str());
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("host", "films.example.org"),
    ] {
        let status = get("/system", name, value).await.status();
        assert!(status.is_client_error(), "{name}: {status}");
    }

    // Another site may have its own name lead here: its scripts may read nothing.
    for path in ["/", "/system", "/metrics", "/readyz", "/healthz"] {
        let url = format!("http://{}{path}", system.ops_addr());
        for (host, status) in [
            ("films.example.org", 403),
            ("127.0.0.1.example.org:5001", 403),
            ("films.example.org@localhost", 403),
            ("localhost:5001", if path == "/" { 307 } else { 200 }),
        ] {
            let answer = client.get(&url).header("host", host).send();
            assert_eq!(answer.await.unwrap().status(), status, "{path} at {host}");
        }
    }

    let url = format!("http://{}/no-such-page", system.ops_addr());
    let bare = client.get(url).send().await.unwrap();
    assert_eq!(bare.status(), 404);
    assert!(
        bare.headers().contains_key("content-security-policy"),
        "{bare:?}"
    );
    system.stop().await;
}

#[tokio::test]
async fn readiness_names_what_is_not_ready_and_comes_back() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    system.program("bridge").kill().await;
    for name in ["catalog", "recommendations"] {
        let health = system.health(name);
        assert_eq!(
            health.open("/healthz").await.status,
            200,
            "{name} is alive all the same"
        );
        // It serves without the broker, and says that it does.
        eventually(
            &format!("{name} to say that the broker is unavailable"),
            async || {
                let page = health.try_open("/system").await?;
                page.shows("degraded: ").then_some(()).ok_or(page.html)
            },
        )
        .await;
        assert_eq!(
            health.open("/readyz").await.status,
            200,
            "{name} can serve without the broker"
        );
    }
    system.launch("bridge");
    for name in Layout::Three.programs() {
        let health = system.health(name);
        eventually(&format!("{name} to be well again"), async || {
            let page = health.try_open("/system").await?;
            (!page.shows("degraded: ")).then_some(()).ok_or(page.html)
        })
        .await;
    }
    system.stop().await;
}

/// Some of the actors that a program cannot do without.
fn actors(program: &str) -> &'static [&'static str] {
    match program {
        "marquee" => &[
            "movie-repository",
            "film-courier",
            "status-consumer",
            "matcher",
            "broker",
        ],
        "catalog" => &[
            "movie-repository",
            "film-courier",
            "status-consumer",
            "recommendations-gateway",
        ],
        "recommendations" => &["matcher", "outbox-courier"],
        _ => &["broker"],
    }
}
