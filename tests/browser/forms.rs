//! Forms with mistakes: what was typed stays, and what is wrong is said where it is wrong.

use fantoccini::Locator;

use crate::{
    support::{Film, System, eventually},
    visitor::Visitor,
};

#[tokio::test]
async fn a_film_with_mistakes_keeps_what_was_typed() {
    let mut system = System::plain().await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.expects(422);
    visitor.open("/movie/new").await;
    let typed = [
        ("Title", "Les Diaboliques"),
        ("What it is about", "Line one.\nLine <two> & \"three\"."),
        ("Genre", "Thriller, Film noir"),
        ("Year", "next"),
        ("Rating", "11"),
    ];
    for (label, text) in typed {
        visitor.fill(label, text).await;
    }
    visitor.press("Add film").await;

    visitor.sees("These need another look:").await;
    for (label, text) in typed {
        assert_eq!(visitor.typed(label).await, text, "{label}");
    }
    for (label, error) in [("Year", "four digits"), ("Rating", "0 to 10")] {
        let field = visitor.field(label).await;
        assert_eq!(
            field.attr("aria-invalid").await.unwrap().as_deref(),
            Some("true"),
            "{label}"
        );
        let beside = beside(&visitor, label).await;
        assert!(
            beside.to_lowercase().contains(error),
            "beside {label}: {beside}"
        );
    }
    assert_eq!(
        visitor
            .field("Title")
            .await
            .attr("aria-invalid")
            .await
            .unwrap(),
        None
    );
    // Typing goes on where the first mistake is, and the list of mistakes leads to the others.
    assert_eq!(visitor.focused().await, "release_year");
    visitor.press("Rating:").await;
    assert_eq!(visitor.focused().await, "rating");

    visitor.fill("Year", "1955").await;
    visitor.fill("Rating", "8.1").await;
    visitor.press("Add film").await;
    visitor.sees("Les Diaboliques was added.").await;
    visitor.sees("Line <two> & \"three\".").await;

    visitor.press("Edit").await;
    visitor.fill("Title", "   ").await;
    visitor.fill("Rating", "7").await;
    visitor.press("Save changes").await;
    visitor.sees("One thing needs another look:").await;
    assert_eq!(visitor.typed("Rating").await, "7");
    assert_eq!(visitor.focused().await, "title");
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn a_keyword_without_words_stays_in_its_box() {
    let mut system = System::plain().await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.expects(422);
    visitor.open("/preferences").await;
    visitor.fill("Keyword", "?!").await;
    visitor.press("Follow").await;
    visitor.sees_in(".error", "word").await;
    assert_eq!(visitor.typed("Keyword").await, "?!");
    assert_eq!(visitor.focused().await, "keyword");

    visitor.fill("Keyword", "Science Fiction").await;
    visitor.press("Follow").await;
    visitor.sees("You follow Science Fiction now.").await;
    visitor.fill("Keyword", "science fiction").await;
    visitor.press("Follow").await;
    visitor.sees("You follow science fiction already.").await;
    visitor.press("Stop following Science Fiction").await;
    visitor.sees("You no longer follow Science Fiction.").await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn a_form_is_sent_from_each_of_two_windows_and_not_without_its_token() {
    let mut system = System::plain().await;
    let Some(mut visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.expects(403);
    visitor.open("/movie/new").await;
    let first = visitor.client.window().await.unwrap();
    visitor.open_window("/movie/new").await;
    for (window, title) in [(None, "Second"), (Some(first), "First")] {
        if let Some(window) = window {
            visitor.look_at(&window).await;
        }
        visitor.fill("Title", title).await;
        visitor.press("Add film").await;
        visitor.sees(&format!("{title} was added.")).await;
    }

    visitor.open("/movie/new").await;
    visitor.fill("Title", "Third").await;
    visitor.client.delete_all_cookies().await.unwrap();
    visitor.press("Add film").await;
    visitor.sees("This form cannot be trusted any more").await;
    // Going back, one finds what one had typed.
    visitor.client.back().await.unwrap();
    assert_eq!(visitor.typed("Title").await, "Third");
    visitor.open("/").await;
    visitor.sees_films(&["First", "Second"]).await;
    visitor.leave().await;
    system.stop().await;
}

/// The words of what the input is described by.
async fn beside(visitor: &Visitor, label: &str) -> String {
    let described = visitor
        .field(label)
        .await
        .attr("aria-describedby")
        .await
        .unwrap()
        .unwrap();
    let id = described.split(' ').next().unwrap();
    let error = visitor.client.find(Locator::Id(id)).await.unwrap();
    error.text().await.unwrap()
}

#[tokio::test]
async fn the_films_of_a_keyword_are_shown_while_one_types_and_the_next_can_be_typed_at_once() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let film = Film {
        title: "Rififi",
        description: "A heist in Paris.",
        ..Film::default()
    };
    system.browser().add(film).await;
    eventually("the film is known", async || {
        visitor.open("/?keyword=heist").await;
        let shown = visitor.films().await;
        (shown == ["Rififi"])
            .then_some(())
            .ok_or(format!("{shown:?}"))
    })
    .await;
    visitor.press("Follow “heist”").await;
    visitor.sees_in("#preview", "heist 1 film").await;
    visitor.open("/preferences").await;
    visitor.fill("Keyword", "heist, submarine").await;
    visitor.sees_in("#preview", "heist 1 film").await;
    visitor.sees_in("#preview", "No film matches it yet.").await;
    assert_eq!(visitor.focused().await, "keyword");
    visitor.press("Follow").await;
    visitor
        .sees("You follow heist now. You follow submarine now. No film matches it yet.")
        .await;
    assert_eq!(visitor.focused().await, "keyword");
    visitor.press("heist").await;
    visitor.sees_films(&["Rififi"]).await;
    visitor.leave().await;
    system.stop().await;
}
