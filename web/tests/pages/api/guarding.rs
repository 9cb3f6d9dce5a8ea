//! What the API refuses, whoever asks: other sites' pages, other types, other methods.

use reqwest::Method;
use serde_json::{Value, json};
use web::{ClientRateSettings, RateLimitSettings};

use super::{Answer, Program};
use crate::{
    browser::Page,
    site::{Setup, Site},
};

const MOVIES: &str = "/api/v1/movies";

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let json = r#"{"title": "Evil"}"#;
    let forms = [
        ("text/plain", json),
        ("application/x-www-form-urlencoded", "title=Evil"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\nEvil\r\n--x--\r\n",
        ),
        ("text/json", json),
        ("", json),
    ];
    for (method, path) in [
        (Method::POST, MOVIES),
        (Method::PUT, film.as_str()),
        (Method::PATCH, film.as_str()),
        (Method::POST, "/api/v1/preferences"),
        (Method::POST, "/api/v1/recommendations"),
    ] {
        for (kind, body) in forms {
            let request = program
                .client
                .request(method.clone(), format!("{}{path}", program.url));
            let request = match kind {
                "" => request,
                kind => request.header("content-type", kind),
            };
            let answer = Answer::of(request.body(body).send().await.unwrap()).await;
            answer.is_problem(415, "unsupported_media_type");
        }
    }
    assert_eq!(site.catalog.films().len(), 1);
    assert_eq!(program.get(&film).await.json["title"], "Heat");
    assert!(site.recommendations.keywords(1).is_empty());
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_whatever_it_sends() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    let writes = [
        (Method::POST, MOVIES.to_owned(), json!({"title": "Evil"})),
        (Method::PUT, film.clone(), json!({"title": "Evil"})),
        (Method::PATCH, film.clone(), json!({"title": "Evil"})),
        (Method::DELETE, film.clone(), Value::Null),
        (
            Method::POST,
            "/api/v1/preferences".into(),
            json!({"keyword": "evil"}),
        ),
        (
            Method::DELETE,
            "/api/v1/preferences/evil".into(),
            Value::Null,
        ),
    ];
    for header in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for (method, path, body) in &writes {
            let answer = program
                .send(method.clone(), path, &[header], body.clone())
                .await;
            answer.is_problem(403, "cross_site");
        }
    }
    let read = [("origin", "http://evil.example")];
    let answer = program.send(Method::GET, &film, &read, Value::Null).await;
    answer.is_problem(403, "cross_site");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    // A link may lead to the document from anywhere.
    let link = [("sec-fetch-site", "cross-site")];
    let answer = program
        .send(Method::GET, "/api/docs", &link, Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(program.get(&film).await.json["title"], "Heat");
}

#[tokio::test]
async fn cookies_alone_prove_nothing() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let browser = site.browser();
    let page = browser.get("/movie/new").await;
    let cookie = page
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let token = page.token();
    let own = site.url.clone();
    let cookie = ("cookie", cookie.as_str());
    let mut added = 0;
    for (headers, status) in [
        (vec![cookie], 403),
        (vec![cookie, ("sec-fetch-site", "none")], 403),
        (vec![cookie, ("x-csrf-token", "wrong")], 403),
        (vec![cookie, ("referer", own.as_str())], 403),
        (vec![cookie, ("x-csrf-token", token.as_str())], 201),
        (vec![cookie, ("origin", own.as_str())], 201),
        (vec![cookie, ("sec-fetch-site", "same-origin")], 201),
        (vec![cookie, ("authorization", "Bearer mqp_x")], 201),
    ] {
        let body = json!({"title": format!("Film {added}")});
        let answer = program.send(Method::POST, MOVIES, &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {}", answer.text);
        match status {
            201 => added += 1,
            _ => answer.is_problem(403, "no_proof_of_origin"),
        }
    }
    let read = program
        .send(Method::GET, MOVIES, &[cookie], Value::Null)
        .await;
    assert_eq!((read.status, &read.json["total"]), (200, &json!(added)));
}

