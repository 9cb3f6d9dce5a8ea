//! Every page and state, light and dark, on a desk and on a phone.

use crate::{
    gallery::look_over,
    support::{Bus, Film, Layout, Store, System, marked},
    visitor::Visitor,
};

const HEAT: Film = Film {
    title: "Heat",
    description: "A crew of thieves plans one last heist while a detective closes in.\n\nLos Angeles, by night.",
    genre: "Crime, Drama",
    rating: "8.3",
    release_year: "1986",
};

#[tokio::test]
async fn a_catalogue_that_begins() {
    let mut system = System::plain().await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    for (path, name) in [
        ("/", "films-none"),
        ("/recommendations", "for-you-none"),
        ("/preferences", "following-none"),
        ("/movie/new", "film-new"),
        ("/sign-in", "sign-in-open"),
        ("/system", "system"),
    ] {
        visitor.open(path).await;
        look_over(&visitor, name).await;
    }

    visitor.expects(422);
    visitor.open("/movie/new").await;
    visitor.fill("Year", "soon").await;
    visitor.fill("Rating", "a lot").await;
    // Without a title the browser itself would not send it.
    visitor.fill("Title", " ").await;
    visitor.press("Add film").await;
    visitor.sees("These need another look:").await;
    look_over(&visitor, "film-new-mistakes").await;
    visitor.open("/preferences").await;
    visitor.fill("Keyword", "?!").await;
    visitor.press("Follow").await;
    visitor.sees_in(".error", "word").await;
    look_over(&visitor, "following-mistake").await;

    visitor.expects(404);
    visitor.open("/no/such/page").await;
    look_over(&visitor, "error-404").await;
    visitor.expects(403);
    visitor.open("/movie/new").await;
    visitor.fill("Title", "Heat").await;
    visitor.client.delete_all_cookies().await.unwrap();
    visitor.press("Add film").await;
    visitor.sees("This form cannot be trusted any more").await;
    look_over(&visitor, "error-403").await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn a_catalogue_in_use() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    visitor.open("/").await;
    visitor.press("Load").await;
    visitor.sees("films were added.").await;
    look_over(&visitor, "films-loaded").await;

    for keyword in [
        "robot",
        "one last heist",
        "drama",
        "supercalifragilistic-expialidocious-and-more",
    ] {
        browser.follow(keyword).await;
    }
    system.follow(2, "detective").await;
    let heat = browser.add(HEAT).await;
    let long = "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb";
    let long = browser
        .add(Film {
            title: long,
            genre: "Comedy, War, Satire, Cold War drama",
            release_year: "1964",
            ..Film::default()
        })
        .await;
    let tale = browser
        .add(Film {
            title: "千と千尋の神隠し",
            description: "A detective story.",
            ..Film::default()
        })
        .await;
    marked(&browser, "千と千尋の神隠し", true).await;

    for (path, name) in [
        ("/", "films"),
        ("/?page=2", "films-second"),
        ("/?genre=comedy", "films-comedy"),
        ("/?genre=nothing", "films-no-such-genre"),
        ("/?keyword=ROBOT", "films-keyword-followed"),
        ("/?keyword=detective&genre=Crime", "films-keyword-and-genre"),
        ("/?year=abcd", "films-no-year"),
        ("/recommendations", "for-you"),
        ("/preferences", "following"),
        (&format!("/movie/{heat}"), "film"),
        (&format!("/movie/{long}"), "film-long-title"),
        (&format!("/movie/{tale}"), "film-bare"),
        (&format!("/movie/{heat}/edit"), "film-edit"),
        ("/system", "system-in-use"),
    ] {
        visitor.open(path).await;
        look_over(&visitor, name).await;
    }

    visitor.open(&format!("/movie/{heat}")).await;
    visitor.press("Delete").await;
    look_over(&visitor, "film-delete").await;
    visitor.press("Delete this film").await;
    visitor.sees("Heat was deleted.").await;
    look_over(&visitor, "films-deleted").await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn a_catalogue_whose_recommendations_are_unavailable() {
    if !Layout::Three.is_built() {
        return;
    }
    let mut system = System::start(Layout::Three, &Store::Sqlite, &Bus::Embedded).await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    browser.follow("heist").await;
    browser.add(HEAT).await;
    marked(&browser, "Heat", true).await;
    visitor.open("/preferences").await;
    system.program("recommendations").kill().await;
    visitor.expects(503);
    visitor.press("Stop following heist").await;
    visitor
        .sees("Recommendations are unavailable at the moment")
        .await;
    look_over(&visitor, "error-503").await;
    for (path, name) in [
        ("/", "films-unavailable"),
        ("/recommendations", "for-you-unavailable"),
        ("/preferences", "following-unavailable"),
    ] {
        visitor.open(path).await;
        look_over(&visitor, name).await;
    }
    system.program("bridge").kill().await;
    visitor.open("/system").await;
    visitor.sees("degraded: ").await;
    look_over(&visitor, "system-unwell").await;

    // What was unavailable comes back by itself to a page that is open.
    visitor.open("/").await;
    visitor
        .sees("Recommendations are unavailable at the moment.")
        .await;
    for name in ["bridge", "recommendations"] {
        system.launch(name);
        system.ready(name).await;
    }
    visitor.sees("because you follow heist").await;
    assert!(!visitor.words("main").await.unwrap().contains("unavailable"));
    visitor.leave().await;
    system.stop().await;
}
