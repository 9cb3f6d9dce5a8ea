//! What a visitor follows.

use crate::site::{Site, eventually};

#[tokio::test]
async fn a_keyword_is_followed_with_its_films_and_stopped() {
    let site = Site::start().await;
    let browser = site.browser();
    let empty = browser.get("/preferences").await;
    assert!(
        empty.text().contains("You follow nothing yet."),
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
    A film that fits one of these words turns up under For you, at once.
    Word or phrase
    Follow
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
    assert_eq!(site.recommendations.keywords(1), ["heist"]);

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
            page.text().contains("Type a word or a phrase to follow."),
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
            .contains(r#"aria-invalid="true" aria-describedby="keyword-error""#)
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
            .contains("Recommendations are away for the moment."),
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
            .contains("Recommendations are away for the moment"),
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
        let page = browser.get("/preferences/").await;
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
