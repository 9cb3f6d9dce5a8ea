//! What protects visitors: from other sites, from texts that are markup, from stale caches.

use reqwest::Method;
use web::{Visitor, VisitorSource};

use crate::{
    browser::Page,
    site::{Setup, Site},
};

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() {
    let site = Site::start().await;
    let browser = site.browser();
    let token = browser.get("/movie/new").await.token();
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let form = [("title", "Heat"), ("csrf", token.as_str())];
        let request = browser
            .request(|client, url| client.post(url), "/movie/new")
            .form(&form)
            .header(name, value);
        let page = Page::of(request.send().await.unwrap()).await;
        assert_eq!(page.status, 403, "{name}: {value}");
        assert!(
            page.text().contains("This form came from another site"),
            "{}",
            page.text()
        );
    }
    for token in ["", "wrong"] {
        let form = [("title", "Heat"), ("csrf", token)];
        let request = browser
            .request(|client, url| client.post(url), "/movie/new")
            .form(&form);
        let page = Page::of(request.send().await.unwrap()).await;
        assert_eq!(page.status, 403);
        assert!(
            page.text().contains("This form cannot be trusted any more"),
            "{}",
            page.text()
        );
    }
    for action in [
        "/sample",
        "/preferences/add",
        "/preferences/delete/heist",
        "/movie/x/edit",
        "/movie/x/delete",
    ] {
        let request = browser
            .request(|client, url| client.post(url), action)
            .header("origin", "http://evil.example");
        let status = request.send().await.unwrap().status();
        // That a film is unknown may be answered before it is checked where the form comes from.
        assert!(
            status == 403 || (action.starts_with("/movie") && status == 404),
            "{action}: {status}"
        );
    }
    assert!(
        browser
            .get("/")
            .await
            .text()
            .starts_with("Nothing is showing yet")
    );
}

#[tokio::test]
async fn a_site_whose_name_leads_to_this_machine_changes_nothing() {
    let site = Site::start().await;
    let browser = site.browser();
    let token = browser.get("/movie/new").await.token();
    let send = async |host: &str, origin: &str| {
        let request = browser
            .request(|client, url| client.post(url), "/movie/new")
            .form(&[("title", "Heat"), ("csrf", token.as_str())])
            .header("host", host)
            .header("origin", origin)
            .header("x-forwarded-host", origin.trim_start_matches("http://"));
        Page::of(request.send().await.unwrap()).await
    };
    let page = send("evil.example:5000", "http://evil.example:5000").await;
    assert_eq!(page.status, 403);
    assert!(
        page.text().contains("Marquee is not known by this name"),
        "{}",
        page.text()
    );
    let proxied = send("localhost", "http://films.example").await;
    assert_eq!(proxied.status, 303, "{}", proxied.text());
}

#[tokio::test]
async fn a_form_of_our_own_page_passes_with_what_a_browser_sends() {
    let site = Site::start().await;
    let browser = site.browser();
    let token = browser.get("/movie/new").await.token();
    let request = browser
        .request(|client, url| client.post(url), "/movie/new")
        .form(&[("title", "Heat"), ("csrf", token.as_str())])
        .header("origin", &site.url)
        .header("referer", format!("{}/movie/new", site.url))
        .header("sec-fetch-site", "same-origin");
    assert_eq!(request.send().await.unwrap().status(), 303);
}

#[tokio::test]
async fn a_script_that_knows_nothing_of_tokens_goes_on_working() {
    let site = Site::start().await;
    let script = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let post = async |path: &str, form: &[(&str, &str)]| {
        let answer = script
            .post(format!("{}{path}", site.url))
            .form(form)
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    };
    assert_eq!(
        post("/movie/new", &[("title", "Heat"), ("rating", "8.2")]).await,
        303
    );
    assert_eq!(post("/preferences/add", &[("keyword", "heist")]).await, 303);
    assert_eq!(post("/preferences/delete/heist", &[]).await, 303);
    assert!(site.browser().get("/").await.text().contains("Heat"));
}

