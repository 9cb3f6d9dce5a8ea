//! Two of each program over one MySQL and one bus: a visitor may meet any of them at any time, and each of them may end.

use crate::support::{
    Bus, Film, Layout, PATIENCE, Store, System, Visitors, binary, buses, marked, mysql_url, skip,
};

const EVENTS: &str = "/recommendations/events";
const HEAT: Film = Film {
    title: "Heat",
    description: "One last heist.",
    genre: "Crime",
    rating: "8.3",
    release_year: "1995",
};

#[tokio::test]
async fn two_of_each_are_one_site() {
    if !Layout::Three.is_built() {
        return;
    }
    if binary("web").is_none() {
        return skip("`web` is not built");
    }
    let Some(server) = mysql_url() else { return };
    for bus in buses() {
        eprintln!("two of each over {bus:?}");
        let store = Store::Mysql(server.clone());
        // Each catalog has a data folder of its own, and the broker's token is in one of them.
        let token = [("NATS_TOKEN", "a-token-for-all-of-them")];
        let is_embedded = matches!(bus, Bus::Embedded);
        let extra = if is_embedded { &token[..] } else { &[] };
        let mut system = System::start_with(Layout::Three, &store, &bus, extra).await;
        system.add_twins().await;
        one_site(&system).await;
        catalogs_end_in_turn(&mut system).await;
        system.stop().await;
    }
}

/// A visitor whose requests go to one `web` now and to the other then notices nothing of it.
async fn one_site(system: &System) {
    let browser = system.browser();
    let other = browser.at(system.webs[1]);
    let mut streams = [browser.stream(EVENTS).await, other.stream(EVENTS).await];
    let form = browser.open("/movie/new").await;
    let added = other.submit(&form, "/movie/new", &HEAT.fields()).await;
    assert!(added.status.is_success(), "{added:?}");
    let home = other.open("/").await;
    let id = home.film_id(HEAT.title).expect("the film is listed");
    assert_eq!(browser.open(&format!("/movie/{id}")).await.status, 200);

    browser.follow("heist").await;
    for stream in &mut streams {
        told(stream, 1).await;
    }
    let second = Film {
        title: "Thief",
        ..HEAT
    };
    other.add(second).await;
    for stream in &mut streams {
        told(stream, 2).await;
    }
    marked(&browser, second.title, true).await;
    marked(&other, second.title, true).await;

    // What was done at one is told at the other, once.
    let page = other.open(&format!("/movie/{id}")).await;
    let action = format!("/movie/{id}/delete");
    other.submit_only(&page, &action, &[]).await;
    let said = "Heat was deleted.";
    assert!(browser.open("/").await.shows(said));
    assert!(!other.open("/").await.shows(said));
    for stream in &mut streams {
        told(stream, 1).await;
    }
    // A form that another visitor was given is refused.
    let stranger = system.browser_of(1);
    stranger.open("/movie/new").await;
    let refused = stranger.submit(&form, "/movie/new", &HEAT.fields()).await;
    assert_eq!(refused.status, 403, "{refused:?}");
}

/// Waits until a live page is told that so many films are recommended.
async fn told(stream: &mut reqwest::Response, total: usize) {
    let wanted = format!("event: changed\ndata: {total} ");
    let mut seen = String::new();
    let waiting = async {
        while let Some(chunk) = stream.chunk().await.unwrap() {
            seen.push_str(&String::from_utf8_lossy(&chunk));
            if seen.contains(&wanted) {
                return;
            }
        }
        panic!("the stream has ended: {seen}");
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("waited for {wanted}");
    }
}

/// One catalog and then the other is killed while visitors add films: what either of them had taken is delivered by the one that is left,
/// and what a visitor asks for then comes from that one.
async fn catalogs_end_in_turn(system: &mut System) {
    let visitors = Visitors::arrive(system).await;
    visitors.see(40).await;
    assert_eq!(visitors.errors(), 0);
    for (victim, most_errors) in [("catalog", 3), (System::SECOND_CATALOG, 6)] {
        system.program(victim).kill().await;
        let taken = visitors.taken();
        visitors.see(60).await;
        assert!(visitors.taken() > taken, "films are taken without {victim}");
        // A visitor whose call was on its way to the victim may be told that it failed.
        let errors = visitors.errors();
        assert!(errors <= most_errors, "{errors} error pages");
        marked(&system.browser(), &visitors.newest(), true).await;
        if victim == "catalog" {
            system.launch("catalog");
            system.ready("catalog").await;
        }
    }
    visitors.leave_all_well(system).await;
    system.forget(System::SECOND_CATALOG);
}
