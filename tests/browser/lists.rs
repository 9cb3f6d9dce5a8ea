//! Lists that do not fit on one page, and films of one genre.

use serde_json::json;

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
async fn a_phone_shows_the_chosen_genre() {
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
    visitor.leave().await;
    system.stop().await;
}

/// The facts whose dot is seen at the beginning of a line, or is not seen within one.
pub(crate) const DOTS: &str = "
    return [...document.querySelectorAll('.facts')].flatMap((facts) => {
      const em = parseFloat(getComputedStyle(facts).fontSize);
      const cut = getComputedStyle(facts).clipPath.match(/^inset\\(.* ([\\d.]+)px\\)$/);
      const start = facts.getBoundingClientRect().left + parseFloat(cut[1]);
      const spans = [...facts.children];
      return spans.filter((span, at) => {
        const box = span.getBoundingClientRect();
        const before = getComputedStyle(span, '::before');
        const dot = box.left + parseFloat(before.insetInlineStart);
        const begins = at === 0 || spans[at - 1].getBoundingClientRect().bottom <= box.top + 1;
        const isSeen = dot + parseFloat(before.width) > start + em / 20;
        const isDot = before.content.includes('·') && before.overflow !== 'visible';
        return !isDot || isSeen === begins;
      }).map((span) => facts.textContent);
    });";

/// The words that are broken between two letters at the end of a line.
pub(crate) const BROKEN: &str = "
    const broken = [];
    for (const text of document.querySelectorAll('.film h2, .facts bdi, .because a, .detail h1, .keys a')) {
      const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode()); ) {
        let last = null;
        for (let at = 0; at < node.length; at += 1) {
          const range = document.createRange();
          range.setStart(node, at);
          range.setEnd(node, at + 1);
          const box = [...range.getClientRects()].at(-1);
          const letter = /^\\p{L}$/u.test(node.data[at]);
          if (letter && last !== null && box && box.top > last + 2) broken.push(node.data);
          if (box) last = letter ? box.top : null;
          else last = null;
        }
      }
    }
    return broken;";

#[tokio::test]
async fn no_line_of_a_caption_begins_or_ends_with_a_dot_or_within_a_word() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    visitor.open("/").await;
    visitor.press("Load").await;
    visitor.sees("films were added.").await;
    let browser = system.browser();
    let word = "Supercalifragilisticexpialidocious";
    browser.follow("donaudampfschifffahrtsgesellschaft").await;
    let mut last = String::new();
    for (title, genre) in [
        (word, "Science Fiction, Adventure"),
        (
            "The Donaudampfschifffahrtsgesellschaft",
            "Kriminalkomödiendrama, Liebesgeschichte",
        ),
        (
            "Transcontinental Superintelligence: The Americanization of the Philanthropist",
            "Drama",
        ),
        ("Достопримечательность", "Документальный"),
        ("Mxyzptlkqwrtpsdfghjklmnbvcx", ""),
    ] {
        let film = Film {
            title,
            genre,
            rating: "8.1",
            release_year: "1964",
            ..Film::default()
        };
        last = browser.add(film).await;
        if title == word {
            visitor.open(&format!("/movie/{last}")).await;
            for width in [320, 360, 1024] {
                visitor.resize((width, 800)).await;
                assert_eq!(visitor.ask(BROKEN).await, json!([]), "{width} pixels");
                assert_eq!(visitor.ask(DOTS).await, json!([]), "{width} pixels");
            }
        }
    }
    eventually("the film to be recommended", async || {
        let recommended = system.recommended_to(1).await?.len();
        (recommended == 1)
            .then_some(())
            .ok_or(recommended.to_string())
    })
    .await;
    for path in [
        "/",
        "/?page=2",
        "/recommendations",
        "/preferences",
        &format!("/movie/{last}"),
    ] {
        visitor.open(path).await;
        for width in [
            320, 360, 390, 440, 500, 577, 580, 640, 705, 768, 900, 1025, 1280, 1440,
        ] {
            visitor.resize((width, 800)).await;
            assert_eq!(
                visitor.ask(BROKEN).await,
                json!([]),
                "{path}, {width} pixels"
            );
            assert_eq!(visitor.ask(DOTS).await, json!([]), "{path}, {width} pixels");
        }
    }
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
