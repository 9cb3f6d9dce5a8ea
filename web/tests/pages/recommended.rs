//! The films that a visitor is recommended.

use std::time::{Duration, Instant};

use proto::recommendations::FilmUpdate;
use runtime::supervision::Health;
use testkit::eventually;

use crate::{browser::Page, site::Site};

#[tokio::test]
async fn each_film_says_why_it_is_there() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.get("/recommendations").await;
    insta::assert_snapshot!(page.text(), @r"
    For you
    No film yet. Follow a keyword, and films that match it appear here, also those that are added later.
    Follow a keyword
    ");
    assert!(page.body.contains(r#"id="badge" hidden"#));

    site.recommendations.follow(1, "heist");
    site.recommendations.follow(1, "paris");
    browser
        .add_film("Ronin", "1998", "Action", "A heist in Paris.")
        .await;
    let film = browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    browser.add_film("Laughter", "2001", "Comedy", "").await;

    let page = browser.get("/recommendations").await;
    insta::assert_snapshot!(page.text(), @r"
    For you 2 films newest recommendation first
    Heat
    1995Crimerated 8.1 of 10
    because you follow heist
    Ronin
    1998Actionrated 8.1 of 10
    because you follow heist and paris
    ");
    let wall = browser.get("/").await.text();
    assert!(
        wall.contains("because you follow heist and paris"),
        "{wall}"
    );
    assert!(wall.contains("Laughter\n2001Comedy"), "{wall}");
    let film = browser.get(&film).await.text();
    assert!(
        film.contains("For you, because you follow heist."),
        "{film}"
    );
}

#[tokio::test]
async fn a_rating_of_0_is_shown_on_every_list_and_none_on_none() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.follow(1, "heist");
    for (title, rating) in [("Zero", "0"), ("None", "")] {
        let fields = [
            ("title", title),
            ("description", "A heist."),
            ("release_year", "1999"),
            ("rating", rating),
        ];
        browser.submit("/movie/new", "/movie/new", &fields).await;
    }
    for path in ["/", "/recommendations", "/?keyword=heist"] {
        let text = browser.get(path).await.text();
        assert!(text.contains("Zero\n1999rated 0.0 of 10"), "{path}: {text}");
        assert!(text.contains("None\n1999"), "{path}: {text}");
        assert!(!text.contains("None\n1999rated"), "{path}: {text}");
    }
}

#[tokio::test]
async fn recommendations_go_on_over_several_pages() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.follow(1, "robbery");
    for number in 1..=25 {
        browser
            .add_film(&format!("Robbery {number}"), "1999", "Crime", "")
            .await;
    }
    let first = browser.get("/recommendations").await;
    assert_eq!(first.body.matches("data-film=").count(), 24);
    assert!(
        first
            .body
            .contains(r#"<a rel="next" href="/recommendations?page=2">"#)
    );
    for beyond in ["2", "3", "999999999999"] {
        let last = browser
            .get(&format!("/recommendations?page={beyond}"))
            .await;
        assert_eq!(last.body.matches("data-film=").count(), 1, "{beyond}");
        assert!(last.text().contains("Page 2 of 2"), "{beyond}");
    }
}

#[tokio::test]
async fn the_catalogue_goes_on_without_recommendations() {
    let site = Site::start_alone().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    for page in ["/", &film, "/movie/new", &format!("{film}/edit")] {
        assert_eq!(browser.get(page).await.status, 200, "{page}");
    }
    for path in ["/", "/recommendations"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200);
        let text = page.text();
        let says_so = text.contains("Recommendations are unavailable at the moment.");
        assert!(says_so, "{path}: {text}");
    }
    assert_eq!(browser.get("/recommendations?part=list").await.status, 503);
}

#[tokio::test]
async fn operators_see_that_recommendations_is_gone_and_back() {
    let site = Site::start_alone().await;
    let health = || {
        let actors = site.process.registry.actors();
        let gateway = actors
            .into_iter()
            .find(|actor| actor.name == "recommendations-gateway");
        gateway.unwrap().health
    };
    let calls = |code: &str| {
        let figures = site.process.registry.metrics().render();
        let calls = format!(
            r#"marquee_grpc_client_calls_total{{code="{code}",method="recommendations.Recommendations/GetRecommendations"}}"#
        );
        figures.lines().any(|line| line.starts_with(&calls))
    };
    eventually("the gateway is degraded", async || {
        matches!(health(), Health::Degraded(_))
    })
    .await;
    site.browser().get("/recommendations").await;
    assert!(calls("Unavailable") && !calls("Ok"));
    site.recommendations.come_back();
    eventually("the gateway is well", async || health() == Health::Ready).await;
    site.browser().get("/recommendations").await;
    assert!(calls("Ok"));
}

#[tokio::test]
async fn a_service_that_does_not_answer_delays_no_page_for_long() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    site.recommendations.fall_silent();
    let began = Instant::now();
    assert_eq!(browser.get("/").await.status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(browser.get("/recommendations").await.status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
}

/// The number beside For you, as the page shows it.
fn badge(page: &Page) -> Option<&str> {
    let (_, badge) = page.body.split_once(r#"<span class="badge" id="badge""#)?;
    let (attributes, badge) = badge.split_once('>')?;
    let (_, badge) = badge.split_once(r#"<span id="badge-count">"#)?;
    (!attributes.contains("hidden")).then_some(badge.split_once('<')?.0)
}

#[tokio::test]
async fn the_badge_counts_what_is_new_to_the_user_until_they_look() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.follow(1, "heist");
    browser.add_film("Ronin", "1998", "", "A heist.").await;
    let film = browser.add_film("Heat", "1995", "", "A heist.").await;
    for page in ["/", &film, "/preferences", "/movie/new"] {
        assert_eq!(badge(&browser.get(page).await), Some("2"), "{page}");
    }
    let looked = browser.request(|client, url| client.head(url), "/recommendations");
    assert_eq!(looked.send().await.unwrap().status(), 200);
    assert_eq!(
        badge(&browser.get("/").await),
        Some("2"),
        "the user has not looked"
    );
    assert_eq!(badge(&browser.get("/recommendations").await), None);
    for page in ["/", &film, "/preferences", "/movie/new"] {
        assert_eq!(badge(&browser.get(page).await), None, "{page}");
    }
    browser.add_film("Thief", "1981", "", "A heist.").await;
    assert_eq!(badge(&browser.get("/preferences").await), Some("1"));
    browser.get("/recommendations?part=list").await;
    assert_eq!(badge(&browser.get("/").await), None);
    // Who has seen everything causes no more writes.
    let before = site.recommendations.calls("MarkSeen");
    browser.get("/recommendations").await;
    assert_eq!(site.recommendations.calls("MarkSeen"), before);
}

#[tokio::test]
async fn more_than_99_new_films_are_not_counted_out() {
    let site = Site::start().await;
    site.recommendations.follow(1, "film");
    for number in 1..=100 {
        site.recommendations.know(FilmUpdate {
            film_id: format!("f{number}"),
            title: format!("Film {number}"),
            ..FilmUpdate::default()
        });
    }
    let page = site.browser().get("/preferences").await;
    assert_eq!(badge(&page), Some("99+"));
}

#[tokio::test]
async fn numbers_are_left_out_until_they_are_settled() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.follow(1, "heist");
    browser.add_film("Heat", "1995", "", "A heist.").await;
    let page = browser.get("/recommendations").await;
    assert!(
        page.text()
            .starts_with("For you 1 film newest recommendation first\n"),
        "{}",
        page.text()
    );
    browser.add_film("Ronin", "1998", "", "A heist.").await;
    site.recommendations.be_unsettled();
    assert_eq!(badge(&browser.get("/preferences").await), None);
    let page = browser.get("/recommendations").await;
    assert!(
        page.text()
            .starts_with("For you newest recommendation first\nRonin\n"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn nobody_is_told_to_follow_a_keyword_while_films_are_being_matched() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.be_unsettled();
    let page = browser.get("/recommendations").await.text();
    assert!(page.contains("They appear here in a moment."), "{page}");
    assert!(!page.contains("No film yet"), "{page}");
}
