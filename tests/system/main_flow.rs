//! A keyword is followed, a film is added, edited and deleted, and the pages say what is recommended and why.

use proto::recommendations::{ListMoviesRequest, RecommendationsRequest};

use crate::support::{
    Browser, Bus, Film, Layout, Store, System, buses, eventually, marked, stores,
};

const HEAT: Film = Film {
    title: "Heat",
    description: "A crew of thieves plans one last heist while a detective closes in.",
    genre: "Crime, Drama",
    rating: "8.3",
    release_year: "1995",
};

#[tokio::test]
async fn a_film_becomes_recommended_and_stops_being_so() {
    for store in stores() {
        for bus in buses() {
            flow(Layout::One, &store, &bus).await;
        }
    }
}

#[tokio::test]
async fn three_programs_do_what_one_does() {
    if Layout::Three.is_built() {
        for bus in buses() {
            flow(Layout::Three, stores().last().unwrap(), &bus).await;
        }
    }
}

async fn flow(layout: Layout, store: &Store, bus: &Bus) {
    eprintln!("{layout:?} over {store:?} and {bus:?}");
    let mut system = System::start(layout, store, bus).await;
    let browser = system.browser();

    browser.follow("heist").await;
    let id = browser.add(HEAT).await;
    recommended(&browser, &id, "heist").await;
    seen_by_grpc_clients(&system, &id).await;

    // A keyword with the characters that addresses are made of, followed after the film was added.
    browser.follow("detective closes in/last").await;
    browser.follow("one last").await;
    browser.stop_following("heist").await;
    recommended(&browser, &id, "one last").await;
    browser
        .stop_following("detective%20closes%20in%2Flast")
        .await;
    assert!(
        !browser
            .open("/preferences")
            .await
            .shows("detective closes in/last")
    );
    browser.stop_following("one%20last").await;
    not_recommended(&browser, &id).await;
    marked(&browser, HEAT.title, false).await;

    // Another user's recommendation: this browser can know of it by the event on the bus alone.
    system.follow(2, "thieves").await;
    marked(&browser, HEAT.title, true).await;
    let other = Film {
        description: "Two men, one city.",
        ..HEAT
    };
    browser.edit(&id, other).await;
    marked(&browser, HEAT.title, false).await;
    browser.edit(&id, HEAT).await;
    marked(&browser, HEAT.title, true).await;

    browser.follow("heist").await;
    recommended(&browser, &id, "heist").await;
    browser.delete(&id).await;
    not_recommended(&browser, &id).await;
    assert_eq!(browser.open(&format!("/movie/{id}")).await.status, 404);
    assert_eq!(browser.open("/").await.film_marks(), []);
    system.stop().await;
}

/// Waits until the film stands among the recommendations with its reason.
async fn recommended(browser: &Browser, id: &str, keyword: &str) {
    eventually(
        &format!("the film to be recommended because of {keyword}"),
        async || {
            let page = browser.try_open("/recommendations").await?;
            let there = page.film_id(HEAT.title).as_deref() == Some(id) && page.shows(keyword);
            there.then_some(()).ok_or(page.html)
        },
    )
    .await;
}

/// Waits until the film is not among the recommendations.
async fn not_recommended(browser: &Browser, id: &str) {
    eventually("the film not to be recommended any more", async || {
        let page = browser.try_open("/recommendations").await?;
        let gone = page.status.is_success() && !page.html.contains(id);
        gone.then_some(()).ok_or(page.html)
    })
    .await;
}

async fn seen_by_grpc_clients(system: &System, id: &str) {
    let request = RecommendationsRequest {
        user_id: "1".to_owned(),
        ..Default::default()
    };
    let answer = system
        .recommendations()
        .await
        .get_recommendations(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.total, 1);
    assert_eq!(answer.recommendations[0].id, id);
    assert_eq!(answer.recommendations[0].matched_keywords, ["heist"]);
    assert!(
        (answer.recommendations[0].rating - 8.3).abs() < 1e-9,
        "{answer:?}"
    );

    let answer = system
        .catalog()
        .await
        .list_movies(ListMoviesRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.total, 1);
    assert_eq!(answer.movies[0].id, id);
    assert_eq!(answer.movies[0].title, "Heat");
}
