//! The films that a visitor is recommended.

use std::time::{Duration, Instant};

use crate::site::Site;

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
    For you 2 films
    Heat
    1995Crimerated 8.1 of 10
    because you follow heist
    Ronin
    1998Actionrated 8.1 of 10
    because you follow heist and paris
    ");
    assert!(
        page.body.contains(
            r#"id="badge"><span class="unseen">, </span><span id="badge-count">2</span>"#
        ),
        "{}",
        page.body
    );

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
