//! The list of all films, with the marks of those that are for the visitor.

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    form::Form,
    page_cache::{CachedPage, Question},
    page_error::PageError,
    request_context::{DEADLINE, RequestContext, look_further, reasons},
    templates::Part,
    views::{FilmCard, FilmsView, PAGE_SIZE, Place},
};
use crate::{
    AppState, Error,
    actors::catalog_gateway::{FilmPage, GetSummary, ListFilms, LoadSample},
};

/// The longest genre that is looked for, in characters: there is none longer.
const LONGEST_GENRE: usize = 100;
/// How long loading the sample may take.
const SAMPLE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// GET `/`: the films, newest first, of one genre or of all.
pub(super) async fn list(context: RequestContext) -> Result<HttpResponse, PageError> {
    let genre: String = context
        .parameter("genre")
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_GENRE)
        .collect();
    let part = Part::of(context.wants_list_only());
    let question = Question {
        user: context.visitor.user(),
        genre,
        page: context.page(),
        part,
    };
    let (app, asked) = (context.site.app.clone(), question.clone());
    let make = move || {
        let (app, asked) = (app.clone(), asked.clone());
        async move { make(&app, &asked).await }
    };
    let wall = context
        .site
        .app
        .page_cache
        .clone()
        .get(question, make)
        .await?;
    if wall.view.offers_sample() || context.is_told_something() {
        return context.show(
            StatusCode::OK,
            Place::Films,
            wall.recommended,
            |templates, layout| templates.films(layout, &wall.view, part),
        );
    }
    context.show_wall(&wall, part)
}

/// Makes a wall from what the actors say now.
async fn make(app: &AppState, asked: &Question) -> Result<CachedPage, PageError> {
    let genre = asked.genre.as_str();
    let summary = async { app.catalog.ask(GetSummary, DEADLINE).await? };
    let reasons = async { reasons(app, asked.user?).await };
    let (films, summary, reasons) = futures::join!(page(app, asked), summary, reasons);
    let (films, summary, mut reasons) = (films?, summary?, reasons);
    if let (Some(reasons), Some(user)) = (&mut reasons, asked.user) {
        let recommended = films.films.iter().filter(|film| film.is_recommended);
        let recommended: Vec<_> = recommended.map(|film| &film.id).collect();
        look_further(app, user, reasons, &recommended).await;
    }
    let cards = films
        .films
        .iter()
        .map(|film| {
            let why = reasons
                .as_ref()
                .map(|reasons| reasons.of(&film.id))
                .unwrap_or_default();
            FilmCard::of_film(film, why)
        })
        .collect();
    let mut view = FilmsView::new(
        &summary,
        genre,
        cards,
        films.total,
        films.page,
        films.last_page(),
    )
    .without_recommendations(asked.user.is_some() && reasons.is_none());
    if films.total == 0 && (genre.is_empty() || summary.total == 0) {
        view = view.offering(summary.sample_size);
    }
    Ok(CachedPage::new(view, reasons.map(|reasons| reasons.total)))
}

/// The page that is asked for, or the last one if there are fewer.
async fn page(app: &AppState, asked: &Question) -> Result<FilmPage, Error> {
    let ask = |page| ListFilms {
        page,
        page_size: PAGE_SIZE,
        genre: asked.genre.clone(),
    };
    let films = app.catalog.ask(ask(asked.page), DEADLINE).await??;
    if films.films.is_empty() && films.total > 0 {
        return app.catalog.ask(ask(films.last_page()), DEADLINE).await?;
    }
    Ok(films)
}

/// POST `/sample`: loads well-known films into an empty catalogue.
pub(super) async fn load_sample(
    context: RequestContext,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let added = context
        .site
        .app
        .catalog
        .ask(
            LoadSample {
                user: context.visitor.user(),
            },
            SAMPLE_DEADLINE,
        )
        .await
        .map_err(Error::from)??;
    let done = match added {
        0 => "Nothing was added, for the catalogue is not empty.".to_owned(),
        _ => format!("{added} films were added."),
    };
    Ok(context.go_to("/", &done))
}
