//! The harness: starts the real programs, speaks to them as a browser or a gRPC client does, and waits for what must come true.

mod browser;
mod operator;
mod ports;
mod program;
mod relay;
mod servers;
mod system;
mod visitors;

use std::time::Duration;

pub(crate) use browser::{Browser, Film};
pub(crate) use ports::free_address;
pub(crate) use program::{Program, binary};
pub(crate) use relay::Relay;
pub(crate) use servers::{Bus, Store, buses, kafka_for_relay, mysql_url, skip, stores};
pub(crate) use system::{GrpcAddresses, Layout, System};
pub(crate) use visitors::Visitors;

/// How long anything may take to come true before a test calls it lost. Generous, because a Kafka
/// consumer group may wait out the session of a member that was killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer, at most [`PATIENCE`].
///
/// `ask` returns the answer, or what it saw instead, which the panic repeats.
pub(crate) async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut seen = String::new();
    let waiting = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(instead) => seen = instead,
            }
            // Until the next question.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {PATIENCE:?} for {what}; seen instead: {seen}"),
    }
}

/// Waits until the film is marked as recommended in the list of all films, or is not.
pub(crate) async fn marked(browser: &Browser, title: &str, expected: bool) {
    eventually(
        &format!("{title} to be marked as recommended: {expected}"),
        async || {
            // Visitors may have added more than a page of films since.
            let mut page = browser.try_open("/").await?;
            for number in 2..=9 {
                if page.film_id(title).is_some() {
                    break;
                }
                page = browser.try_open(&format!("/?page={number}")).await?;
            }
            let there = page.film_id(title).is_some() && page.marks(title) == expected;
            there.then_some(()).ok_or(page.html)
        },
    )
    .await;
}
