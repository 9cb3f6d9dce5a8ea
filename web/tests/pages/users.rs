//! Pages that several users look at: what they share, and what is each user's own.

use web::VisitorSource;

use crate::{
    browser::{Browser, Page},
    site::{Setup, Site, by_header, eventually},
};

async fn start() -> Site {
    Site::start_with(Setup {
        visitors: VisitorSource::Open(by_header),
        ..Setup::default()
    })
    .await
}

/// What a page says to a user, or to a visitor who is none.
async fn text(browser: &Browser, path: &str, user: Option<i32>) -> String {
    let mut request = browser.request(|client, url| client.get(url), path);
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    let page = Page::of(request.send().await.unwrap()).await;
    assert_eq!(page.status, 200, "{path}");
    page.text()
}

async fn post(browser: &Browser, path: &str, user: i32, fields: &[(&str, &str)]) {
    let form = browser.request(|client, url| client.get(url), "/movie/new");
    let form = form.header("x-user", user).send().await.unwrap();
    let token = Page::of(form).await.token();
    let mut fields = fields.to_vec();
    fields.push(("csrf", &token));
    let request = browser
        .request(|client, url| client.post(url), path)
        .header("x-user", user);
    let status = request.form(&fields).send().await.unwrap().status();
    assert_eq!(status, 303, "{path}");
}

#[tokio::test]
async fn the_list_of_a_keyword_offers_to_follow_it_to_those_who_do_not() {
    let site = start().await;
    let browser = site.browser();
    site.catalog.add("War", "Crime");
    let offer = "Follow “war”";
    let path = "/?keyword=war";
    let followed = |text: &str| text.contains("You follow “War” To Following");
    for user in [None, Some(1), Some(2)] {
        let text = text(&browser, path, user).await;
        assert!(text.contains(offer) && !followed(&text), "{text}");
    }
    post(&browser, "/preferences/add", 1, &[("keyword", "War")]).await;
    for path in [path, "/?keyword=WAR", "/?keyword=war&page=2"] {
        let one = text(&browser, path, Some(1)).await;
        assert!(followed(&one) && !one.contains("Follow “"), "{one}");
        let link = r#"<a class="chip" href="/preferences">To Following</a>"#;
        let page = browser.request(|client, url| client.get(url), path);
        let page = Page::of(page.header("x-user", 1).send().await.unwrap()).await;
        assert!(page.body.contains(link), "{}", page.body);
    }
    for user in [None, Some(2)] {
        let text = text(&browser, path, user).await;
        assert!(text.contains(offer) && !followed(&text), "{text}");
    }
    post(&browser, "/preferences/delete/War", 1, &[]).await;
    let one = text(&browser, path, Some(1)).await;
    assert!(one.contains(offer) && !followed(&one), "{one}");
    // Also where no film is found, and after something was done, when the page is this visitor's alone.
    post(&browser, "/preferences/add", 1, &[("keyword", "robot")]).await;
    for _ in 0..2 {
        let one = text(&browser, "/?keyword=robot", Some(1)).await;
        assert!(one.contains("You follow “robot” To Following"), "{one}");
    }
}

#[tokio::test]
async fn a_keyword_is_not_offered_while_it_is_unknown_whether_it_is_followed() {
    let site = start().await;
    let browser = site.browser();
    site.catalog.add("War", "Crime");
    let path = "/?keyword=war";
    site.recommendations.follow(2, "war");
    let one = text(&browser, path, Some(1)).await;
    assert!(one.contains("Follow “war”"), "{one}");
    // The films are found, and whether the other user follows the keyword cannot be asked.
    site.recommendations.fall_silent_on("MarkFilms");
    let two = text(&browser, path, Some(2)).await;
    let unavailable = "Recommendations are unavailable at the moment.";
    assert!(two.contains("War") && two.contains(unavailable), "{two}");
    assert!(!two.contains("ollow “"), "{two}");
    let visitor = text(&browser, path, None).await;
    assert!(visitor.contains("Follow “war”"), "{visitor}");
}

