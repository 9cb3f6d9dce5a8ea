//! Adding, editing and deleting films.

use crate::site::Site;

#[tokio::test]
async fn what_is_refused_is_kept_and_said_beside_its_field() {
    let site = Site::start().await;
    let browser = site.browser();
    let fields = [
        ("title", "  "),
        ("description", "Some <b>words</b>"),
        ("genre", "Crime"),
        ("rating", "11"),
        ("release_year", "95"),
    ];
    let page = browser.submit("/movie/new", "/movie/new", &fields).await;
    assert_eq!(page.status, 422);
    assert!(
        page.body
            .contains("<title>Error: Add a film · Marquee</title>")
    );
    insta::assert_snapshot!(page.text(), @r"
    Add a film
    These need another look:
    Title: Give the film a title.
    Year: A year is four digits from 1878 to 2100, or nothing.
    Rating: A rating is a number from 0 to 10, such as 7.5, or nothing.
    Title
    Give the film a title.
    What it is about optional
    Keywords are looked for here, in the title and in the genre.
    Some &lt;b&gt;words&lt;/b&gt;
    Genre optional
    Several with commas between: Crime, Drama.
    Year optional
    Four digits.
    A year is four digits from 1878 to 2100, or nothing.
    Rating optional
    From 0 to 10.
    A rating is a number from 0 to 10, such as 7.5, or nothing.
    Add film
    Cancel
    ");
    for kept in [
        r#"name="rating" type="text" value="11""#,
        r#"name="release_year" type="text" value="95""#,
        r#"value="Crime""#,
    ] {
        assert!(page.body.contains(kept), "{kept}");
    }
    assert!(
        browser
            .get("/")
            .await
            .text()
            .starts_with("Nothing is showing yet")
    );
}

#[tokio::test]
async fn a_film_is_edited_in_a_form_that_holds_what_it_is() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser
        .add_film("Heet", "1995", "Crime", "\nA heist.")
        .await;
    let edit = format!("{film}/edit");
    let form = browser.get(&edit).await;
    assert_eq!(form.status, 200);
    for held in [
        r#"value="Heet""#,
        r#"value="1995""#,
        r#"value="Crime""#,
        r#"value="8.1""#,
        "\nA heist.</textarea>",
    ] {
        assert!(form.body.contains(held), "{held} in {}", form.body);
    }
    let fields = [
        ("title", "Heat"),
        ("genre", "Crime, Drama"),
        ("description", "A heist."),
        ("rating", ""),
        ("release_year", ""),
    ];
    let saved = browser.submit(&edit, &edit, &fields).await;
    assert_eq!((saved.status, saved.location()), (303, film.as_str()));
    let page = browser.get(&film).await;
    assert_eq!(page.flash(), Some("Heat was edited."));
    assert!(
        page.text().contains("Heat\nCrime, Drama\nA heist."),
        "{}",
        page.text()
    );

    let refused = browser.submit(&edit, &edit, &[("title", "")]).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .text()
            .starts_with("Edit Heat\nOne thing needs another look:"),
        "{}",
        refused.text()
    );
}

#[tokio::test]
async fn a_film_is_deleted_after_it_was_asked_for_twice() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let page = browser.get(&film).await;
    assert!(
        page.body.contains(r#"<details class="confirm">"#),
        "the confirmation works without scripts"
    );
    let deleted = browser.submit(&film, &format!("{film}/delete"), &[]).await;
    assert_eq!((deleted.status, deleted.location()), (303, "/"));
    assert_eq!(browser.get("/").await.flash(), Some("Heat was deleted."));
    for gone in ["", "/edit", "/cover.svg"] {
        assert_eq!(
            browser.get(&format!("{film}{gone}")).await.status,
            404,
            "{gone}"
        );
    }
    for gone in ["/edit", "/delete"] {
        let answer = browser
            .submit("/movie/new", &format!("{film}{gone}"), &[("title", "Heat")])
            .await;
        assert_eq!(answer.status, 404, "{gone}");
    }
}

#[tokio::test]
async fn texts_of_every_script_come_back_as_they_were_typed() {
    let site = Site::start().await;
    let browser = site.browser();
    for title in [
        "千と千尋の神隠し",
        "جدایی نادر از سیمین",
        "100% & <Co> \"x\" 'y' #?/+",
        "👩‍🚀",
    ] {
        let film = browser.add_film(title, "2001", "Drama", title).await;
        let form = browser.get(&format!("{film}/edit")).await.body;
        let (_, value) = form
            .split_once(r#"name="title" type="text" value=""#)
            .unwrap();
        let value = value.split_once('"').unwrap().0;
        let unescaped = value
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        assert_eq!(unescaped, title);
    }
}
