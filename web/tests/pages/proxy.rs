//! The pages behind a proxy, and under names that are not theirs.

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use web::ClientRateSettings;

use crate::{
    browser::Page,
    site::{Setup, Site},
};

#[tokio::test]
async fn nothing_is_told_under_another_sites_name() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in [
        "/",
        "/preferences",
        "/movie/new",
        "/system",
        "/metrics",
        "/readyz",
        "/assets/live.js",
        "/no",
    ] {
        let ask = async |host: &str| {
            let request = browser.request(|client, url| client.get(url), path);
            let answer = request.header("host", host).send().await.unwrap();
            answer.status().as_u16()
        };
        assert_eq!(ask("evil.example:5000").await, 403, "{path}");
        assert_ne!(ask("localhost:5000").await, 403, "{path}");
    }
}

#[tokio::test]
async fn one_client_cannot_ask_for_more_than_its_rate() {
    let site = Site::start_with(Setup {
        client_rate: ClientRateSettings {
            // Few enough that no more become due while the test runs.
            client_rate: 1,
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        },
        ..Setup::default()
    })
    .await;
    let browser = site.browser();
    let ask = async |path: &str, client: &str| {
        let request = browser.request(|client, url| client.get(url), path);
        let request = request.header("x-forwarded-for", client);
        Page::of(request.send().await.unwrap()).await
    };
    let mut refused = None;
    for _ in 0..40 {
        let page = ask("/preferences", "203.0.113.9").await;
        if page.status == 429 {
            refused = Some(page);
            break;
        }
        assert_eq!(page.status, 200);
    }
    let refused = refused.expect("forty requests are more than ten, and one for each second");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.text().contains("One at a time"),
        "{}",
        refused.text()
    );
    assert!(
        refused
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert!(!refused.header("x-request-id").is_empty());
    for _ in 0..20 {
        // Others are served, and so are those who watch over the program, and the machine itself.
        assert_eq!(ask("/readyz", "203.0.113.9").await.status, 200);
        assert_eq!(browser.get("/preferences").await.status, 200);
    }
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(ask("/preferences", "127.0.0.1").await.status);
    }
    assert!(statuses.contains(&429), "one who says so is a client");
    assert_eq!(ask("/preferences", "198.51.100.1").await.status, 200);
}

