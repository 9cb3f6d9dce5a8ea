//! The frame of the pages in every width: the header keeps the order in which the Tab key goes
//! through it, and films are seen at once.
//!
//! An enlargement of 200 % halves the width, so it is one of the widths here.

use serde_json::{Value, json};

use crate::{
    support::{Film, System, eventually},
    visitor::Visitor,
};

/// What the header holds from left to right and from top to bottom, where it differs from the order
/// in the document; and what sticks out of the page.
const HEADER: &str = "
    const parts = [...document.querySelectorAll('.bar > *')].map((part) => [part, part.getBoundingClientRect()])
      .filter(([, { width }]) => width > 0);
    const seen = parts.toSorted(([, a], [, b]) =>
      a.bottom <= b.top ? -1 : b.bottom <= a.top ? 1 : a.left - b.left);
    const wrong = seen.filter(([part], at) => part !== parts[at][0]);
    const beyond = parts.filter(([, { right }]) => right > innerWidth);
    // The way to oneself stands at one place of two.
    const selves = parts.filter(([part]) => part.matches('.self'));
    return [...wrong, ...beyond, ...selves.slice(1)].map(([part]) => part.className);";

#[tokio::test]
async fn the_header_keeps_its_order_in_every_width() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    for width in [320, 360, 480, 577, 580, 640, 720, 768, 769, 1024, 1440] {
        visitor.resize((width, 800)).await;
        visitor.open("/").await;
        assert_eq!(visitor.ask(HEADER).await, json!([]), "{width} pixels");
    }
    visitor.leave().await;
    system.stop().await;
}

/// How high the header is without a badge and with the widest one, and whether the page is wider than its window.
const HEIGHTS: &str = "
    const [badge, header] = ['#badge', 'header.top'].map((name) => document.querySelector(name));
    const height = (text) => {
      badge.hidden = text === '';
      badge.querySelector('#badge-count').textContent = text;
      return Math.round(header.getBoundingClientRect().height);
    };
    return [height(''), height('99+'), document.documentElement.scrollWidth > innerWidth];";

#[tokio::test]
async fn a_badge_moves_nothing_below_the_header() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    for width in [
        320, 340, 360, 400, 480, 577, 580, 600, 640, 704, 720, 768, 1280,
    ] {
        visitor.resize((width, 800)).await;
        visitor.open("/").await;
        let heights = visitor.ask(HEIGHTS).await;
        assert_eq!(heights[0], heights[1], "{width} pixels: {heights}");
        assert_eq!(heights[2], false, "{width} pixels: {heights}");
    }
    visitor.leave().await;
    system.stop().await;
}

/// What of the footer stands beside its sentence, where not all of it does; what of a heading begins a line further in
/// than the heading; and the fields of a form that stand beside each other at different heights.
const LINES: &str = "
    const box = (element) => element.getBoundingClientRect();
    const foot = [...document.querySelectorAll('.foot > p')].filter((part) => box(part).height > 0);
    const [sentence] = foot;
    const beside = foot.filter((part) => box(part).top < box(sentence).bottom);
    const heading = document.querySelector('h1');
    const counts = [...heading.querySelectorAll('.count')].filter((count) => {
      const [first] = count.getClientRects();
      const before = count.previousElementSibling?.getClientRects();
      const begins = before && first.top > [...before].at(-1).bottom - 2;
      return begins && first.left > box(heading).left + 1;
    });
    const [year, rating] = document.querySelectorAll('.pair input');
    const isAslant = rating && box(year).top !== box(rating).top && box(year).left !== box(rating).left;
    return [
      ...(beside.length === foot.length ? [] : beside.slice(1)), ...counts, ...(isAslant ? [rating] : []),
    ].map((part) => part.outerHTML.slice(0, 90));";

#[tokio::test]
async fn what_has_not_room_in_one_line_is_in_order_on_the_next() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    browser.follow("fox").await;
    browser
        .add(Film {
            title: "The fox and the fox",
            release_year: "1994",
            ..Default::default()
        })
        .await;
    visitor.open("/").await;
    for theme in ["Dark theme", "Light theme"] {
        for path in [
            "/",
            "/?keyword=fox&year=1994",
            "/recommendations",
            "/preferences",
            "/movie/new",
        ] {
            visitor.open(path).await;
            for width in [320, 360, 480, 577, 580, 640, 720, 768, 900, 960, 1024, 1440] {
                visitor.resize((width, 800)).await;
                let wrong = visitor.ask(LINES).await;
                assert_eq!(wrong, json!([]), "{path}, {width} pixels, before {theme}");
            }
        }
        // From now on the footer also leads back to the theme of the system.
        visitor.press(theme).await;
    }
    visitor.leave().await;
    system.stop().await;
}

/// A word and a phrase that no line of a phone has room for.
const LONG_WORD: &str = "supercalifragilisticexpialidociousantidisestablishmentarianism";
const LONG_PHRASE: &str =
    "the quick brown fox jumps over the lazy dog and then over twenty more of them, one by one";

#[tokio::test]
async fn the_first_cover_begins_within_the_first_third_of_a_phone() {
    let mut system = System::plain().await;
    let Some(visitor) = Visitor::come(&system).await else {
        return;
    };
    let browser = system.browser();
    for genre in ["Drama", "Comedy", "Thriller", "Science Fiction", "Western"] {
        let film = Film {
            title: genre,
            genre,
            ..Default::default()
        };
        browser.add(film).await;
    }
    let genre = format!("{LONG_WORD} and {LONG_PHRASE}");
    let genre: String = genre.chars().take(100).collect();
    let film = Film {
        title: LONG_WORD,
        description: LONG_PHRASE,
        genre: &genre,
        release_year: "1994",
        ..Default::default()
    };
    browser.add(film).await;
    let phrase = LONG_PHRASE.replace(' ', "%20");
    let (year, genre) = ("/?year=1994", genre.replace(' ', "%20"));
    let lists = [
        "/",
        "/?genre=Drama",
        "/?genre=Science%20Fiction",
        &format!("/?genre={genre}"),
        year,
        &format!("{year}&genre={genre}"),
        "/?keyword=fox",
        "/?keyword=comedy",
        &format!("/?keyword={LONG_WORD}"),
        &format!("/?keyword={phrase}"),
        &format!("/?keyword=%22{phrase}%22"),
    ];
    for is_followed in [false, true] {
        if is_followed {
            for keyword in ["fox", LONG_WORD, LONG_PHRASE] {
                system.follow(1, keyword).await;
            }
            eventually("the film to be recommended", async || {
                let recommended = system.recommended_to(1).await?.len();
                (recommended == 1)
                    .then_some(())
                    .ok_or(recommended.to_string())
            })
            .await;
        }
        for (width, height) in [(360, 640), (390, 844), (360, 740)] {
            visitor.resize((width, height)).await;
            for list in lists {
                visitor.open(list).await;
                let top = visitor
                    .ask("return document.querySelector('.cover').getBoundingClientRect().top")
                    .await;
                let third = f64::from(height) / 3.0;
                assert!(
                    top.as_f64().is_some_and(|top| top < third),
                    "{list} at {width}x{height}, followed: {is_followed}: the first cover begins at {top:?}"
                );
                let sideways: Value = visitor
                    .ask("return document.scrollingElement.scrollWidth")
                    .await;
                assert_eq!(sideways, json!(width), "{list}");
            }
        }
    }
    visitor.leave().await;
    system.stop().await;
}
