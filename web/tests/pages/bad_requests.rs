//! Requests that make no sense.

use reqwest::Method;

use crate::{browser::Page, site::Site};

#[tokio::test]
async fn what_is_not_there_is_told_in_style() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in [
        "/nothing",
        "/movie",
        "/movie/",
        "/movie/unknown",
        "/movie/6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "/movie/%00",
        "/movie/%ff",
        "/movie/a%20b",
        "/movie/6f9619ff-8b86-d011-b42d-00c04fc964ff/edit",
        "/movie/x/cover.svg",
        "/assets/",
        "/assets/none.css",
        "/assets/..%2Fbase.html",
        "/preferences/nothing",
        "//",
        "/..%2f..%2fetc/passwd",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert_eq!(
            page.header("content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        assert!(
            page.text().contains("This is not showing"),
            "{path}: {}",
            page.text()
        );
    }
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_told_which_are() {
    let site = Site::start().await;
    let browser = site.browser();
    let cases = [
        (Method::PUT, "/", "GET, HEAD"),
        (Method::POST, "/", "GET, HEAD"),
        (Method::DELETE, "/movie/new", "GET, HEAD, POST"),
        (Method::POST, "/movie/x", "GET, HEAD"),
        (Method::GET, "/movie/x/delete", "POST"),
        (Method::GET, "/preferences/add", "POST"),
        (Method::GET, "/preferences/delete/heist", "POST"),
        (Method::GET, "/sample", "POST"),
        (Method::POST, "/recommendations", "GET, HEAD"),
    ];
    for (method, path, allowed) in cases {
        let answer = browser
            .request(|client, url| client.request(method.clone(), url), path)
            .send()
            .await
            .unwrap();
        let page = Page::of(answer).await;
        assert_eq!(page.status, 405, "{method} {path}");
        assert_eq!(page.header("allow"), allowed, "{method} {path}");
        assert!(
            page.text().contains("That does not work here"),
            "{method} {path}: {}",
            page.text()
        );
    }
}

#[tokio::test]
async fn head_answers_as_get_without_the_page() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in ["/", "/recommendations", "/movie/new", "/assets/marquee.css"] {
        let answer = browser
            .request(|client, url| client.head(url), path)
            .send()
            .await
            .unwrap();
        let page = Page::of(answer).await;
        assert_eq!((page.status, page.body.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn forms_that_are_none_are_refused_in_style() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let site = Site::start().await;
    let browser = site.browser();
    let large = format!("title=Heat&description={}", "x".repeat(300_000));
    let cases: [(&str, &[u8], u16, &str); 6] = [
        (
            "application/json",
            br#"{"title":"Heat"}"#,
            415,
            "This kind of form is not read here",
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x--",
            415,
            "This kind of form is not read here",
        ),
        ("", b"title=Heat", 415, "This kind of form is not read here"),
        (FORM, b"title=\xff", 400, "That was not understood"),
        (FORM, large.as_bytes(), 413, "That is too much at once"),
        (FORM, b"", 422, "One thing needs another look:"),
    ];
    for (kind, body, status, said) in cases {
        let request = browser
            .request(|client, url| client.post(url), "/movie/new")
            .body(body.to_vec());
        let request = if kind.is_empty() {
            request
        } else {
            request.header("content-type", kind)
        };
        let page = Page::of(request.send().await.unwrap()).await;
        assert_eq!(page.status, status, "{kind}");
        assert!(page.text().contains(said), "{kind}: {}", page.text());
    }
    assert!(
        browser
            .get("/")
            .await
            .text()
            .starts_with("Nothing is showing yet"),
        "nothing was kept"
    );
}

#[tokio::test]
async fn a_form_field_that_is_sent_twice_counts_once() {
    let site = Site::start().await;
    let browser = site.browser();
    let answer = browser
        .submit(
            "/movie/new",
            "/movie/new",
            &[("title", "Heat"), ("title", "Cold"), ("other", "x")],
        )
        .await;
    assert_eq!(answer.status, 303);
    assert!(browser.get("/").await.text().contains("Heat"));
}

#[tokio::test]
async fn a_keyword_that_is_no_text_is_refused() {
    let site = Site::start().await;
    let answer = site
        .browser()
        .submit("/preferences", "/preferences/delete/%ff", &[])
        .await;
    assert_eq!(answer.status, 400);
}
