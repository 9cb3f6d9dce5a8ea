//! The list of all films, with the marks of those that are for the visitor.

use actix_web::{HttpResponse, http::StatusCode};
use proto::FilmId;

use super::{
    form::Form,
    marks,
    page_cache::ListKey,
    page_error::PageError,
    request_context::{DEADLINE, RequestContext},
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
    let key = ListKey {
        genre,
        page: context.page(),
    };
    let app = &context.site.app;
    let making = make(app, &key);
    let list = app
        .page_cache
        .list(key.clone(), &app.freshness, making)
        .await?;
    let user = context.visitor.user();
    let asking = marks::of_list(app, user, &list.films);
    let marks = app
        .page_cache
        .marks(user, &list, &app.freshness, asking)
        .await;
    if list.view.offers_sample() || context.is_told_something() {
        let view = list.view.marked(&marks);
        return context.show(
            StatusCode::OK,
            Place::Films,
            marks.total,
            |templates, layout| templates.films(layout, &view, part),
        );
    }
    context.show_list(&list, &marks, part)
}

/// Makes a list from what the catalog says now.
async fn make(
    app: &AppState,
    asked: &ListKey,
) -> Result<(FilmsView, Vec<(FilmId, bool)>), PageError> {
    let genre = asked.genre.as_str();
    let summary = async { app.catalog.ask(GetSummary, DEADLINE).await? };
    let (films, summary) = futures::join!(page(app, asked), summary);
    let (films, summary) = (films?, summary?);
    let places = films.films.iter().enumerate();
    let cards = places.map(|(place, film)| FilmCard::in_list(film, place));
    let mut view = FilmsView::new(
        &summary,
        genre,
        cards.collect(),
        films.total,
        films.page,
        films.last_page(),
    );
    if films.total == 0 && (genre.is_empty() || summary.total == 0) {
        view = view.offering(summary.sample_size);
    }
    let shown = films.films.into_iter();
    Ok((
        view,
        shown.map(|film| (film.id, film.is_recommended)).collect(),
    ))
}

/// The page that is asked for, or the last one if there are fewer.
async fn page(app: &AppState, asked: &ListKey) -> Result<FilmPage, Error> {
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
    Ok(context.go_to("/", done))
}
