//! What open pages are told while they are open.

use futures::StreamExt;
use reqwest::Response;

use crate::site::{LIMIT, Site};

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
    site.browser()
        .request(|client, url| client.get(url), "/recommendations/events")
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
    read_until(&mut stream, "event: changed\ndata: 0\n\n").await;
    site.recommendations.follow(1, "heist");
    browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    read_until(&mut stream, "event: changed\ndata: 1\n\n").await;
}

#[tokio::test]
async fn a_page_that_was_opened_while_recommendations_were_away_hears_when_they_are_back() {
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
async fn there_is_an_end_to_how_many_pages_may_listen() {
    let site = Site::start().await;
    let browser = site.browser();
    let mut streams: Vec<_> = futures::stream::iter(0..2_000)
        .map(|_| {
            browser
                .request(|client, url| client.get(url), "/recommendations/events")
                .send()
        })
        .buffer_unordered(64)
        .take_while(|answer| {
            std::future::ready(answer.as_ref().is_ok_and(|answer| answer.status() == 200))
        })
        .collect()
        .await;
    assert!(streams.len() < 2_000, "nothing was refused");
    assert!(streams.len() >= 512, "{} streams only", streams.len());
    // Others are served, and a place that is left is free again.
    assert_eq!(browser.get("/").await.status, 200);
    streams.clear();
    crate::site::eventually("a place is free", async || {
        listen(&site).await.status() == 200
    })
    .await;
}