#[tokio::test]
async fn each_user_sees_own_marks_on_the_page_that_all_share() {
    let site = start().await;
    let browser = site.browser();
    site.catalog.add("Heat", "Crime");
    site.recommendations.follow(1, "heat");
    site.recommendations.follow(2, "crime");
    eventually("the pages have heard of it", async || {
        text(&browser, "/", Some(1)).await.contains("heat")
            && text(&browser, "/", Some(2)).await.contains("follow crime")
    })
    .await;
    for _ in 0..2 {
        for path in ["/", "/?part=list"] {
            let one = text(&browser, path, Some(1)).await;
            assert!(one.contains("because you follow heat"), "{one}");
            let two = text(&browser, path, Some(2)).await;
            assert!(two.contains("because you follow crime"), "{two}");
            let other = text(&browser, path, Some(3)).await;
            assert!(!other.contains("because"), "{other}");
            let anonymous = text(&browser, path, None).await;
            assert!(!anonymous.contains("because"), "{anonymous}");
            assert!(!anonymous.contains("unavailable"), "{anonymous}");
        }
    }
}

#[tokio::test]
async fn what_a_visitor_did_shows_on_the_visitors_next_page() {
    let site = start().await;
    let browser = site.browser();
    for round in 0..20 {
        let title = format!("Heat {round}");
        post(&browser, "/movie/new", 1, &[("title", &title)]).await;
        let page = text(&browser, "/?page=1", Some(1)).await;
        assert!(page.contains(&title), "{round}: {page}");
        post(&browser, "/preferences/add", 1, &[("keyword", "heat")]).await;
        let page = text(&browser, "/?page=1", Some(1)).await;
        assert!(page.contains("because you follow heat"), "{round}: {page}");
        post(&browser, "/preferences/delete/heat", 1, &[]).await;
        let page = text(&browser, "/?page=1", Some(1)).await;
        assert!(!page.contains("because"), "{round}: {page}");
    }
}

#[tokio::test]
async fn what_others_did_shows_whether_they_tell_of_it_or_not() {
    let site = start().await;
    let browser = site.browser();
    text(&browser, "/", Some(1)).await;
    site.catalog.add("Heat", "Crime");
    eventually("a film of another client is shown", async || {
        text(&browser, "/", Some(1)).await.contains("Heat")
    })
    .await;
    site.recommendations.follow(1, "heat");
    eventually("a keyword of another client is shown", async || {
        let page = text(&browser, "/", Some(1)).await;
        page.contains("because you follow heat")
    })
    .await;
    site.catalog.add_in_secret("Ronin");
    eventually("a film of another catalog is shown", async || {
        text(&browser, "/", Some(1)).await.contains("Ronin")
    })
    .await;
}

#[tokio::test]
async fn a_visitor_who_did_something_sees_what_this_replica_has_not_heard_of() {
    let site = start().await;
    let browser = site.browser();
    text(&browser, "/", Some(1)).await;
    post(&browser, "/preferences/add", 1, &[("keyword", "heist")]).await;
    site.catalog.add_in_secret("Ronin");
    let page = text(&browser, "/", Some(1)).await;
    assert!(
        page.contains("You follow") && page.contains("Ronin"),
        "{page}"
    );
    // And does not lose sight of it.
    let page = text(&browser, "/", Some(1)).await;
    assert!(page.contains("Ronin"), "{page}");
}

#[tokio::test]
async fn a_visitor_who_is_no_user_has_films_and_nothing_of_a_user() {
    let site = start().await;
    let browser = site.browser();
    site.catalog.add("Heat", "Crime");
    eventually("the film is shown", async || {
        text(&browser, "/", None).await.contains("Heat")
    })
    .await;
    for path in [
        "/preferences",
        "/recommendations",
        "/recommendations/events",
    ] {
        assert_eq!(browser.get(path).await.status, 401, "{path}");
    }
}
