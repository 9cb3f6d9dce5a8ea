//! The main flow by keyboard alone.

use serde_json::json;

use crate::{
    support::{System, eventually},
    visitor::Visitor,
};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SPACE: char = ' ';
/// What the Tab key meets first on every page.
const FIRST: &str = "Skip to content";

/// What has the focus: what it is called, whether it is seen to have it, and whether it is in view.
const FOCUS: &str = "
    const it = document.activeElement;
    if (!it || it === document.body || it === document.documentElement) return null;
    const { outlineStyle, outlineWidth } = getComputedStyle(it);
    const { top, bottom, width, height } = it.getBoundingClientRect();
    const name = it.getAttribute('aria-label') ?? it.labels?.[0]?.textContent ?? it.textContent;
    return {
      name: name.replace(/\\s+/g, ' ').trim(),
      ringed: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
      inView: width > 0 && height > 0 && bottom > 0 && top < innerHeight,
    };";

#[tokio::test]
async fn everything_can_be_done_by_keyboard() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.open("/").await;
    visitor.key(TAB).await;
    assert_eq!(focus(&visitor).await.as_deref(), Some(FIRST));
    visitor.key(ENTER).await;
    assert_eq!(visitor.focused().await, "main");
    visitor.key(TAB).await;
    let next = focus(&visitor).await.unwrap();
    assert!(next.starts_with("Load"), "the link skips to {next}");

    press(&visitor, "Following", ENTER).await;
    tab_to(&visitor, "Keyword").await;
    write(&visitor, "heist").await;
    visitor.key(ENTER).await;
    visitor.sees("You follow heist now.").await;

    press(&visitor, "Add a film", ENTER).await;
    visitor.sees_in("h1", "Add a film").await;
    assert_eq!(
        visitor.focused().await,
        "title",
        "typing does not begin at once"
    );
    write(&visitor, "Rififi").await;
    tab_to(&visitor, "What it is about").await;
    write(&visitor, "A heist in Paris.").await;
    press(&visitor, "Add film", SPACE).await;
    visitor.sees("Rififi was added.").await;

    press(&visitor, "For you,", ENTER).await;
    visitor.sees_films(&["Rififi"]).await;
    press(&visitor, "Rififi", ENTER).await;
    visitor.sees("For you, because you follow heist.").await;
    press(&visitor, "Edit", ENTER).await;
    visitor.sees_in("h1", "Edit Rififi").await;
    tab_to(&visitor, "Rating").await;
    write(&visitor, "8.1").await;
    visitor.key(ENTER).await;
    visitor.sees("Rififi was edited.").await;
    press(&visitor, "Delete", SPACE).await;
    press(&visitor, "Delete this film", ENTER).await;
    visitor.sees("Rififi was deleted.").await;

    press(&visitor, "Dark theme", SPACE).await;
    assert_eq!(
        visitor
            .ask("return document.documentElement.dataset.theme")
            .await,
        "dark"
    );
    press(&visitor, "Following", ENTER).await;
    press(&visitor, "Stop following heist", ENTER).await;
    visitor.sees("You no longer follow heist.").await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn the_keyboard_is_never_trapped() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    browser.follow("heist").await;
    let film = crate::support::Film {
        title: "Rififi",
        description: "A heist.",
        ..Default::default()
    };
    let film = format!("/movie/{}", browser.add(film).await);
    for path in [
        "/",
        "/recommendations",
        "/preferences",
        "/movie/new",
        &film,
        &format!("{film}/edit"),
        "/system",
    ] {
        visitor.open(path).await;
        let reachable = visitor
            .ask("return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), textarea, summary')]
                .filter((each) => each.checkVisibility()).length")
            .await
            .as_u64()
            .unwrap();
        // Some pages begin with the focus in their form.
        tab_to(&visitor, FIRST).await;
        let mut met = vec![FIRST.to_owned()];
        while let Some(name) = next(&visitor).await.filter(|name| name != FIRST) {
            met.push(name);
            assert!(
                met.len() as u64 <= reachable,
                "{path}: the focus does not leave the page, but goes on to {met:?}"
            );
        }
        assert_eq!(
            met.len() as u64,
            reachable,
            "{path}: not all is reached, but {met:?}"
        );
    }
    visitor.leave().await;
    system.stop().await;
}

/// What is next by the Tab key.
async fn next(visitor: &Visitor) -> Option<String> {
    visitor.key(TAB).await;
    focus(visitor).await
}

/// What has the focus, which one must be able to see; nothing if the page as a whole has it.
async fn focus(visitor: &Visitor) -> Option<String> {
    let focus = visitor.ask(FOCUS).await;
    let name = focus["name"].as_str()?;
    assert_eq!(
        focus["ringed"],
        json!(true),
        "one does not see that {name} has the focus"
    );
    // The browser scrolls to it in its own time.
    eventually(&format!("{name} to come into view"), async || {
        let focus = visitor.ask(FOCUS).await;
        (focus["inView"] == json!(true))
            .then_some(())
            .ok_or(focus.to_string())
    })
    .await;
    Some(name.to_owned())
}

/// Goes on with the Tab key to what is called so.
async fn tab_to(visitor: &Visitor, name: &str) {
    let mut met = Vec::new();
    for _ in 0..60 {
        match next(visitor).await {
            Some(found) if found == name || found.starts_with(&format!("{name} ")) => return,
            found => met.push(found),
        }
    }
    panic!("the Tab key does not lead to {name}, but to {met:?}");
}

async fn press(visitor: &Visitor, name: &str, key: char) {
    tab_to(visitor, name).await;
    visitor.key(key).await;
}

async fn write(visitor: &Visitor, text: &str) {
    for letter in text.chars() {
        visitor.key(letter).await;
    }
}