#[tokio::test]
async fn no_origin_may_call_unless_the_settings_name_it() {
    let named = "https://films.example";
    let site = Site::start_with(Setup {
        cors_origins: named.parse().unwrap(),
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let preflight = async |program: &Program, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "content-type,if-match"),
        ];
        program
            .send(Method::OPTIONS, "/api/v1/movies/x", &headers, Value::Null)
            .await
    };
    let answer = preflight(&program, named).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(answer.header("access-control-allow-origin"), named);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("PUT")
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("if-match")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert!(answer.header("vary").contains("origin"));
    let headers = [("origin", named), ("sec-fetch-site", "cross-site")];
    let added = program
        .send(Method::POST, MOVIES, &headers, json!({"title": "Heat"}))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    assert_eq!(added.header("access-control-allow-origin"), named);
    assert!(
        added
            .header("access-control-expose-headers")
            .contains("etag")
    );
    // Problems can be read, too.
    let refused = program
        .send(Method::POST, MOVIES, &headers, json!({}))
        .await;
    assert_eq!(refused.header("access-control-allow-origin"), named);
    // Cookies are for our own pages.
    let with_cookie = [headers[0], headers[1], ("cookie", "marquee_session=x")];
    let answer = program
        .send(Method::POST, MOVIES, &with_cookie, json!({"title": "x"}))
        .await;
    answer.is_problem(403, "no_proof_of_origin");
    for other in [
        "http://films.example",
        "https://films.example.evil.example",
        "null",
    ] {
        let answer = preflight(&program, other).await;
        answer.is_problem(403, "cross_site");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{other}");
    }
    let closed = Site::start().await;
    let answer = preflight(&Program::of(&closed), named).await;
    answer.is_problem(403, "cross_site");
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn whatever_is_refused_is_a_problem() {
    let site = Site::start().await;
    let program = Program::of(&site);
    for path in [
        "/api/",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/movies",
        "/api/v1/movies/",
        "/api//v1/movies",
    ] {
        program.get(path).await.is_problem(404, "no_such_address");
    }
    for (method, path, allow) in [
        (Method::DELETE, MOVIES, "GET, HEAD, POST, OPTIONS"),
        (
            Method::POST,
            "/api/v1/movies/x",
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        ),
        (Method::GET, "/api/v1/preferences/x", "DELETE, OPTIONS"),
        (Method::POST, "/api/openapi.json", "GET, HEAD, OPTIONS"),
        (
            Method::from_bytes(b"BREW").unwrap(),
            MOVIES,
            "GET, HEAD, POST, OPTIONS",
        ),
    ] {
        let answer = program.send(method, path, &[], Value::Null).await;
        answer.is_problem(405, "no_such_method");
        assert_eq!(answer.header("allow"), allow);
    }
    let accept = |accept| program.send(Method::GET, MOVIES, accept, Value::Null);
    accept(&[("accept", "text/html")])
        .await
        .is_problem(406, "not_acceptable");
    assert_eq!(
        accept(&[("accept", "text/html, */*;q=0.1")]).await.status,
        200
    );
    for body in [
        "",
        "{",
        "{\"title\":",
        "title=Heat",
        "{} {}",
        "\u{0}",
        &"[".repeat(10_000),
    ] {
        let request = program.client.post(format!("{}{MOVIES}", program.url));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        let answer = Answer::of(request.send().await.unwrap()).await;
        // An array that never ends is no film before it is no JSON.
        match body.starts_with('[') || body == "{} {}" {
            true => assert!(matches!(answer.status, 400 | 422), "{}", answer.text),
            false => answer.is_problem(400, "malformed"),
        }
    }
    let large = json!({"title": "Heat", "description": "x".repeat(300_000)});
    program
        .post(MOVIES, large)
        .await
        .is_problem(413, "too_large");
    program.get("/api/v1/movies?genre=%ff").await;
    let host = [("host", "evil.example:5000")];
    let answer = program.send(Method::GET, MOVIES, &host, Value::Null).await;
    assert_eq!(
        (answer.status, &answer.json["code"]),
        (403, &json!("strange_host"))
    );
    assert!(site.catalog.films().is_empty());
}

