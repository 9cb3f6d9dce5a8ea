//! A keyword is followed and a film added, edited and deleted in one window, while another window
//! shows what is recommended.

use crate::{support::System, visitor::Visitor};

#[tokio::test]
async fn another_window_shows_at_once_what_is_recommended() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let here = visitor.client.window().await.unwrap();
    let there = visitor.open_window("/recommendations").await;
    visitor.sees("No film here yet").await;

    visitor.look_at(&here).await;
    visitor.open("/preferences").await;
    visitor.fill("Word or phrase", "heist").await;
    visitor.press("Follow").await;
    visitor.sees("You follow heist now.").await;
    add(&visitor, "Rififi", "A heist in Paris.").await;
    add(&visitor, "Playtime", "A day in a city of glass.").await;

    visitor.look_at(&there).await;
    visitor.sees_films(&["Rififi"]).await;
    visitor
        .sees_in(".film .because", "because you follow heist")
        .await;
    visitor.sees_in("#badge", "1").await;
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
    visitor.sees("No film here yet").await;

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
