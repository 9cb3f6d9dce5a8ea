//! Every template is rendered with views that leave nothing out and with views that leave all out.

use super::super::views::{
    EntranceView, FilmCard, Filter, FollowMark, Place, Preview, SignInFields, SignUpFields, Why,
};
use super::super::{entrance::draft::Draft, flash::Flash, marks::Marks};
use super::*;
use proto::accounts::{Entrance, Provider, Registration};

use crate::{
    Error, FieldError, FieldErrors,
    actors::{
        catalog_gateway::{Film, FilmFields, Summary},
        recommendations_gateway::{Counts, FollowedKeyword, Found, RecommendedFilm},
    },
    me::samples,
};

const EVIL: &str = r#"<script>alert("1")</script>'&"#;

fn layout() -> Layout {
    Layout::new(
        Place::Films,
        Some(Counts {
            total: 1_234,
            new: 123,
            is_unsettled: false,
        }),
        Some(Flash::Deleted {
            id: "a/b".into(),
            title: EVIL.into(),
        }),
        "token".into(),
    )
}

fn bare_layout() -> Layout {
    Layout::new(Place::Elsewhere, None, None, String::new())
}

fn film(title: &str) -> Film {
    let time = chrono::DateTime::from_timestamp(1_700_000_000, 0)
        .unwrap()
        .naive_utc();
    Film {
        id: "6f9619ff-8b86-d011-b42d-00c04fc964ff".parse().unwrap(),
        title: title.into(),
        description: format!("About {title}."),
        genre: format!("Drama, {title}"),
        rating: Some(8.1),
        release_year: "1995".into(),
        created_at: time,
        updated_at: time + chrono::Duration::days(3),
        is_recommended: true,
        version: Some(1),
        external_ids: std::collections::BTreeMap::new(),
    }
}

fn bare_film() -> Film {
    let film = film("M");
    Film {
        description: String::new(),
        genre: String::new(),
        rating: None,
        release_year: String::new(),
        updated_at: film.created_at,
        is_recommended: false,
        ..film
    }
}

fn recommended(title: &str) -> RecommendedFilm {
    RecommendedFilm {
        id: "a/b".parse().unwrap(),
        title: title.into(),
        description: String::new(),
        genre: title.into(),
        rating: None,
        release_year: String::new(),
        matched_keywords: vec![title.into(), "heist".into(), "paris".into()],
    }
}

fn fields(text: &str) -> FilmFields {
    FilmFields {
        title: text.into(),
        description: format!("\n{text}"),
        genre: text.into(),
        rating: text.into(),
        release_year: text.into(),
    }
}

fn errors(text: &str) -> FieldErrors {
    let error = |field: &str| FieldError {
        field: field.into(),
        message: format!("No {text}."),
    };
    FieldErrors(
        ["title", "description", "genre", "rating", "release_year"]
            .map(error)
            .into(),
    )
}

fn summary(genre: &str) -> Summary {
    Summary {
        total: 36_273,
        genres: vec![("Drama".into(), 7), (genre.into(), 2)],
        sample_size: 223,
    }
}

/// Renders pages that are always shown whole.
struct Whole<'a>(&'a Layout);