#[tokio::test]
async fn texts_never_become_markup() {
    const EVIL: &str = r#"<img src=x onerror=alert(1)>"'</title></svg><script>alert(1)</script>"#;
    let site = Site::start().await;
    let browser = site.browser();
    browser
        .submit("/preferences", "/preferences/add", &[("keyword", EVIL)])
        .await;
    let film = browser.add_film(EVIL, "2001", EVIL, EVIL).await;
    let genre = "/?genre=%3Cscript%3Ealert(1)%3C/script%3E%22%3E";
    let cover = format!("{film}/cover.svg");
    for path in [
        "/",
        genre,
        &film,
        &format!("{film}/edit"),
        &cover,
        "/preferences",
        "/recommendations",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<script>"), "{path}");
        assert!(!page.body.contains("<img src=x"), "{path}");
        assert!(!page.body.contains(r#"">"'"#), "{path}");
    }
    let long = [("title", EVIL), ("rating", EVIL), ("genre", EVIL)];
    let refused = browser.submit("/movie/new", "/movie/new", &long).await;
    assert_eq!(refused.status, 422);
    assert!(!refused.body.contains("<script>"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let cover = format!("{film}/cover.svg");
    let posted = browser
        .request(|client, url| client.post(url), "/sample")
        .header("origin", "null")
        .send()
        .await
        .unwrap();
    let mut pages = vec![Page::of(posted).await];
    for path in [
        "/",
        &film,
        &cover,
        "/nothing",
        "/sample",
        "/assets/live.js",
        "/recommendations",
        "/movie/unknown",
    ] {
        pages.push(browser.get(path).await);
    }
    for page in pages {
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
    }
}

/// A source of visitors that panics if a header says so.
fn fragile(request: &actix_web::HttpRequest) -> Visitor {
    assert!(
        !request.headers().contains_key("x-panic"),
        "made to panic by a test"
    );
    Visitor::owner(request)
}

#[tokio::test]
async fn answers_of_every_status_have_the_id_of_the_request_and_the_headers_that_protect() {
    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const JSON: (&str, &str) = ("content-type", "application/json");
    const PANIC: (&str, &str) = ("x-panic", "1");
    let site = Site::start_with(Setup {
        visitors: VisitorSource::Open(fragile),
        ..Setup::default()
    })
    .await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let call = format!("/api/v1/movies/{}", film.trim_start_matches("/movie/"));
    let large = "x".repeat(300_000);
    let large_form = format!("title={large}");
    let large_json = format!("{{\"title\": \"{large}\"}}");
    let foreign = ("host", "evil.example:5000");
    type Case<'a> = (u16, Method, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 23] = [
        (200, Method::GET, "/", &[], ""),
        (
            303,
            Method::POST,
            "/preferences/add",
            &[FORM],
            "keyword=heat",
        ),
        (308, Method::GET, "/preferences/", &[], ""),
        (403, Method::GET, "/", &[foreign], ""),
        (404, Method::GET, "/nothing", &[], ""),
        (405, Method::PUT, "/", &[], ""),
        (413, Method::POST, "/movie/new", &[FORM], &large_form),
        (415, Method::POST, "/movie/new", &[JSON], "{}"),
        (422, Method::POST, "/movie/new", &[FORM], "title="),
        (500, Method::GET, "/preferences", &[PANIC], ""),
        (200, Method::GET, "/api/v1/movies", &[], ""),
        (304, Method::GET, &call, &[("if-none-match", "\"1\"")], ""),
        (400, Method::POST, "/api/v1/movies", &[JSON], "{"),
        (403, Method::GET, "/api/v1/movies", &[foreign], ""),
        (404, Method::GET, "/api/v1/nothing", &[], ""),
        (405, Method::PUT, "/api/v1/movies", &[], ""),
        (
            406,
            Method::GET,
            "/api/v1/movies",
            &[("accept", "text/css")],
            "",
        ),
        (412, Method::DELETE, &call, &[("if-match", "\"7\"")], ""),
        (413, Method::POST, "/api/v1/movies", &[JSON], &large_json),
        (415, Method::POST, "/api/v1/movies", &[FORM], "title=Heat"),
        (
            422,
            Method::POST,
            "/api/v1/movies",
            &[JSON],
            "{\"title\": \"\"}",
        ),
        (500, Method::GET, "/api/v1/movies", &[PANIC], ""),
        (404, Method::GET, "/metrics", &[], ""),
    ];
    let check = async |case: &Case<'_>, number: usize| {
        let (status, method, path, headers, body) = case;
        let id = format!("request-{number}");
        // Without cookies, as a program: a form without a token is taken then.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let mut request = client
            .request(method.clone(), format!("{}{path}", site.url))
            .header("x-request-id", &id)
            .body((*body).to_owned());
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let page = Page::of(request.send().await.unwrap()).await;
        let what = format!("{method} {path}: {}", page.body);
        assert_eq!(page.status, *status, "{what}");
        for (name, value) in [
            ("x-request-id", id.as_str()),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            let sent: Vec<_> = page.headers.get_all(name).iter().collect();
            assert_eq!(sent, [value], "{name} of {what}");
        }
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{what}");
        if page.header("content-type") == "application/problem+json" {
            let problem: serde_json::Value = serde_json::from_str(&page.body).unwrap();
            assert_eq!(problem["request_id"], id, "{what}");
        }
    };
    for (number, case) in cases.iter().enumerate() {
        check(case, number).await;
    }
    site.catalog.leave();
    for path in ["/movie/new-film", "/api/v1/movies?q=crime"] {
        check(&(503, Method::GET, path, &[], ""), 99).await;
    }
}

#[tokio::test]
async fn cookies_are_out_of_reach_for_scripts_and_other_sites() {
    let site = Site::start().await;
    let page = site.browser().get("/movie/new").await;
    let cookie = page.header("set-cookie");
    assert!(cookie.starts_with("marquee_csrf="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    let browser = site.browser();
    let request = browser
        .request(|client, url| client.get(url), "/")
        .header("x-forwarded-proto", "https");
    let page = Page::of(request.send().await.unwrap()).await;
    assert!(page.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_pages_are_not() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.get("/").await;
    assert_eq!(page.header("cache-control"), "private, no-cache");
    for asset in [
        "/assets/marquee.css?v=",
        "/assets/live.js?v=",
        "/assets/theme.js?v=",
        "/assets/icon.svg?v=",
    ] {
        let (_, rest) = page
            .body
            .split_once(asset)
            .unwrap_or_else(|| panic!("{asset} in {}", page.body));
        let address = format!("{asset}{}", rest.split_once('"').unwrap().0);
        let answer = browser.get(&address).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=31536000, immutable",
            "{address}"
        );
        assert!(!answer.header("etag").is_empty());
    }
    assert_eq!(
        browser
            .get("/assets/live.js?v=old")
            .await
            .header("cache-control"),
        "no-cache"
    );
    let request = browser
        .request(|client, url| client.get(url), "/")
        .header("accept-encoding", "gzip");
    assert_eq!(
        request.send().await.unwrap().headers()["content-encoding"],
        "gzip"
    );
}
