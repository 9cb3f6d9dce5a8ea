//! Adding, editing and deleting films.

use crate::{
    browser::{Browser, Page},
    site::Site,
};

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
    Four digits, from 1878 to 2100.
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

/// The hidden fields of the page's form, with what was typed.
fn form_of<'a>(page: &'a str, typed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = typed.to_vec();
    for part in page.split(r#"<input type="hidden" name=""#).skip(1) {
        let (name, rest) = part.split_once('"').unwrap();
        let (_, rest) = rest.split_once(r#"value=""#).unwrap();
        fields.push((name, rest.split_once('"').unwrap().0));
    }
    fields
}

async fn send(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    let request = browser.request(|client, url| client.post(url), path);
    Page::of(request.form(fields).send().await.unwrap()).await
}

#[tokio::test]
async fn the_same_form_sent_three_times_makes_one_film() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.get("/movie/new").await;
    let form = form_of(&page.body, &[("title", "Heat")]);
    for _ in 0..3 {
        let answer = send(&browser, "/movie/new", &form).await;
        let film = format!("/movie/{}", site.catalog.films()[0].id);
        assert_eq!((answer.status, answer.location()), (303, film.as_str()));
        assert_eq!(browser.get(&film).await.flash(), Some("Heat was added."));
    }
    assert_eq!(site.catalog.films().len(), 1);
    // A program that fills in nothing but the token does not make more either.
    let token = page.token();
    let form = [("title", "Ronin"), ("csrf", token.as_str())];
    for _ in 0..3 {
        assert_eq!(send(&browser, "/movie/new", &form).await.status, 303);
    }
    assert_eq!(site.catalog.films().len(), 2);
}

