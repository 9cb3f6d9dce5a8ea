//! Light and dark: the system's choice, and the visitor's own, which is remembered on every page.

use serde_json::json;

use crate::{
    support::{System, eventually},
    visitor::Visitor,
};

const PAPER: &str = "rgb(251, 250, 247)";
const NIGHT: &str = "rgb(20, 18, 15)";

#[tokio::test]
async fn the_theme_follows_the_system_until_one_chooses() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    for (colours, ground) in [("light", PAPER), ("dark", NIGHT)] {
        visitor.prefer(colours).await;
        for path in ["/", "/system"] {
            visitor.open(path).await;
            paints(&visitor, ground).await;
        }
        visitor.open("/").await;
        offers(&visitor, other(colours)).await;
    }
    // Also while the page is open.
    for colours in ["light", "dark"] {
        visitor.prefer(colours).await;
        offers(&visitor, other(colours)).await;
    }

    visitor.open("/").await;
    let first = visitor.client.window().await.unwrap();
    let second = visitor.open_window("/system").await;
    visitor.prefer("dark").await;
    visitor.look_at(&first).await;
    switch(&visitor).await;
    paints(&visitor, PAPER).await;
    visitor.look_at(&second).await;
    paints(&visitor, PAPER).await;

    visitor.look_at(&first).await;
    for path in ["/preferences", "/system"] {
        visitor.open(path).await;
        paints(&visitor, PAPER).await;
    }
    visitor.open("/").await;
    switch(&visitor).await;
    paints(&visitor, NIGHT).await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn the_theme_can_follow_the_system_again() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.prefer("light").await;
    visitor.open("/").await;
    assert_eq!(visitor.words("#system-theme").await.unwrap(), "");
    switch(&visitor).await;
    paints(&visitor, NIGHT).await;
    visitor.press("Theme of the system").await;
    paints(&visitor, PAPER).await;
    visitor.open("/preferences").await;
    paints(&visitor, PAPER).await;
    visitor.prefer("dark").await;
    paints(&visitor, NIGHT).await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn print_is_light_after_dark_was_chosen() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.prefer("light").await;
    visitor.open("/").await;
    switch(&visitor).await;
    paints(&visitor, NIGHT).await;
    visitor.print().await;
    paints(&visitor, PAPER).await;
    visitor.leave().await;
    system.stop().await;
}

/// Presses the switch, which offers the other theme then.
async fn switch(visitor: &Visitor) {
    let theme = visitor
        .client
        .find(fantoccini::Locator::Id("theme"))
        .await
        .unwrap();
    let before = theme.text().await.unwrap();
    theme.click().await.unwrap();
    assert_ne!(theme.text().await.unwrap(), before);
}

fn other(colours: &str) -> &'static str {
    match colours {
        "dark" => "Light theme",
        _ => "Dark theme",
    }
}

/// The switch names the theme that a press leads to.
async fn offers(visitor: &Visitor, words: &str) {
    eventually(&format!("the switch to say {words}"), async || {
        let said = visitor.words("#theme").await?;
        (said.trim() == words).then_some(()).ok_or(said)
    })
    .await;
}

async fn paints(visitor: &Visitor, ground: &str) {
    eventually(&format!("the page to be {ground}"), async || {
        let painted = visitor
            .ask("return getComputedStyle(document.body).backgroundColor")
            .await;
        (painted == json!(ground))
            .then_some(())
            .ok_or(painted.to_string())
    })
    .await;
}