#[tokio::test]
async fn too_many_requests_are_a_problem() {
    let site = Site::start_with(Setup {
        client_rate: ClientRateSettings {
            client_rate: 1,
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        },
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let client = [("x-forwarded-for", "203.0.113.9")];
    for _ in 0..40 {
        let answer = program
            .send(Method::GET, MOVIES, &client, Value::Null)
            .await;
        if answer.status == 429 {
            assert_eq!(answer.json["code"], "too_many_requests", "{}", answer.text);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.header("retry-after"), "1");
            return;
        }
    }
    panic!("forty requests are more than ten, and one for each second");
}

#[tokio::test]
async fn requests_of_one_class_are_limited_and_answers_tell_what_is_left() {
    let site = Site::start_with(Setup {
        client_rate: ClientRateSettings {
            client_rate: 0,
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        },
        rate_limits: RateLimitSettings {
            // So few that none become due while the test runs.
            writes_per_minute: 1,
            reads_per_minute: 1_000,
            ..RateLimitSettings::default()
        },
        ..Setup::default()
    })
    .await;
    let program = Program::of(&site);
    let client = [("x-forwarded-for", "203.0.113.9")];
    let add = async |title: &str, headers: &[(&str, &str)]| {
        let film = json!({"title": title});
        program.send(Method::POST, MOVIES, headers, film).await
    };
    let first = add("Heat", &client).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let policy = r#""write-address";q=1;w=60"#;
    assert_eq!(first.header("ratelimit-policy"), policy);
    assert_eq!(first.header("ratelimit"), r#""write-address";r=0;t=60"#);
    let refused = add("Ronin", &client).await;
    refused.is_problem(429, "too_many_requests");
    assert_eq!(refused.header("ratelimit-policy"), policy);
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(site.catalog.films().len(), 1);

    // Forms are counted with calls; their answers tell it only if they are refused.
    let post = program.client.post(format!("{}/preferences/add", site.url));
    let post = post.header("x-forwarded-for", "203.0.113.9");
    let refused = post.form(&[("keyword", "heat")]).send().await.unwrap();
    let refused = Page::of(refused).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("ratelimit-policy"), policy);
    assert!(
        refused.text().contains("One at a time"),
        "{}",
        refused.text()
    );
    assert_eq!(site.browser().get("/").await.header("ratelimit"), "");

    // Reading is another class, others are other clients, and the machine itself has no limit.
    let read = program
        .send(Method::GET, MOVIES, &client, Value::Null)
        .await;
    assert_eq!(read.status, 200, "{}", read.text);
    assert_eq!(
        read.header("ratelimit-policy"),
        r#""read-address";q=1000;w=60"#
    );
    let other = add("Ronin", &[("x-forwarded-for", "203.0.113.10")]).await;
    assert_eq!(other.status, 201, "{}", other.text);
    for title in ["Thief", "Drive"] {
        let own = add(title, &[]).await;
        assert_eq!(own.status, 201, "{}", own.text);
        assert_eq!(own.header("ratelimit"), "");
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let site = Site::start().await;
    let program = Program::of(&site);
    let film = program.add("Heat").await;
    for path in [
        MOVIES,
        film.as_str(),
        "/api/v1/genres",
        "/api/v1/health",
        "/api/openapi.json",
        "/api/docs",
    ] {
        let get = program.get(path).await;
        let head = program.send(Method::HEAD, path, &[], Value::Null).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        for header in ["content-type", "etag", "cache-control"] {
            assert_eq!(head.header(header), get.header(header), "{path}");
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in [
        MOVIES,
        "/api/nothing",
        "/api/docs",
        "/api/docs/docs.js",
        "/api/v1/movies/x",
    ] {
        let page = browser.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!page.header("x-request-id").is_empty(), "{path}");
        assert_eq!(page.header("set-cookie"), "", "{path}");
    }
    let request = browser.request(|client, url| client.get(url), MOVIES);
    let request = request.header("x-request-id", "of-the-client");
    let page = Page::of(request.send().await.unwrap()).await;
    assert_eq!(page.header("x-request-id"), "of-the-client");
}
