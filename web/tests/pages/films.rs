//! The wall of films, one film, its cover.

use crate::site::{Site, eventually};

#[tokio::test]
async fn an_empty_catalogue_offers_the_sample_and_loads_it() {
    let site = Site::start().await;
    let browser = site.browser();
    let wall = browser.get("/").await;
    assert_eq!(wall.status, 200);
    assert!(
        wall.text().starts_with("Nothing is showing yet\n"),
        "{}",
        wall.text()
    );
    assert!(
        wall.body
            .contains(r#"<form method="post" action="/sample""#)
    );

    let loaded = browser.submit("/", "/sample", &[]).await;
    assert_eq!((loaded.status, loaded.location()), (303, "/"));
    let wall = browser.get("/").await;
    let flash = wall.flash().unwrap();
    let count: usize = flash
        .strip_suffix(" films were added.")
        .unwrap()
        .parse()
        .unwrap();
    assert!(count >= 200, "{flash}");
    assert_eq!(wall.body.matches("data-film=").count(), 24);
    assert!(
        wall.body
            .contains(&format!(r#"<span class="count">{count}</span>"#))
    );

    let again = browser.submit("/movie/new", "/sample", &[]).await;
    assert_eq!(again.status, 303);
    assert_eq!(
        browser.get("/").await.flash(),
        Some("Nothing was added, for the catalogue is not empty.")
    );
}

#[tokio::test]
async fn pages_go_on_within_their_genre_and_end_at_the_last() {
    let site = Site::start().await;
    let browser = site.browser();
    for number in 1..=25 {
        browser
            .add_film(&format!("Robbery {number}"), "1999", "Crime, Drama", "")
            .await;
    }
    browser.add_film("Laughter", "2001", "Comedy", "").await;

    let first = browser.get("/?genre=cRIMe").await;
    assert_eq!(first.body.matches("data-film=").count(), 24);
    assert!(!first.body.contains("Laughter"));
    assert!(
        first
            .body
            .contains(r#"<a rel="next" href="/?genre=cRIMe&amp;page=2">"#),
        "{}",
        first.body
    );
    assert!(first.text().contains("Page 1 of 2"));
    assert!(first.text().contains("25 with “cRIMe”"));

    let second = browser.get("/?genre=cRIMe&page=2").await;
    assert_eq!(second.body.matches("data-film=").count(), 1);
    assert!(second.body.contains("Robbery 1<"));
    assert!(
        second
            .body
            .contains(r#"<a rel="prev" href="/?genre=cRIMe">"#)
    );

    let form = r#"<form action="/" method="get">
<input type="hidden" name="genre" value="cRIMe">"#;
    assert!(second.body.contains(form), "{}", second.body);
    let typed = r#"name="page" type="number" min="1" max="2" value="2""#;
    assert!(second.body.contains(typed), "{}", second.body);

    for beyond in ["3", "99", "2147483647", "99999999999999999999999"] {
        let last = browser.get(&format!("/?genre=cRIMe&page={beyond}")).await;
        assert!(last.text().contains("Page 2 of 2"), "{beyond}");
    }
    for nonsense in ["0", "-1", "one", "", "1.5", "%00", "1&page=2"] {
        let page = browser.get(&format!("/?genre=cRIMe&page={nonsense}")).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("Page 1 of 2"), "{nonsense}");
    }
}

#[tokio::test]
async fn a_genre_is_one_in_any_spelling_and_script() {
    let site = Site::start().await;
    let browser = site.browser();
    browser
        .add_film("Солярис", "1972", "Фантастика, Космос, Драма", "")
        .await;
    browser.add_film("Metropolis", "1927", "Straße", "").await;
    for (path, title, chip, caption) in [
        (
            "/?genre=%D0%94%D0%A0%D0%90%D0%9C%D0%90",
            "Солярис",
            "Драма",
            "Драма, Фантастика",
        ),
        ("/?genre=STRASSE", "Metropolis", "Straße", "Straße"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.body.matches("data-film=").count(), 1, "{path}");
        assert!(page.body.contains(&format!(r#"data-title="{title}""#)));
        let current = format!(r#"aria-current="true">{chip}</a>"#);
        assert!(page.body.contains(&current), "{}", page.body);
        assert_eq!(page.body.matches(r#"class="chip""#).count(), 5, "{path}");
        let caption = format!(r#"<span><bdi>{caption}</bdi></span>"#);
        assert!(page.body.contains(&caption), "{}", page.body);
    }
}

#[tokio::test]
async fn a_genre_without_films_says_so_and_how_to_go_on() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "").await;
    let page = browser.get("/?genre=%25").await;
    assert_eq!(page.status, 200);
    insta::assert_snapshot!(page.text(), @r"
    Films 0 with “%”
    All
    Crime
    %
    Genre
    Filter
    No film here has the genre “%”. Type the whole genre, such as “Science Fiction”.
    Show all films
    ");
}

#[tokio::test]
async fn a_film_has_a_page_of_its_own() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser
        .add_film("Heat", "1995", "Crime, Drama", "A heist.\n\nA chase.")
        .await;
    let page = browser.get(&film).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Heat (1995) · Marquee</title>"));
    let text = page.text();
    let (facts, _) = text.split_once("\nAdded ").unwrap();
    insta::assert_snapshot!(facts, @r"
    Heat
    1995Crime, Dramarated 8.1 of 10
    A heist.
    A chase.
    Edit
    History
    Delete
    Delete Heat? You can undo it right after.
    Delete this film
    ");
}

#[tokio::test]
async fn what_was_done_is_told_once() {
    let site = Site::start().await;
    let browser = site.browser();
    let title = format!("千{}", "é".repeat(254));
    browser
        .submit("/movie/new", "/movie/new", &[("title", &title)])
        .await;
    assert_eq!(
        browser.get("/").await.flash(),
        Some(format!("{title} was added.").as_str())
    );
    assert_eq!(browser.get("/").await.flash(), None);
}

#[tokio::test]
async fn a_cover_may_be_kept_for_ever_at_the_address_of_its_version_only() {
    let site = Site::start().await;
    let browser = site.browser();
    let film = browser.add_film("Heat", "1995", "Crime", "").await;
    let page = browser.get(&film).await.body;
    let (_, address) = page.split_once(r#"<img class="cover" src=""#).unwrap();
    let address = address.split_once('"').unwrap().0;

    let cover = browser.get(address).await;
    assert_eq!(cover.status, 200);
    assert_eq!(cover.header("content-type"), "image/svg+xml");
    assert_eq!(
        cover.header("cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert!(cover.body.contains(">HEAT</text>"), "{}", cover.body);

    for other in [format!("{film}/cover.svg"), format!("{film}/cover.svg?v=0")] {
        let cover = browser.get(&other).await;
        assert_eq!(
            (cover.status, cover.header("cache-control")),
            (200, "no-cache"),
            "{other}"
        );
    }
    let known = browser
        .request(|client, url| client.get(url), address)
        .header("if-none-match", cover.header("etag"));
    let known = known.send().await.unwrap();
    assert_eq!(known.status(), 304);

    browser
        .submit(
            &format!("{film}/edit"),
            &format!("{film}/edit"),
            &[("title", "Cold")],
        )
        .await;
    let stale = browser.get(address).await;
    assert_eq!(stale.header("cache-control"), "no-cache");
    assert!(stale.body.contains(">COLD</text>"));
}

#[tokio::test]
async fn the_wall_can_be_had_without_what_stands_around_it() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "").await;
    let list = browser.get("/?part=list").await;
    assert_eq!(list.status, 200);
    assert!(
        list.body.trim_start().starts_with("<div data-live="),
        "{}",
        list.body
    );
    assert!(list.body.contains("Heat"));
}

#[tokio::test]
async fn the_films_of_a_keyword_a_year_and_a_genre_can_be_opened() {
    let site = Site::start().await;
    let browser = site.browser();
    let heist = "Heist, crash & bang";
    let heat = browser
        .add_film("Heat", "1995", "Crime, Drama", heist)
        .await;
    browser.add_film("Ronin", "1998", "Action", heist).await;
    browser.add_film("Casino", "1995", "Crime", "").await;
    browser.add_film("Se7en", "1995", "Drama", "").await;
    site.recommendations.follow(1, heist);

    let films = async |path: &str| {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        let titles = page.body.split(r#"data-title=""#).skip(1);
        let titles = titles.map(|title| title.split_once('"').unwrap().0.to_owned());
        (titles.collect::<Vec<_>>(), page)
    };
    let by_keyword = "/?keyword=Heist%2C%20crash%20%26%20bang";
    for page in ["/preferences", "/", "/recommendations", &heat] {
        let body = browser.get(page).await.body;
        let link = format!(r#"<a href="{by_keyword}">Heist, crash &amp; bang</a>"#);
        assert!(body.contains(&link), "{page}: {body}");
    }
    let (titles, page) = films(by_keyword).await;
    assert_eq!(titles, ["Ronin", "Heat"]);
    let text = page.text();
    assert!(
        text.contains("Films 2 that match “Heist, crash &amp; bang”"),
        "{text}"
    );
    assert!(text.contains("because you follow"), "{text}");

    let body = browser.get(&heat).await.body;
    for link in [
        r#"<a href="/?year=1995">1995</a>"#,
        r#"<a href="/?genre=Crime">Crime</a>"#,
        r#"<a href="/?genre=Drama">Drama</a>"#,
    ] {
        assert!(body.contains(link), "{link}: {body}");
    }
    let (titles, page) = films("/?year=1995").await;
    assert_eq!(titles, ["Se7en", "Casino", "Heat"]);
    assert!(page.text().contains("Films 3 of 1995"), "{}", page.text());
    let (titles, _) = films("/?year=1995&genre=drama").await;
    assert_eq!(titles, ["Se7en", "Heat"]);
    let (titles, page) = films("/?year=1901").await;
    assert!(titles.is_empty());
    let text = page.text();
    assert!(text.contains("No film here is of the year 1901."), "{text}");
    let (titles, page) = films("/?keyword=submarine").await;
    assert!(titles.is_empty());
    let text = page.text();
    assert!(
        text.contains("No film here matches “submarine” yet."),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_list_is_not_limited_to_is_told() {
    let site = Site::start().await;
    let browser = site.browser();
    for (title, year, genre) in [
        ("War", "1995", "Crime"),
        ("War and peace", "1996", "Drama"),
        ("Heat", "1995", "Crime"),
    ] {
        browser.add_film(title, year, genre, "").await;
    }
    let rule = "A list is of one genre and one year, or of one keyword.";
    for (path, films, told) in [
        ("/?keyword=war&genre=Crime", 2, Some("Crime")),
        ("/?keyword=war&year=1995", 2, Some("1995")),
        (
            "/?genre=Crime&year=1995&keyword=war",
            2,
            Some("Crime, 1995"),
        ),
        ("/?keyword=war&keyword=heat", 2, Some("heat")),
        ("/?genre=Crime&genre=Drama", 2, Some("Drama")),
        ("/?year=1996&year=1995&genre=Drama", 1, Some("1995")),
        ("/?genre=Crime&year=1995", 2, None),
        ("/?keyword=war&genre=%20&year=", 2, None),
        ("/?keyword=&genre=Crime", 2, None),
        ("/?genre=Crime&genre=crime", 2, None),
        ("/?genre=Crime&genre=CRIME&genre=Drama", 2, Some("Drama")),
        ("/?year=1995&year=1995&genre=crime", 2, None),
        ("/?keyword=war&keyword=WAR", 2, None),
        ("/?keyword=war&keyword=War&genre=crime", 2, Some("crime")),
    ] {
        let page = browser.get(path).await;
        let (body, text) = (&page.body, page.text());
        assert_eq!(body.matches("data-film=").count(), films, "{path}");
        match told {
            Some(told) => {
                let note = format!("Not applied: {told}. {rule}");
                assert!(text.contains(&note), "{path}: {text}");
            }
            None => assert!(!text.contains(rule), "{path}: {text}"),
        }
    }
    let body = browser.get("/?keyword=war&genre=Crime").await.body;
    let link = r#"<a href="/?genre=Crime">Crime</a>"#;
    assert!(body.contains(link), "{body}");
}

#[tokio::test]
async fn the_page_after_an_edit_does_not_say_that_the_film_is_recommended_to_others() {
    let site = Site::start().await;
    let browser = site.browser();
    site.recommendations.follow(1, "heist");
    let film = browser.add_film("Heat", "1995", "Crime", "A heist.").await;
    eventually("the film is recommended", async || {
        let page = browser.get(&film).await;
        page.text().contains("because you follow heist")
    })
    .await;
    let edit = format!("{film}/edit");
    let fields = [
        ("title", "Heat"),
        ("release_year", "1995"),
        ("description", "A robbery."),
    ];
    let edited = browser.submit(&edit, &edit, &fields).await;
    assert_eq!(edited.location(), film);
    // The catalog has not heard of it yet.
    let id = film.strip_prefix("/movie/").unwrap();
    site.catalog
        .edit(id, |film| film.is_recommended = Some(true));
    let page = browser.get(&film).await;
    assert_eq!(page.flash(), Some("Heat was edited."));
    let text = page.text();
    assert!(!text.contains("recommended"), "{text}");
    site.catalog
        .edit(id, |film| film.is_recommended = Some(true));
    let text = browser.get(&film).await.text();
    assert!(
        text.contains("This film is recommended to others."),
        "{text}"
    );
}

#[tokio::test]
async fn a_year_that_is_none_and_a_text_that_is_too_long_find_no_film_and_say_so() {
    let site = Site::start().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "").await;
    let long = "a".repeat(101);
    for (path, heading, told) in [
        ("/?year=abcd", "Films 0 of abcd", "“abcd” is no year."),
        ("/?year=19955", "Films 0 of 19955", "“19955” is no year."),
        ("/?year=199", "Films 0 of 199", "“199” is no year."),
        (
            "/?year=1995a&genre=Crime",
            "Films 0 with “Crime” of 1995a",
            "“1995a” is no year.",
        ),
        ("/?year=1994", "Films 0 of 1994", "of the year 1994."),
        (
            &format!("/?genre={long}"),
            &format!("Films 0 with “{long}”"),
            &format!("No film here has the genre “{long}”."),
        ),
        ("/?year=%201995%00", "Films 1 of 1995", "Heat"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200);
        let text = page.text();
        assert!(
            text.contains(heading) && text.contains(told),
            "{path}: {text}"
        );
    }
}

#[tokio::test]
async fn the_films_of_a_keyword_go_on_over_several_pages() {
    let site = Site::start().await;
    let browser = site.browser();
    for number in 1..=25 {
        browser
            .add_film(&format!("Robbery {number}"), "1999", "Crime", "")
            .await;
    }
    let first = browser.get("/?keyword=robbery").await;
    assert_eq!(first.body.matches("data-film=").count(), 24);
    let next = r#"<a rel="next" href="/?keyword=robbery&amp;page=2">"#;
    assert!(first.body.contains(next), "{}", first.body);
    for beyond in ["2", "3", "999999999999"] {
        let path = format!("/?keyword=robbery&page={beyond}");
        let last = browser.get(&path).await;
        assert_eq!(last.body.matches("data-film=").count(), 1, "{beyond}");
        assert!(last.text().contains("Page 2 of 2"), "{beyond}");
    }
}

#[tokio::test]
async fn the_films_of_what_is_no_keyword_or_without_recommendations_are_an_error() {
    let site = Site::start_alone().await;
    let browser = site.browser();
    browser.add_film("Heat", "1995", "Crime", "").await;
    let page = browser.get("/?keyword=heist").await;
    assert_eq!(page.status, 503);
    let site = Site::start().await;
    let page = site.browser().get("/?keyword=heist%21").await;
    assert_eq!(page.status, 422);
    let text = page.text();
    assert!(text.contains("A keyword holds no `!`."), "{text}");
}
