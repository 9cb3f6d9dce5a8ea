//! What a visitor follows.

use proto::recommendations::FilmUpdate;

use crate::site::{Site, eventually};

#[tokio::test]
async fn a_keyword_is_followed_with_its_films_and_stopped() {
    let site = Site::start().await;
    let browser = site.browser();
    let empty = browser.get("/preferences").await;
    assert!(
        empty.text().contains("You follow no keyword yet."),
        "{}",
        empty.text()
    );

    browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    let followed = browser
        .submit(
            "/preferences",
            "/preferences/add",
            &[("keyword", " heist ")],
        )
        .await;
    assert_eq!(
        (followed.status, followed.location()),
        (303, "/preferences")
    );
    let page = browser.get("/preferences").await;
    assert_eq!(page.flash(), Some("You follow heist now."));
    insta::assert_snapshot!(page.text(), @r"
    You follow heist now.
    Following 1 keyword
    Films that match a keyword appear under For you at once.
    Keyword
    A word or a phrase. Put commas between several.
    Follow
    Preview
    What you follow
    heist
    1 film
    Stop following heist
    ");

    browser
        .submit("/preferences", "/preferences/add", &[("keyword", "heist")])
        .await;
    assert_eq!(
        browser.get("/preferences").await.flash(),
        Some("You follow heist already.")
    );
    for (typed, told) in [
        ("heist, HEIST", "You follow heist already."),
        (
            "Robot, robot",
            "You follow Robot now. No film matches it yet.",
        ),
    ] {
        browser
            .submit("/preferences", "/preferences/add", &[("keyword", typed)])
            .await;
        assert_eq!(browser.get("/preferences").await.flash(), Some(told));
    }
    assert_eq!(site.recommendations.keywords(1), ["heist", "Robot"]);
    browser
        .submit("/preferences", "/preferences/delete/Robot", &[])
        .await;

    let stopped = browser
        .submit("/preferences", "/preferences/delete/heist", &[])
        .await;
    assert_eq!((stopped.status, stopped.location()), (303, "/preferences"));
    assert_eq!(
        browser.get("/preferences").await.flash(),
        Some("You no longer follow heist.")
    );
    assert!(site.recommendations.keywords(1).is_empty());
    browser
        .submit("/preferences", "/preferences/delete/heist", &[])
        .await;
    assert_eq!(
        browser.get("/preferences").await.flash(),
        Some("You did not follow heist.")
    );
}

#[tokio::test]
async fn any_keyword_that_can_be_followed_can_be_stopped_from_the_page() {
    let keywords = [
        "a/b",
        "/a",
        "a/",
        "//",
        "/../",
        "..",
        "a/../b",
        "%2F",
        "%",
        "%252F",
        "100% pure",
        "a b",
        "a+b",
        "what?",
        "#1",
        "a&b=c;d",
        "\"quoted\"",
        "<b>",
        "l'amour",
        "千と千尋",
        "é",
        "a\\b",
        "add",
    ];
    let site = Site::start().await;
    let browser = site.browser();
    for keyword in keywords {
        browser
            .submit("/preferences", "/preferences/add", &[("keyword", keyword)])
            .await;
        assert_eq!(site.recommendations.keywords(1), [keyword], "{keyword}");
        let page = browser.get("/preferences").await.body;
        let (_, form) = page
            .split_once(r#"<form method="post" action="/preferences/delete"#)
            .unwrap();
        let (action, form) = form.split_once('"').unwrap();
        let form = form.split_once("</form>").unwrap().0;
        let hidden = form
            .contains(r#"name="keyword""#)
            .then_some(("keyword", keyword));
        let fields: Vec<_> = hidden.into_iter().collect();
        let action = format!("/preferences/delete{action}");
        let stopped = browser.submit("/preferences", &action, &fields).await;
        assert_eq!(stopped.status, 303, "{keyword} {action}");
        assert!(
            site.recommendations.keywords(1).is_empty(),
            "{keyword} {action}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_followed_stays_in_the_box_with_the_reason() {
    let site = Site::start().await;
    let browser = site.browser();
    for keyword in ["", "  "] {
        let page = browser
            .submit("/preferences", "/preferences/add", &[("keyword", keyword)])
            .await;
        assert_eq!(page.status, 422);
        assert!(
            page.text()
                .contains("Type a keyword to follow: a word or a phrase."),
            "{}",
            page.text()
        );
    }
    let page = browser
        .submit("/preferences", "/preferences/add", &[("keyword", "\"!?\"")])
        .await;
    assert_eq!(page.status, 422);
    assert!(
        page.body.contains("A keyword holds no `!`."),
        "{}",
        page.text()
    );
    assert!(
        page.body.contains(r#"value="&quot;!?&quot;""#),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains(r#"aria-describedby="keyword-error keyword-hint" aria-invalid="true""#)
    );
    let full = [("keyword", "one too many")];
    let page = browser
        .submit("/preferences", "/preferences/add", &full)
        .await;
    assert_eq!(page.status, 422);
    assert!(
        page.text().contains("Stop following one first."),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn without_recommendations_the_page_says_so_and_keeps_what_is_typed() {
    let site = Site::start_alone().await;
    let browser = site.browser();
    let page = browser.get("/preferences").await;
    assert_eq!(page.status, 200);
    assert!(
        page.text()
            .contains("Recommendations are unavailable at the moment."),
        "{}",
        page.text()
    );

    let page = browser
        .submit("/preferences", "/preferences/add", &[("keyword", "heist")])
        .await;
    assert_eq!(page.status, 503);
    assert!(
        page.body
            .contains(r#"name="keyword" type="text" value="heist""#)
    );
    assert!(
        page.text().contains("send it again in a little while"),
        "{}",
        page.text()
    );

    let page = browser
        .submit("/preferences", "/preferences/delete/heist", &[])
        .await;
    assert_eq!(page.status, 503);
    assert!(
        page.text()
            .contains("Recommendations are unavailable at the moment"),
        "{}",
        page.text()
    );

    site.recommendations.come_back();
    eventually("what was kept back can be sent", async || {
        browser
            .submit("/preferences", "/preferences/add", &[("keyword", "heist")])
            .await
            .status
            == 303
    })
    .await;
    assert_eq!(site.recommendations.keywords(1), ["heist"]);
}

#[tokio::test]
async fn a_stop_is_undone() {
    let site = Site::start().await;
    let browser = site.browser();
    for keyword in ["heist", "a/b <c>"] {
        site.recommendations.follow(1, keyword);
        let stop = "/preferences/delete/";
        browser
            .submit("/preferences", stop, &[("keyword", keyword)])
            .await;
        assert!(site.recommendations.keywords(1).is_empty());
        let page = browser.get("/preferences").await;
        let (_, undo) = page
            .body
            .split_once(r#"<form class="undo" method="post" action=""#)
            .unwrap();
        let (action, undo) = undo.split_once('"').unwrap();
        let (_, kept) = undo.split_once(r#"name="keyword" value=""#).unwrap();
        let kept = kept
            .split_once('"')
            .unwrap()
            .0
            .replace("&lt;", "<")
            .replace("&gt;", ">");
        assert_eq!((action, kept.as_str()), ("/preferences/add", keyword));
        let undone = browser
            .submit("/preferences", action, &[("keyword", &kept)])
            .await;
        assert_eq!(undone.status, 303);
        assert_eq!(site.recommendations.keywords(1), [keyword]);
        browser
            .submit("/preferences", stop, &[("keyword", keyword)])
            .await;
    }
}

#[tokio::test]
async fn several_keywords_are_followed_at_once() {
    let site = Site::start().await;
    let browser = site.browser();
    let add = async |fields: &[(&str, &str)]| {
        browser
            .submit("/preferences", "/preferences/add", fields)
            .await
    };
    let typed = "heist, time travel,, \"crash, bang\"";
    assert_eq!(add(&[("keyword", typed)]).await.status, 303);
    let keywords = ["heist", "time travel", "\"crash, bang\""];
    assert_eq!(site.recommendations.keywords(1), keywords);
    let page = browser.get("/preferences").await;
    assert!(page.body.contains("autofocus"), "the next one is typed");
    assert!(!browser.get("/preferences").await.body.contains("autofocus"));

    let many = "a,b,c,d,e,f,g,h,i,j,k";
    let page = add(&[("keyword", many)]).await;
    assert_eq!(page.status, 422);
    let text = page.text();
    assert!(text.contains("Type at most 10 keywords at once."), "{text}");
    // What an old deployment kept with commas is kept so when its stop is undone.
    let undone = [("keyword", "a, b"), ("anyway", "yes")];
    assert_eq!(add(&undone).await.status, 303);
    assert_eq!(site.recommendations.keywords(1).last().unwrap(), "a, b");
}

#[tokio::test]
async fn the_films_of_a_keyword_are_shown_before_it_is_followed() {
    let site = Site::start().await;
    let browser = site.browser();
    for number in 1..=8 {
        let title = format!("Robbery {number}");
        browser.add_film(&title, "1999", "Crime", "").await;
    }
    let preview = [("keyword", "robbery, submarine"), ("preview", "yes")];
    let posted = browser
        .submit("/preferences", "/preferences/add", &preview)
        .await;
    let linked = browser.get("/preferences?keyword=robbery,%20submarine");
    let part = browser.get("/preferences?keyword=robbery,%20submarine&part=list");
    for page in [&posted, &linked.await, &part.await] {
        assert_eq!(page.status, 200);
        let text = page.text();
        assert!(text.contains("robbery 8 films"), "{text}");
        assert!(text.contains("submarine 0 films"), "{text}");
        assert!(text.contains("No film matches it yet."), "{text}");
        assert_eq!(page.body.matches(r#"<img class="cover""#).count(), 6);
        assert!(
            page.body
                .contains(r#"<a href="/?keyword=robbery">Show all of them</a>"#)
        );
        assert_eq!(text.matches("8 films").count(), 1, "{text}");
    }
    assert!(posted.body.contains(r#"value="robbery, submarine""#));
    assert!(site.recommendations.keywords(1).is_empty());

    let none = [("keyword", "submarine")];
    browser
        .submit("/preferences", "/preferences/add", &none)
        .await;
    let page = browser.get("/preferences").await;
    let told = "You follow submarine now. No film matches it yet.";
    assert_eq!(page.flash(), Some(told));
}

#[tokio::test]
async fn a_keyword_of_a_great_part_of_the_catalog_is_asked_about() {
    let site = Site::start().await;
    let browser = site.browser();
    for number in 1..=100 {
        site.recommendations.know(FilmUpdate {
            film_id: format!("f{number}"),
            title: format!("Film {number}"),
            description: if number <= 11 { "A robbery." } else { "" }.into(),
            ..FilmUpdate::default()
        });
    }
    let both = [("keyword", "robbery, film 77")];
    let asked = browser
        .submit("/preferences", "/preferences/add", &both)
        .await;
    assert_eq!(asked.status, 409);
    let text = asked.text();
    let question = "robbery matches 11 of 100 films. Follow it all the same?";
    assert!(text.contains(question), "{text}");
    assert!(!text.contains("11 films"), "{text}");
    assert!(text.contains("You follow film 77 now."), "{text}");
    assert_eq!(site.recommendations.keywords(1), ["film 77"]);

    let anyway = [("keyword", "robbery"), ("anyway", "yes")];
    let followed = browser
        .submit("/preferences", "/preferences/add", &anyway)
        .await;
    assert_eq!(followed.status, 303);
    assert_eq!(site.recommendations.keywords(1), ["film 77", "robbery"]);

    // A program of an older deployment knows no question.
    let program = site.browser();
    let posted = program
        .request(|client, url| client.post(url), "/preferences/add")
        .form(&[("keyword", "film, robbery")]);
    assert_eq!(posted.send().await.unwrap().status(), 303);
    let keywords = site.recommendations.keywords(1);
    assert_eq!(keywords.last().unwrap(), "film, robbery");
}
