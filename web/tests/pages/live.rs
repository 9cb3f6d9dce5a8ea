//! What open pages are told while they are open.

use reqwest::Response;
use web::{ClientRateSettings, VisitorSource};

use crate::site::{LIMIT, Setup, Site, by_header, eventually};

/// Reads a stream until `expected` was in it, or it ends.
async fn read_until(stream: &mut Response, expected: &str) -> String {
    let mut read = String::new();
    let reading = async {
        while let Some(chunk) = stream.chunk().await.unwrap_or_default() {
            read.push_str(&String::from_utf8_lossy(&chunk));
            if read.contains(expected) {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, reading)
        .await
        .unwrap_or_else(|_| panic!("no `{expected}` came"));
    read
}

async fn listen(site: &Site) -> Response {
    listen_as(site, 1).await
}

async fn listen_as(site: &Site, user: i32) -> Response {
    site.browser()
        .request(|client, url| client.get(url), "/recommendations/events")
        .header("x-user", user)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_open_page_is_told_of_each_change() {
    let site = Site::start().await;
    let browser = site.browser();
    let mut stream = listen(&site).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    read_until(&mut stream, "event: changed\ndata: 0 0\n\n").await;
    site.recommendations.follow(1, "heist");
    browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    read_until(&mut stream, "event: changed\ndata: 1 1\n\n").await;
}

#[tokio::test]
async fn a_page_that_was_opened_while_recommendations_were_unavailable_hears_when_they_are_back() {
    let site = Site::start_alone().await;
    let mut stream = listen(&site).await;
    read_until(&mut stream, "retry:").await;
    site.recommendations.follow(1, "heist");
    site.recommendations.come_back();
    read_until(&mut stream, "event: changed").await;
}

#[tokio::test]
async fn streams_end_when_the_catalog_stops() {
    let site = Site::start().await;
    let mut stream = listen(&site).await;
    read_until(&mut stream, "event: changed").await;
    site.stop();
    let end = async {
        while stream.chunk().await?.is_some() {}
        Ok::<(), reqwest::Error>(())
    };
    let ended = tokio::time::timeout(LIMIT, end)
        .await
        .expect("the stream ends");
    // A stream that the server had to cut off would be an error.
    ended.unwrap();
}

#[tokio::test]
async fn all_live_pages_of_a_user_share_one_watch_that_ends_with_the_last_of_them() {
    let site = Site::start_with(Setup {
        visitors: VisitorSource::Open(by_header),
        ..Setup::default()
    })
    .await;
    let mut pages = Vec::new();
    for user in [1, 1, 1, 2] {
        let mut page = listen_as(&site, user).await;
        read_until(&mut page, "event: changed\ndata: 0 0\n\n").await;
        pages.push(page);
    }
    assert_eq!(
        (
            site.recommendations.watches(1),
            site.recommendations.watches(2)
        ),
        (1, 1)
    );
    site.catalog.add("Heat", "Crime");
    site.recommendations.follow(1, "heat");
    for page in &mut pages[..3] {
        read_until(page, "event: changed\ndata: 1 1\n\n").await;
    }
    // One who has left is noticed, although nothing happens.
    pages.truncate(1);
    eventually("the watch of the other user has ended", async || {
        site.recommendations.watches(2) == 0
    })
    .await;
    assert_eq!(site.recommendations.watches(1), 1);
    pages.clear();
    eventually("no watch is left", async || {
        site.recommendations.watches(1) == 0
    })
    .await;
    let mut page = listen_as(&site, 1).await;
    read_until(&mut page, "event: changed\ndata: 1 1\n\n").await;
}

#[tokio::test]
async fn live_pages_go_on_when_recommendations_come_back() {
    let site = Site::start().await;
    let mut page = listen(&site).await;
    read_until(&mut page, "event: changed\ndata: 0 0\n\n").await;
    site.recommendations.leave();
    site.catalog.add("Heat", "Crime");
    site.recommendations.follow(1, "heat");
    site.recommendations.come_back();
    read_until(&mut page, "event: changed\ndata: 1 1\n\n").await;
}

#[tokio::test]
async fn there_is_an_end_to_how_many_pages_may_listen() {
    let site = Site::start_with(Setup {
        live_pages: 20,
        ..Setup::default()
    })
    .await;
    let mut pages = Vec::new();
    for _ in 0..20 {
        pages.push(listen(&site).await);
    }
    let refused = listen(&site).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "15");
    // Others are served, and a place that is left is free again.
    assert_eq!(site.browser().get("/").await.status, 200);
    pages.clear();
    eventually("a place is free", async || {
        listen(&site).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn one_client_does_not_take_the_live_pages_of_others() {
    let site = Site::start_with(Setup {
        live_pages: 20,
        client_rate: ClientRateSettings {
            client_rate: 1_000,
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        },
        ..Setup::default()
    })
    .await;
    let listen_from = async |client: &str| {
        let request = site
            .browser()
            .request(|client, url| client.get(url), "/recommendations/events");
        let request = request.header("x-forwarded-for", client);
        request.send().await.unwrap()
    };
    let mut pages = Vec::new();
    for _ in 0..8 {
        pages.push(listen_from("203.0.113.7").await);
    }
    assert!(pages.iter().all(|page| page.status() == 200));
    assert_eq!(listen_from("203.0.113.7").await.status(), 503);
    assert_eq!(listen_from("203.0.113.8").await.status(), 200);
    pages.clear();
    eventually("a place is free", async || {
        listen_from("203.0.113.7").await.status() == 200
    })
    .await;
}