#[tokio::test]
async fn a_second_film_of_the_same_title_and_year_is_asked_for() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let typed = [
        ("title", "heat"),
        ("release_year", "1995"),
        ("description", "Another."),
    ];
    let page = browser.get("/movie/new").await;
    let asked = send(&browser, "/movie/new", &form_of(&page.body, &typed)).await;
    assert_eq!(asked.status, 409);
    assert!(
        asked.body.contains(&format!(r#"<a href="{film}">"#)),
        "{}",
        asked.text()
    );
    assert!(asked.body.contains("Another."), "{}", asked.text());
    assert_eq!(site.catalog.films().len(), 1);
    let confirmed = send(&browser, "/movie/new", &form_of(&asked.body, &typed)).await;
    assert_eq!(confirmed.status, 303);
    assert_eq!(site.catalog.films().len(), 2);
}

#[tokio::test]
async fn of_two_editors_the_second_sees_both_texts_and_chooses() {
    let site = Site::start().await;
    let (one, two) = (site.browser(), site.browser());
    let film = one.add_film("Heat", "1995", "Crime", "A heist.").await;
    let edit = format!("{film}/edit");
    let (first, second) = (one.get(&edit).await, two.get(&edit).await);
    let typed = [("title", "Heat"), ("description", "Two men & a heist.")];
    assert_eq!(
        send(&one, &edit, &form_of(&first.body, &typed))
            .await
            .status,
        303
    );
    let typed = [("title", "Heat"), ("description", "Los Angeles.")];
    let conflict = send(&two, &edit, &form_of(&second.body, &typed)).await;
    assert_eq!(conflict.status, 409);
    let text = conflict.text();
    assert!(text.contains("Los Angeles."), "{text}");
    assert!(text.contains("Two men &amp; a heist."), "{text}");
    assert_eq!(site.catalog.films()[0].description, "Two men & a heist.");
    let saved = send(&two, &edit, &form_of(&conflict.body, &typed)).await;
    assert_eq!(saved.status, 303);
    assert_eq!(site.catalog.films()[0].description, "Los Angeles.");
}

#[tokio::test]
async fn an_editor_whose_form_came_back_for_a_mistake_still_sees_what_was_saved_meanwhile() {
    let site = Site::start().await;
    let (one, two) = (site.browser(), site.browser());
    let film = one.add_film("Heat", "1995", "Crime", "A heist.").await;
    let edit = format!("{film}/edit");
    let (first, second) = (one.get(&edit).await, two.get(&edit).await);
    let typed = [("title", "Heat"), ("description", "Two men.")];
    let saved = send(&one, &edit, &form_of(&first.body, &typed)).await;
    assert_eq!(saved.status, 303);
    let wrong = [
        ("title", "Heat"),
        ("description", "Los Angeles."),
        ("rating", "99"),
    ];
    let refused = send(&two, &edit, &form_of(&second.body, &wrong)).await;
    assert_eq!(refused.status, 422);
    let right = [("title", "Heat"), ("description", "Los Angeles.")];
    let conflict = send(&two, &edit, &form_of(&refused.body, &right)).await;
    assert_eq!(conflict.status, 409);
    assert!(conflict.text().contains("Two men."), "{}", conflict.text());
    assert_eq!(site.catalog.films()[0].description, "Two men.");
}

#[tokio::test]
async fn a_deletion_is_undone_with_the_same_address() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    let before = site.catalog.films();
    browser.submit(&film, &format!("{film}/delete"), &[]).await;
    let page = browser.get("/").await;
    assert_eq!(page.flash(), Some("Heat was deleted."));
    let restore = format!("{film}/restore");
    assert!(
        page.body.contains(&format!(r#"action="{restore}""#)),
        "{}",
        page.body
    );
    let undone = send(&browser, &restore, &form_of(&page.body, &[])).await;
    assert_eq!((undone.status, undone.location()), (303, film.as_str()));
    assert_eq!(browser.get(&film).await.flash(), Some("Heat is back."));
    let after = site.catalog.films();
    assert_eq!(
        (&after[0].id, &after[0].created_at),
        (&before[0].id, &before[0].created_at)
    );
    assert!(!browser.get("/").await.body.contains(&restore), "told once");
    let unknown = browser
        .submit("/movie/new", "/movie/unknown/restore", &[])
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn what_is_typed_for_a_film_that_was_deleted_meanwhile_is_added_as_a_new_one() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let edit = format!("{film}/edit");
    let form = browser.get(&edit).await;
    site.catalog.remove(film.trim_start_matches("/movie/"));
    let typed = [("title", "Heat"), ("description", "A long text.")];
    let page = send(&browser, &edit, &form_of(&form.body, &typed)).await;
    assert_eq!(page.status, 404);
    assert!(page.text().contains("A long text."), "{}", page.text());
    assert!(
        page.text().contains("add it as a new film"),
        "{}",
        page.text()
    );
    let added = send(&browser, "/movie/new", &form_of(&page.body, &typed)).await;
    assert_eq!(added.status, 303);
    assert_eq!(site.catalog.films()[0].description, "A long text.");
}

#[tokio::test]
async fn a_rating_of_0_is_kept_and_none_is_none() {
    let site = Site::start().await;
    let browser = site.browser();
    for (title, typed, expected) in [("Zero", "0", Some(0.0)), ("None", "", None)] {
        let fields = [("title", title), ("rating", typed)];
        browser.submit("/movie/new", "/movie/new", &fields).await;
        let film = site.catalog.films().pop().unwrap();
        assert_eq!(film.exact_rating, expected, "{title}");
        let edit = browser.get(&format!("/movie/{}/edit", film.id)).await.body;
        let value = format!(r#"name="rating" type="text" value="{typed}""#);
        assert!(edit.contains(&value), "{edit}");
    }
}

#[tokio::test]
async fn a_title_that_does_not_show_is_none() {
    let site = Site::start().await;
    let fields = [("title", "\u{200b}\u{200b}")];
    let page = site
        .browser()
        .submit("/movie/new", "/movie/new", &fields)
        .await;
    assert_eq!(page.status, 422);
    assert!(
        page.text().contains("Give the film a title."),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn a_form_that_was_used_loses_no_second_film() {
    let site = Site::start().await;
    let browser = site.browser();
    let page = browser.get("/movie/new").await;
    let heat = form_of(&page.body, &[("title", "Heat"), ("release_year", "1995")]);
    assert_eq!(send(&browser, "/movie/new", &heat).await.status, 303);
    // Back in the browser the form is the same, and holds another film now.
    let typed = [("title", "Ronin"), ("description", "A long text.")];
    let asked = send(&browser, "/movie/new", &form_of(&page.body, &typed)).await;
    assert_eq!(asked.status, 409);
    assert!(asked.text().contains("A long text."), "{}", asked.text());
    assert_eq!(site.catalog.films().len(), 1);
    let added = send(&browser, "/movie/new", &form_of(&asked.body, &typed)).await;
    assert_eq!(added.status, 303);
    assert_eq!(site.catalog.films()[1].title, "Ronin");

    // A film that was deleted does not come back by the form that added it.
    let film = format!("/movie/{}", site.catalog.films()[0].id);
    browser.submit(&film, &format!("{film}/delete"), &[]).await;
    let asked = send(&browser, "/movie/new", &heat).await;
    assert_eq!(asked.status, 409);
    assert!(asked.text().contains("was deleted"), "{}", asked.text());
    assert_eq!(site.catalog.films().len(), 1);
    let again = form_of(&asked.body, &[("title", "Heat"), ("release_year", "1995")]);
    assert_eq!(send(&browser, "/movie/new", &again).await.status, 303);
    assert_eq!(site.catalog.films().len(), 2);
}

#[tokio::test]
async fn an_edit_and_an_undo_ask_before_they_make_a_second_film_of_a_title_and_year() {
    let site = Site::start().await;
    let browser = site.browser();
    let heat = browser.add_film("Heat", "1995", "Crime", "").await;
    let other = browser.add_film("Heet", "1995", "Crime", "").await;
    let edit = format!("{other}/edit");
    let form = browser.get(&edit).await;
    let typed = [("title", "Heat!"), ("release_year", "1995")];
    let asked = send(&browser, &edit, &form_of(&form.body, &typed)).await;
    assert_eq!(asked.status, 409);
    assert!(
        asked.body.contains(&format!(r#"<a href="{heat}">"#)),
        "{}",
        asked.text()
    );
    assert_eq!(site.catalog.films()[1].title, "Heet");
    // Who agrees to a second film of one name has not agreed to one of another name.
    browser.add_film("Ronin", "1998", "Action", "").await;
    let renamed = [("title", "ronin"), ("release_year", "1998")];
    let asked_again = send(&browser, &edit, &form_of(&asked.body, &renamed)).await;
    assert_eq!(asked_again.status, 409);
    let saved = send(&browser, &edit, &form_of(&asked.body, &typed)).await;
    assert_eq!(saved.status, 303);
    assert_eq!(site.catalog.films()[1].title, "Heat!");
    // An edit of something else asks nothing.
    let form = browser.get(&edit).await;
    let typed = [
        ("title", "Heat!"),
        ("release_year", "1995"),
        ("genre", "Drama"),
    ];
    let saved = send(&browser, &edit, &form_of(&form.body, &typed)).await;
    assert_eq!(saved.status, 303);

    browser.submit(&heat, &format!("{heat}/delete"), &[]).await;
    let page = browser.get("/").await;
    let restore = format!("{heat}/restore");
    let asked = send(&browser, &restore, &form_of(&page.body, &[])).await;
    assert_eq!((asked.status, asked.location()), (303, other.as_str()));
    assert_eq!(site.catalog.films().len(), 2);
    let page = browser.get(&other).await;
    assert!(page.body.contains("Bring it back as another film"));
    let form = form_of(&page.body, &[]);
    let undone = send(&browser, &restore, &form).await;
    assert_eq!((undone.status, undone.location()), (303, heat.as_str()));
    assert_eq!(site.catalog.films().len(), 3);
}