impl samples::Render<(&'static str, Rendered)> for Whole<'_> {
    fn page<V: PageView>(&mut self, view: &V) -> (&'static str, Rendered) {
        (V::TEMPLATE, templates().page(self.0, view))
    }
}

/// Each template, with every branch that a view can take.
fn all(text: &str) -> Vec<(&'static str, String)> {
    let (templates, full, bare) = (templates(), layout(), bare_layout());
    let why = Why::new(&[text.to_owned(), "heist".into()]);
    let cards = vec![
        FilmCard::of_film(&film(text), why.clone()),
        FilmCard::of_film(&bare_film(), Why::default()),
    ];
    let everything = Filter {
        genre: text.into(),
        year: text.into(),
        keyword: text.into(),
    };
    let ignored = [Filter::of_genre(text), Filter::of_keyword(text)];
    let wall = FilmsView::new(&summary(text), &everything, cards, 36_273, 2, 9).ignoring(&ignored);
    let no_year = FilmsView::new(&summary(text), &Filter::of_year(text), Vec::new(), 0, 1, 1);
    let no_film = FilmsView::new(&summary(text), &Filter::of_genre(text), Vec::new(), 0, 1, 1);
    let unmarked = no_film.marked(&Marks::unavailable());
    let empty =
        FilmsView::new(&Summary::default(), &Filter::default(), Vec::new(), 0, 1, 1).offering(223);
    let followed = |keyword: &str, matching_films| FollowedKeyword {
        keyword: keyword.into(),
        matching_films,
    };
    let following = FollowingView::new(vec![followed(text, Some(1)), followed("..", None)]);
    let found = |films: &[RecommendedFilm], total| Found {
        films: films.into(),
        total,
        known: 36_273,
    };
    let previews = || {
        vec![
            Preview::new(text.into(), Ok(&found(&[recommended(text)], 1))),
            Preview::new(text.into(), Ok(&found(&[], 0))),
            Preview::new(text.into(), Ok(&found(&[recommended(text)], 9_000))),
            Preview::new(text.into(), Err(&Error::Invalid(text.into()))),
            Preview::new(text.into(), Err(&Error::Full)),
        ]
    };
    let previewed = following.clone().previewing(text.into(), previews());
    let asking = following.clone().asking(vec![text.into()], previews());
    let refused = FollowingView::unavailable().refusing(text.into(), text);
    let error = ErrorView {
        status: 404,
        heading: "Gone",
        text: text.into(),
        link: "/",
        link_text: "Back",
    };
    let form = FilmFormView::to_edit(&film(text), &fields(text), vec![text.into()]);
    vec![
        ("films", templates.films(&full, &wall, Part::Page)),
        ("films list", templates.films(&full, &wall, Part::List)),
        (
            "no film of the genre",
            templates.films(&bare, &no_film, Part::Page),
        ),
        ("no year", templates.films(&bare, &no_year, Part::Page)),
        (
            "to follow, in a list",
            templates.follow(&FollowMark::new(text, None)),
        ),
        (
            "followed, in a list",
            templates.follow(&FollowMark::new(text, Some(text))),
        ),
        (
            "films unavailable",
            templates.films(&bare, &unmarked, Part::Page),
        ),
        (
            "an empty catalogue",
            templates.films(&bare, &empty, Part::Page),
        ),
        (
            "film",
            templates.film(&full, &FilmView::new(&film(text), why)),
        ),
        (
            "a bare film",
            templates.film(&bare, &FilmView::new(&bare_film(), Why::default())),
        ),
        (
            "a recommended film",
            templates.film(&bare, &FilmView::new(&film(text), Why::default())),
        ),
        (
            "form to add",
            templates.film_form(
                &bare,
                &FilmFormView::to_add(&FilmFields::default(), "id".into(), Vec::new()),
            ),
        ),
        (
            "form refused",
            templates.film_form(&full, &form.clone().refused(&errors(text))),
        ),
        (
            "form failed",
            templates.film_form(&full, &form.failed(text.into())),
        ),
        (
            "following",
            templates.following(&full, &following, Part::Page),
        ),
        (
            "following nothing",
            templates.following(&bare, &FollowingView::new(Vec::new()), Part::Page),
        ),
        (
            "following refused",
            templates.following(&full, &refused, Part::Page),
        ),
        (
            "previews",
            templates.following(&full, &previewed, Part::Page),
        ),
        (
            "previews list",
            templates.following(&full, &previewed, Part::List),
        ),
        (
            "common keywords",
            templates.following(&full, &asking, Part::Page),
        ),
        (
            "recommendations",
            templates.recommendations(
                &full,
                &RecommendedView::new(&[recommended(text)], 99, 2, 5),
                Part::Page,
            ),
        ),
        (
            "recommendations list",
            templates.recommendations(
                &full,
                &RecommendedView::new(&[recommended(text)], 99, 2, 5),
                Part::List,
            ),
        ),
        (
            "no recommendations",
            templates.recommendations(&bare, &RecommendedView::new(&[], 0, 1, 1), Part::Page),
        ),
        (
            "recommendations unavailable",
            templates.recommendations(&bare, &RecommendedView::unavailable(), Part::Page),
        ),
        ("error", templates.error(&bare, &error)),
    ]
    .into_iter()
    .chain(entrance(text))
    .chain(samples::render(text, Whole(&full)))
    .map(|(name, rendered)| match rendered {
        Ok(html) => (name, html),
        Err(error) => panic!("{name}: {error:?}"),
    })
    .collect()
}

/// The pages of the entrance.
fn entrance(text: &str) -> Vec<(&'static str, Rendered)> {
    let (templates, layout) = (templates(), bare_layout());
    let open = Entrance {
        registration: Registration::Open.into(),
        has_mail: true,
        providers: vec![Provider {
            id: "oidc".into(),
            name: text.into(),
        }],
        ..Entrance::default()
    };
    let invited = Entrance {
        registration: Registration::Invitation.into(),
        ..Entrance::default()
    };
    let closed = Entrance {
        registration: Registration::Closed.into(),
        ..Entrance::default()
    };
    let new = Entrance {
        needs_owner: true,
        ..Entrance::default()
    };
    let sign_in = SignInFields {
        login: text.into(),
        remember: true,
        next: text.into(),
        login_error: Some("Type it."),
        password_error: Some("Type it."),
        code_error: Some("Type it."),
        failure: Some("It failed."),
        asks_for_code: true,
        is_unconfirmed: true,
        is_interrupted: true,
        is_lost: true,
    };
    let sign_up = SignUpFields {
        email: text.into(),
        username: text.into(),
        invitation: text.into(),
        next: text.into(),
        asks_for_setup_code: true,
        errors: FieldErrors(
            ["email", "username", "password", "invitation", "setup_code"]
                .map(|field| FieldError {
                    field: field.into(),
                    message: format!("No {text}."),
                })
                .into(),
        ),
        failure: Some("It failed."),
    };
    let form = crate::form::of(&[("draft_to", "/movie/new"), ("draft-title", text)]);
    let draft = Draft::carried(&form).unwrap();
    let code = || text.to_owned();
    let bare = SignInFields::default;
    let views = vec![
        ("open", EntranceView::open()),
        ("leaving", EntranceView::leaving(code())),
        ("a code", EntranceView::code("/sign-in/oidc/code", true)),
        ("sign in", EntranceView::sign_in(bare(), None, None)),
        (
            "sign in again",
            EntranceView::sign_in(sign_in, Some(&open), None),
        ),
        (
            "a draft",
            EntranceView::sign_in(bare(), Some(&open), Some(&draft)),
        ),
        (
            "signed in again",
            EntranceView::offering("/movie/new", &[(code(), code())]),
        ),
        (
            "sign up",
            EntranceView::sign_up(&SignUpFields::default(), &open),
        ),
        ("sign up again", EntranceView::sign_up(&sign_up, &invited)),
        ("the owner", EntranceView::sign_up(&sign_up, &new)),
        ("closed", EntranceView::sign_up(&sign_up, &closed)),
        ("a mail was sent", EntranceView::mail_was_sent(text)),
        ("confirm", EntranceView::confirm_email(code(), None)),
        (
            "confirm by hand",
            EntranceView::confirm_email(String::new(), Some("No."))
                .with_email(code(), Some(code())),
        ),
        (
            "confirmation was sent",
            EntranceView::confirmation_was_sent(text),
        ),
        (
            "forgot",
            EntranceView::forgot_password(code(), Some(code()), Some("No.")),
        ),
        ("no mail", EntranceView::no_mail()),
        ("reset was sent", EntranceView::reset_was_sent(text)),
        (
            "reset",
            EntranceView::reset_password(code(), Some(code()), None),
        ),
        (
            "reset by hand",
            EntranceView::reset_password(String::new(), None, Some("No.")),
        ),
    ];
    views
        .into_iter()
        .map(|(name, view)| (name, templates.entrance(&layout, &view)))
        .collect()
}

#[test]
fn every_template_renders_with_every_view() {
    for (name, html) in all("Heat") {
        let is_list = name.ends_with(" list");
        assert_eq!(html.contains("<!doctype html>"), !is_list, "{name}");
        let headings = html.matches("<h1").count();
        assert_eq!(
            headings,
            usize::from(!is_list || name == "recommendations list"),
            "{name}"
        );
    }
}

#[test]
fn no_page_lets_a_text_become_markup() {
    for (name, html) in all(EVIL) {
        assert!(!html.contains("<script>alert"), "{name}: {html}");
        assert!(!html.contains(r#"alert("1")"#), "{name}: {html}");
    }
}

#[test]
fn a_very_long_title_is_set_smaller_where_it_is_a_heading() {
    let (templates, layout) = (templates(), layout());
    let headings = |title: &str| {
        let film = film(title);
        let form = FilmFormView::to_edit(&film, &fields(title), Vec::new());
        [
            templates.film(&layout, &FilmView::new(&film, Why::default())),
            templates.film_form(&layout, &form),
        ]
        .map(|page| page.unwrap().contains(r#"<h1 class="long""#))
    };
    assert_eq!(headings("Heat"), [false, false]);
    assert_eq!(headings(&"Heat ".repeat(73)), [true, true]);
}

#[test]
fn a_great_number_of_new_films_is_not_counted_out() {
    let html = templates()
        .following(&layout(), &FollowingView::unavailable(), Part::Page)
        .unwrap();
    assert!(html.contains(r#"<span id="badge-count">99+</span>"#));
}

#[test]
fn no_page_needs_what_its_policy_forbids() {
    for (name, html) in all("Heat") {
        for forbidden in [
            "style=", "<style", "onclick", "http://", "https://", "<script>",
        ] {
            assert!(!html.contains(forbidden), "{name}: {forbidden}");
        }
    }
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    for (name, html) in all("Heat") {
        let forms = html.matches(r#"method="post""#).count();
        let tokens = html.matches(r#"<input type="hidden" name="csrf""#).count();
        assert_eq!(forms, tokens, "{name}");
    }
}

#[test]
fn a_refused_field_says_so_to_every_reader() {
    let view = FilmFormView::to_add(&fields("x"), "id".into(), Vec::new()).refused(&errors("x"));
    let html = templates().film_form(&layout(), &view).unwrap();
    for expected in [
        r#"aria-invalid="true""#,
        r#"aria-describedby="title-error""#,
        r#"aria-describedby="rating-error rating-hint""#,
        r#"<p class="error" id="rating-error">No x.</p>"#,
        r##"<a href="#rating">"##,
    ] {
        assert!(html.contains(expected), "{expected} in {html}");
    }
}
