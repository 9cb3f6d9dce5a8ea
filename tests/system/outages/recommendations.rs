//! Recommendations is unavailable.

use super::{OUTAGE, endure, heist};
use crate::support::{Bus, Layout, Store, System, Visitors, eventually, marked};

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
            page.shows("unavailable"),
            "{path} does not say that recommendations are unavailable: {page:?}"
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
async fn the_log_tells_once_that_recommendations_is_unavailable_and_once_that_it_is_back() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let visitors = Visitors::arrive(&system).await;
    visitors.see(100).await;
    let (mark, memory) = {
        let catalog = system.program("catalog");
        (catalog.mark(), catalog.resident_mib())
    };
    system.program("recommendations").kill().await;
    let taken = visitors.taken();
    endure(&visitors, OUTAGE).await;
    assert!(visitors.taken() > taken, "films are taken all the same");
    system
        .program("catalog")
        .assert_alarms_since(mark, &["WARN recommendations is unavailable"]);

    system.launch("recommendations");
    system.ready("recommendations").await;
    visitors.see(100).await;
    visitors.leave_all_well(&system).await;
    let told = [
        "WARN recommendations is unavailable",
        "INFO recommendations is available again after",
    ];
    system.program("catalog").assert_alarms_since(mark, &told);
    // Two clients in the catalog's process lose the same replica.
    let log = system.program("catalog").stderr();
    for line in [" INFO lost the replica ", " INFO regained the replica "] {
        assert_eq!(log.matches(line).count(), 1, "{line} in {log}");
    }
    system.program("catalog").assert_memory_is_flat(memory);
    let line = " INFO took the lease of another matcher";
    let log = system.program("recommendations").stderr();
    assert_eq!(log.matches(line).count(), 1, "{log}");
    for name in ["recommendations", "bridge"] {
        assert_eq!(
            system.program(name).alarms(),
            Vec::<String>::new(),
            "of {name}"
        );
    }
    system.stop().await;
}
