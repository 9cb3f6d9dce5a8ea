//! The main flow with JavaScript switched off.

use crate::{
    support::{System, eventually},
    visitor::Visitor,
};

#[tokio::test]
async fn every_step_works_without_javascript() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come_without_scripts(&system).await else {
        return;
    };
    visitor.open("/").await;
    let root = visitor
        .client
        .find(fantoccini::Locator::Css("html"))
        .await
        .unwrap();
    assert_eq!(root.attr("class").await.unwrap(), None, "scripts run");
    // What only a script can do is not offered.
    assert_eq!(visitor.words("#theme").await.unwrap(), "");
    let switch = visitor
        .client
        .find(fantoccini::Locator::Css("#theme"))
        .await
        .unwrap();
    assert!(
        !switch.is_displayed().await.unwrap(),
        "the theme switch is shown"
    );

    visitor.press("Following").await;
    visitor.fill("Keyword", "heist").await;
    visitor.press("Follow").await;
    visitor.sees("You follow heist now.").await;
    visitor.press("Add a film").await;
    visitor.fill("Title", "Rififi").await;
    visitor.fill("What it is about", "A heist in Paris.").await;
    visitor.press("Add film").await;
    visitor.sees("Rififi was added.").await;
    recommended(&visitor, &["Rififi"]).await;
    visitor
        .sees_in(".because", "because you follow heist")
        .await;

    visitor.press("Rififi").await;
    visitor.sees("For you, because you follow heist.").await;
    visitor.press("Edit").await;
    assert_eq!(visitor.typed("What it is about").await, "A heist in Paris.");
    visitor
        .fill("What it is about", "A quiet night in Paris.")
        .await;
    visitor.press("Save changes").await;
    visitor.sees("Rififi was edited.").await;
    recommended(&visitor, &[]).await;
    visitor.sees("No film yet.").await;

    visitor.open("/").await;
    visitor.press("Rififi").await;
    visitor.press("Delete").await;
    visitor.press("Delete this film").await;
    visitor.sees("Rififi was deleted.").await;
    visitor.sees("Nothing is showing yet").await;
    visitor.press("Load").await;
    visitor.sees("films were added.").await;
    visitor.press("Next →").await;
    visitor.sees_in(".pager", "Page 2 of").await;

    visitor.open("/preferences").await;
    visitor.press("Stop following heist").await;
    visitor.sees("You no longer follow heist.").await;
    visitor.press("How Marquee is running").await;
    visitor.sees("actors are well.").await;
    visitor.press("Look again").await;
    visitor.sees("actors are well.").await;
    visitor.leave().await;
    system.stop().await;
}

/// Opens the recommendations again and again until they are these.
async fn recommended(visitor: &Visitor, titles: &[&str]) {
    eventually(&format!("{titles:?} to be recommended"), async || {
        visitor.open("/recommendations").await;
        let films = visitor.films().await;
        (films == titles).then_some(()).ok_or(format!("{films:?}"))
    })
    .await;
}
