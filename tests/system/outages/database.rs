//! The database server is unavailable, or does not answer any more.

use std::time::Duration;

use super::{OUTAGE, endure, heist};
use crate::support::{Bus, Layout, Relay, Store, System, Visitors, eventually, marked, mysql_url};

/// How long a visitor may wait for an error page: a query that is on its way when the server falls silent is given up after ten
/// seconds, and a page has two of them.
const BOUND: Duration = Duration::from_secs(20);

/// What is said of a database server that three services need, one of which is told by another.
const TOLD: [&str; 8] = [
    "WARN the accounts database is unavailable",
    "INFO the accounts database is available again after",
    "WARN the movies database is unavailable",
    "INFO the movies database is available again after",
    "WARN the recommendations database is unavailable",
    "INFO the recommendations database is available again after",
    "WARN recommendations is unavailable",
    "INFO recommendations is available again after",
];

async fn relayed() -> Option<(Relay, Store)> {
    let server = mysql_url()?;
    let (user, address) = server.split_once('@').unwrap();
    let relay = Relay::to(address.trim_end_matches('/')).await;
    let store = Store::Mysql(format!("{user}@{}", relay.address));
    Some((relay, store))
}

#[tokio::test]
async fn it_says_that_a_database_is_unavailable_and_recovers_by_itself() {
    let Some((mut relay, store)) = relayed().await else {
        return;
    };
    let mut system = System::start(Layout::One, &store, &Bus::Embedded).await;
    let browser = system.browser();
    browser.follow("heist").await;
    browser.add(heist("Rififi")).await;
    let form = browser.open("/movie/new").await;

    relay.cut().await;
    let refused = browser
        .submit(&form, "/movie/new", &[("title", "Topkapi")])
        .await;
    assert_eq!(refused.status, 503, "{refused:?}");
    eventually("readiness to fail", async || {
        let page = browser.try_open("/readyz").await?;
        (page.status == 503).then_some(()).ok_or(page.html)
    })
    .await;
    assert_eq!(
        browser.open("/healthz").await.status,
        200,
        "alive all the same"
    );
    // The services that it runs are called as those on other machines are: by what they say of their health.
    let operators = system.health("marquee");
    let unserved = "no catalog says that it serves";
    eventually("the pages to say what they lack", async || {
        let page = operators.try_open("/system").await?;
        page.shows(unserved).then_some(()).ok_or(page.html)
    })
    .await;

    relay.repair().await;
    system.ready("marquee").await;
    eventually("the pages to lack nothing", async || {
        let page = operators.try_open("/system").await?;
        (!page.shows(unserved)).then_some(()).ok_or(page.html)
    })
    .await;
    browser.add(heist("Topkapi")).await;
    marked(&browser, "Topkapi", true).await;
    assert!(browser.open("/").await.film_id("Rififi").is_some());
    system.stop().await;
}

#[tokio::test]
async fn pages_say_that_the_database_is_gone_or_silent_and_the_log_says_it_once() {
    tokio::join!(outage(Gone::Refusing), outage(Gone::Silent));
}

#[derive(Clone, Copy, PartialEq)]
enum Gone {
    Refusing,
    Silent,
}

async fn outage(gone: Gone) {
    let Some((mut relay, store)) = relayed().await else {
        return;
    };
    let mut system = System::start(Layout::One, &store, &Bus::Embedded).await;
    let visitors = Visitors::arrive(&system).await;
    visitors.see(100).await;
    let program = system.program("marquee");
    let (mark, memory) = (program.mark(), program.resident_mib());
    visitors.slowest();
    match gone {
        Gone::Refusing => relay.cut().await,
        Gone::Silent => relay.fall_silent(true),
    }
    let errors = visitors.errors();
    endure(&visitors, OUTAGE * 2).await;
    assert!(visitors.errors() > errors, "pages need the database");
    match gone {
        Gone::Refusing => relay.repair().await,
        Gone::Silent => relay.fall_silent(false),
    }
    system.ready("marquee").await;
    let slowest = visitors.slowest();
    assert!(slowest < BOUND, "a visitor waited {slowest:?} for a page");
    visitors.see(100).await;
    visitors.leave_all_well(&system).await;
    let program = system.program("marquee");
    program.assert_alarms_since(mark, &TOLD);
    program.assert_memory_is_flat(memory);
    system.stop().await;
}
