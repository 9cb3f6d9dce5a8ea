//! A part of the system is away for a while: the rest goes on, and catches up.

use crate::support::{Bus, Film, Layout, Relay, Store, System, eventually, marked, mysql_url};

fn heist(title: &str) -> Film<'_> {
    Film {
        title,
        description: "A heist.",
        ..Film::default()
    }
}

#[tokio::test]
async fn the_catalog_goes_on_without_recommendations_and_catches_up() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let browser = system.browser();
    browser.follow("heist").await;
    let deleted = browser.add(heist("Rififi")).await;
    marked(&browser, "Rififi", true).await;

    system.program("recommendations").kill().await;
    let added = browser.add(heist("Topkapi")).await;
    browser.edit(&added, heist("Topkapi again")).await;
    browser.delete(&deleted).await;
    for path in ["/preferences", "/recommendations"] {
        let page = browser.open(path).await;
        assert!(
            page.shows("away"),
            "{path} does not say that recommendations are away: {page:?}"
        );
    }
    let page = browser.open("/preferences").await;
    let refused = browser
        .submit(&page, "/preferences/add", &[("keyword", "diamonds")])
        .await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.shows("diamonds"),
        "what was typed is lost: {refused:?}"
    );

    system.launch("recommendations");
    system.ready("recommendations").await;
    marked(&browser, "Topkapi again", true).await;
    eventually("only the film that is left to be recommended", async || {
        let films = system.recommended_to(1).await?;
        let titles: Vec<_> = films.iter().map(|film| film.title.as_str()).collect();
        (titles == ["Topkapi again"])
            .then_some(())
            .ok_or(format!("{titles:?}"))
    })
    .await;
    system.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_broker_is_away() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let browser = system.browser();
    // Another user than the one at the browser: what that one is shown comes over the bus.
    system.follow(2, "heist").await;

    system.program("bridge").kill().await;
    browser.add(heist("Rififi")).await;
    eventually("the film to be recommended, broker or not", async || {
        let films = system.recommended_to(2).await?;
        (films.len() == 1).then_some(()).ok_or(format!("{films:?}"))
    })
    .await;
    assert!(
        !browser.open("/").await.marks("Rififi"),
        "marked without a broker"
    );

    // What the recommendations service could not send yet survives its own death too.
    system.program("recommendations").kill().await;
    system.launch("recommendations");
    system.launch("bridge");
    for name in Layout::Three.programs() {
        system.ready(name).await;
    }
    marked(&browser, "Rififi", true).await;
    system.stop().await;
}

#[tokio::test]
async fn it_says_that_a_database_is_away_and_recovers_by_itself() {
    let Some(server) = mysql_url() else { return };
    let (user, address) = server.split_once('@').unwrap();
    let mut relay = Relay::to(address.trim_end_matches('/')).await;
    let store = Store::Mysql(format!("{user}@{}", relay.address));
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

    relay.mend().await;
    system.ready("marquee").await;
    browser.add(heist("Topkapi")).await;
    marked(&browser, "Topkapi", true).await;
    assert!(browser.open("/").await.film_id("Rififi").is_some());
    system.stop().await;
}
