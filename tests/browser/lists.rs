//! Lists that do not fit on one page, and films of one genre.

use crate::{
    support::{Film, System, eventually},
    visitor::Visitor,
};

#[tokio::test]
async fn one_pages_through_the_films_and_filters_them() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.open("/").await;
    visitor.press("Load").await;
    visitor.sees("films were added.").await;
    let first = visitor.films().await;
    assert_eq!(first.len(), 24);
    assert_eq!(visitor.words(".pager a[rel=prev]").await.ok(), None);

    visitor.press("Next →").await;
    visitor.sees_in(".pager", "Page 2 of").await;
    assert_eq!(visitor.path().await, "/?page=2");
    let second = visitor.films().await;
    assert_eq!(second.len(), 24);
    assert!(
        second.iter().all(|film| !first.contains(film)),
        "{first:?} {second:?}"
    );
    visitor.press("← Previous").await;
    visitor.sees_in(".pager", "Page 1 of").await;
    assert_eq!(visitor.films().await, first);

    visitor.press("Comedy").await;
    visitor.sees_in("h1", "with “Comedy”").await;
    assert_eq!(
        visitor.words(".chip[aria-current]").await.unwrap(),
        "Comedy"
    );
    all_are(&visitor, "comedy").await;
    visitor.press("All").await;
    visitor.sees_in(".pager", "Page 1 of").await;
    assert_eq!(visitor.films().await, first);

    visitor.fill("Genre", "science fiction").await;
    visitor.press("Filter").await;
    visitor.sees_in("h1", "with “science fiction”").await;
    assert_eq!(visitor.typed("Genre").await, "science fiction");
    all_are(&visitor, "science fiction").await;
    visitor.press("Next →").await;
    visitor.sees_in(".pager", "Page 2 of").await;
    visitor.sees_in("h1", "with “science fiction”").await;
    all_are(&visitor, "science fiction").await;

    visitor.fill("Genre", "no such genre").await;
    visitor.press("Filter").await;
    visitor
        .sees("No film here has the genre “no such genre”.")
        .await;
    visitor.press("Show all films").await;
    visitor.sees_in(".pager", "Page 1 of").await;
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn a_phone_shows_the_chosen_genre_and_begins_no_line_with_a_dot() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.resize((390, 844)).await;
    visitor.open("/").await;
    visitor.press("Load").await;
    visitor.sees("films were added.").await;
    let last = visitor
        .ask("return [...document.querySelectorAll('.chip')].at(-1).textContent")
        .await;
    let genre = last.as_str().unwrap().replace(' ', "%20");
    visitor.open(&format!("/?genre={genre}")).await;
    eventually("the chosen genre to be in view", async || {
        let seen = visitor
            .ask(
                "const chip = document.querySelector('.chip[aria-current]').getBoundingClientRect();
                 return chip.left >= 0 && chip.right <= innerWidth && scrollY === 0",
            )
            .await;
        (seen == true).then_some(()).ok_or(seen.to_string())
    })
    .await;
    let dots = visitor
        .ask(
            "const dot = (span, place) => getComputedStyle(span, place).content.includes('·');
             return [...document.querySelectorAll('.facts > span')].map((span) =>
                 [dot(span, '::before'), dot(span, '::after') === !!span.nextElementSibling])",
        )
        .await;
    let dots = dots.as_array().unwrap();
    assert!(!dots.is_empty());
    assert!(
        dots.iter()
            .all(|dot| *dot == serde_json::json!([false, true])),
        "{dots:?}"
    );
    visitor.leave().await;
    system.stop().await;
}

#[tokio::test]
async fn recommendations_go_on_over_pages_while_they_change() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    browser.follow("heist").await;
    let titles: Vec<_> = (1..=27).map(|number| format!("Heist {number}")).collect();
    let (last, films) = titles.split_last().unwrap();
    for title in films {
        browser
            .add(Film {
                title,
                ..Film::default()
            })
            .await;
    }
    eventually("all films to be recommended", async || {
        let recommended = system.recommended_to(1).await?.len();
        (recommended == films.len())
            .then_some(())
            .ok_or(recommended.to_string())
    })
    .await;
    visitor.open("/recommendations").await;
    visitor.sees_in("h1", "26 films").await;
    visitor.press("Next →").await;
    visitor.sees_in(".pager", "Page 2 of 2").await;
    visitor.sees_films(&["Heist 2", "Heist 1"]).await;

    // The second page moves on by one, without a reload.
    browser
        .add(Film {
            title: last,
            ..Film::default()
        })
        .await;
    visitor.sees_films(&["Heist 3", "Heist 2", "Heist 1"]).await;
    visitor.sees_in("h1", "27 films").await;
    visitor.press("← Previous").await;
    visitor.sees_in(".pager", "Page 1 of 2").await;
    assert_eq!(visitor.films().await.first(), Some(last));
    visitor.leave().await;
    system.stop().await;
}

/// Every film that is shown has this genre.
async fn all_are(visitor: &Visitor, genre: &str) {
    let facts = visitor
        .ask("return [...document.querySelectorAll('.film .facts')].map((facts) => facts.textContent)")
        .await;
    let facts = facts.as_array().unwrap();
    assert!(!facts.is_empty(), "no film is shown");
    for film in facts {
        assert!(
            film.as_str().unwrap().to_lowercase().contains(genre),
            "{film}"
        );
    }
}