/// The status of the answer to one request line, as it is written.
async fn status_of_line(site: &Site, line: &str) -> String {
    let at = site.url.trim_start_matches("http://").trim_end_matches('/');
    let mut connection = TcpStream::connect(at).await.unwrap();
    let request = format!("{line}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn another_sites_name_in_the_request_line_is_refused() {
    let site = Site::start().await;
    for path in ["/", "/preferences", "/readyz", "/assets/live.js"] {
        let foreign = format!("GET http://evil.example{path} HTTP/1.1");
        assert_eq!(status_of_line(&site, &foreign).await, "403", "{path}");
        let own = format!("GET http://localhost{path} HTTP/1.1");
        assert_ne!(status_of_line(&site, &own).await, "403", "{path}");
    }
}

/// A path of each page, from the table of routes, and whether a form is posted there. A keyword at the end of a path may
/// end in a slash itself.
fn paths() -> Vec<(String, bool)> {
    let (_, table) = include_str!("../../src/lib.rs")
        .split_once("\nroutes! {\n")
        .unwrap();
    let (routes, _) = table.split_once("\n}").unwrap();
    let paths = routes.split(';').filter_map(|route| {
        let (path, handlers) = route.trim().strip_prefix('"')?.split_once('"')?;
        Some((path.to_owned(), handlers.contains("post(")))
    });
    paths
        .filter(|(path, _)| path != "/" && !path.contains("{keyword"))
        .map(|(path, is_posted_to)| {
            let path = path.replace("{id}", "x").replace("{name}", "live.js");
            let path = path.replace("{provider}", "x");
            (path, is_posted_to)
        })
        .collect()
}

#[tokio::test]
async fn a_form_that_is_posted_with_a_slash_at_the_end_is_answered_alike() {
    let site = Site::start().await;
    let post = async |path: String| {
        // Each is a program without cookies.
        let browser = site.browser();
        let request = browser.request(|client, url| client.post(url), &path);
        let answer = Page::of(request.form(&[("a", "b")]).send().await.unwrap()).await;
        (answer.status, answer.location().to_owned())
    };
    let forms: Vec<_> = paths().into_iter().filter(|(_, posted)| *posted).collect();
    assert!(forms.len() > 5, "{forms:?}");
    for (path, _) in forms {
        let expected = post(path.clone()).await;
        // Where nobody signs in there is no entrance, and there are no people.
        let is_of_people = [
            "/sign-",
            "/confirm-",
            "/forgot-",
            "/reset-",
            "/me",
            "/admin",
        ]
        .iter()
        .any(|page| path.starts_with(page));
        let may_be_missing = is_of_people || path.contains("/x/");
        assert!(
            ![404, 405].contains(&expected.0) || may_be_missing,
            "{path}"
        );
        for slashes in ["/", "//", "/?a=b"] {
            assert_eq!(
                post(format!("{path}{slashes}")).await,
                expected,
                "{path}{slashes}"
            );
        }
    }
    // A program follows and stops a keyword that ends in a slash.
    let client = reqwest::Client::new();
    for (path, keywords) in [
        ("/preferences/add/", &["heist/"][..]),
        ("/preferences/delete/heist%2F", &[]),
    ] {
        let request = client.post(format!("{}{path}", site.url));
        let answer = request.form(&[("keyword", "heist/")]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(site.recommendations.keywords(1), keywords);
    }
}

#[tokio::test]
async fn every_page_is_found_with_a_slash_at_its_end() {
    let site = Site::start().await;
    let browser = site.browser();
    let paths = paths();
    assert!(paths.len() > 12, "{paths:?}");
    for (path, is_posted_to) in paths {
        for (asked, shown) in [
            (format!("{path}/"), path.clone()),
            (format!("{path}//?a=b"), format!("{path}?a=b")),
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                if is_posted_to && method == Method::POST {
                    continue;
                }
                let request =
                    browser.request(|client, url| client.request(method.clone(), url), &asked);
                let answer = Page::of(request.send().await.unwrap()).await;
                assert_eq!(
                    (answer.status, answer.location()),
                    (308, shown.as_str()),
                    "{method} {asked}"
                );
            }
        }
    }
    // Never to another site.
    for line in [
        "GET //evil.example/ HTTP/1.1",
        "GET /\\evil.example/ HTTP/1.1",
    ] {
        let status = status_of_line(&site, line).await;
        assert!(
            ["400", "404"].contains(&status.as_str()),
            "{line}: {status}"
        );
    }
}

/// The addresses in a page.
fn addresses(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for attribute in [
        " href=\"",
        " src=\"",
        " action=\"",
        " data-live=\"",
        " data-base=\"",
    ] {
        let parts = page.split(attribute).skip(1);
        found.extend(parts.map(|part| part.split_once('"').unwrap().0));
    }
    found
}

async fn all_under(site: &Site, prefix: &str, told: bool, kept: bool) {
    let browser = site.browser();
    let ask = async |path: &str, gzip: bool| {
        let path = if kept {
            format!("{prefix}{path}")
        } else {
            path.to_owned()
        };
        let mut request = browser.request(|client, url| client.get(url), &path);
        if told {
            request = request.header("x-forwarded-prefix", prefix);
        }
        if gzip {
            request = request.header("accept-encoding", "gzip");
        }
        request.send().await.unwrap()
    };
    for path in [
        "/",
        "/movie/new",
        "/preferences",
        "/recommendations",
        "/?part=list",
        "/nothing",
    ] {
        let page = Page::of(ask(path, false).await).await;
        let addresses = addresses(&page.body);
        assert!(path.contains("list") || addresses.len() > 5, "{path}");
        for address in addresses {
            let is_under = address.starts_with(&format!("{prefix}/")) || address.starts_with('#');
            assert!(is_under, "{path}: {address}");
        }
    }
    assert_eq!(ask("/", true).await.headers()["content-encoding"], "gzip");
    let form = Page::of(ask("/movie/new", false).await).await;
    let cookie = form.header("set-cookie");
    assert!(
        cookie.is_empty() || cookie.contains(&format!("; Path={prefix}")),
        "{cookie}"
    );
    let path = if kept {
        format!("{prefix}/movie/new")
    } else {
        "/movie/new".into()
    };
    let mut post = site
        .browser()
        .request(|client, url| client.post(url), &path);
    if told {
        post = post.header("x-forwarded-prefix", prefix);
    }
    let added = post.form(&[("title", "Heat")]).send().await.unwrap();
    let added = Page::of(added).await;
    assert_eq!(
        (added.status, added.location()),
        (303, format!("{prefix}/").as_str())
    );
    let flash = added.header("set-cookie");
    assert!(flash.contains(&format!("; Path={prefix}")), "{flash}");
}

#[tokio::test]
async fn a_prefix_that_the_proxy_tells_is_in_every_address() {
    let site = Site::start().await;
    all_under(&site, "/films", true, false).await;
}

#[tokio::test]
async fn a_prefix_that_is_set_is_in_every_address_and_may_be_left_on() {
    for kept in [false, true] {
        let site = Site::start_with(Setup {
            path_prefix: "/some/films".parse().unwrap(),
            ..Setup::default()
        })
        .await;
        all_under(&site, "/some/films", false, kept).await;
    }
}

#[tokio::test]
async fn only_visitors_on_this_machine_are_led_to_the_pages_for_operators() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "", "").await;
    for path in ["/", "/preferences", "/recommendations", "/movie/new"] {
        // Twice each: the list of films is kept, for both kinds of visitor.
        for _ in 0..2 {
            let near = browser.get(path).await;
            assert!(near.body.contains(r#"<a href="/system">"#), "{path}");
            let far = browser
                .request(|client, url| client.get(url), path)
                .header("x-forwarded-for", "203.0.113.7");
            let far = Page::of(far.send().await.unwrap()).await;
            assert_eq!(far.status, 200, "{path}");
            assert!(!far.body.contains(r#""/system""#), "{path}");
        }
    }
}
