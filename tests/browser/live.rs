//! A keyword is followed and a film added, edited and deleted in one window, while another window
//! shows what is recommended.

use crate::{
    support::{Film, System, eventually},
    visitor::Visitor,
};

#[tokio::test]
async fn another_window_shows_at_once_what_is_recommended() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let here = visitor.client.window().await.unwrap();
    let there = visitor.open_window("/recommendations").await;
    visitor.sees("No film yet").await;

    visitor.look_at(&here).await;
    visitor.open("/preferences").await;
    visitor.fill("Keyword", "heist").await;
    visitor.press("Follow").await;
    visitor.sees("You follow heist now.").await;
    add(&visitor, "Rififi", "A heist in Paris.").await;
    add(&visitor, "Playtime", "A day in a city of glass.").await;

    visitor.look_at(&there).await;
    visitor.sees_films(&["Rififi"]).await;
    visitor
        .sees_in(".film .because", "because you follow heist")
        .await;
    eventually("nothing is new to a visitor who looks", async || {
        let hidden = visitor.ask("return document.getElementById('badge').hidden");
        let hidden = hidden.await;
        (hidden == true).then_some(()).ok_or(hidden.to_string())
    })
    .await;
    visitor.sees_in("h1", "1 film").await;
    announced(&visitor, "For you now: Rififi.").await;

    visitor.look_at(&here).await;
    edit(&visitor, "Playtime", "A heist in a city of glass.").await;
    visitor.look_at(&there).await;
    visitor.sees_films(&["Playtime", "Rififi"]).await;
    announced(&visitor, "For you now: Playtime.").await;

    visitor.look_at(&here).await;
    edit(&visitor, "Rififi", "A quiet night in Paris.").await;
    visitor.look_at(&there).await;
    visitor.sees_films(&["Playtime"]).await;

    visitor.look_at(&here).await;
    visitor.open("/").await;
    visitor.press("Playtime").await;
    visitor.press("Delete").await;
    visitor.press("Delete this film").await;
    visitor.sees("Playtime was deleted.").await;
    visitor.sees_films(&["Rififi"]).await;
    visitor.look_at(&there).await;
    visitor.sees("No film yet").await;

    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn films_that_arrive_while_one_reads_further_down_wait_behind_a_button() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    let add = async |title: &str| {
        let film = Film {
            title,
            description: "A heist.",
            ..Film::default()
        };
        browser.add(film).await;
    };
    browser.follow("heist").await;
    for number in 1..=14 {
        add(&format!("Heist {number}")).await;
    }
    visitor.open("/recommendations").await;
    visitor.sees_in("h1", "14 films").await;
    visitor.ask("scrollTo(0, 400)").await;
    let before = visitor.films().await;
    add("Rififi").await;
    visitor.sees_in("#pill", "1 new film").await;
    add("Ronin").await;
    visitor.sees_in("#pill", "2 new films").await;
    assert_eq!(visitor.films().await, before);
    assert_eq!(visitor.ask("return scrollY").await, 400);
    visitor.press("2 new films").await;
    visitor.sees_in("h1", "16 films").await;
    assert_eq!(visitor.films().await[..2], ["Ronin", "Rififi"]);
    assert_eq!(visitor.ask("return scrollY").await, 0);
    let hidden = visitor.ask("return document.getElementById('pill').hidden");
    assert_eq!(hidden.await, true);
    visitor.leave().await;
    system.stop().await;
}

async fn add(visitor: &Visitor, title: &str, description: &str) {
    visitor.press("Add a film").await;
    visitor.fill("Title", title).await;
    visitor.fill("What it is about", description).await;
    visitor.press("Add film").await;
    visitor.sees(&format!("{title} was added.")).await;
}

async fn edit(visitor: &Visitor, title: &str, description: &str) {
    visitor.open("/").await;
    visitor.press(title).await;
    visitor.press("Edit").await;
    visitor.fill("What it is about", description).await;
    visitor.press("Save changes").await;
    visitor.sees(&format!("{title} was edited.")).await;
    visitor.sees(description).await;
}

/// Waits until those who listen to the page have been told.
async fn announced(visitor: &Visitor, sentence: &str) {
    crate::support::eventually(&format!("the announcement {sentence:?}"), async || {
        let told = visitor
            .ask("return document.querySelector('[aria-live=polite]').textContent")
            .await;
        (told == sentence).then_some(()).ok_or(told.to_string())
    })
    .await;
}
