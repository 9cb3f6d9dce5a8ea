//! The wall of all films.

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    error::PageError,
    form::Form,
    page_cache::{CachedPage, Question},
    request_context::{DEADLINE, RequestContext, look_further, reasons},
    templates::Part,
    views::{FilmCard, FilmsView, PAGE_SIZE, Place},
};
use crate::{
    AppState, Error,
    actors::movie_repository::{CatalogSummary, ListMovies, LoadSample},
    movies::MoviePage,
    sample,
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
        user: context.user,
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
    let summary = async { app.movies.ask(CatalogSummary, DEADLINE).await? };
    let (films, summary, reasons) =
        futures::join!(page(app, asked), summary, reasons(app, asked.user));
    let (films, summary, mut reasons) = (films?, summary?, reasons);
    if let Some(reasons) = &mut reasons {
        let recommended = films.movies.iter().filter(|movie| movie.is_recommended);
        let recommended: Vec<_> = recommended.map(|movie| &movie.id).collect();
        look_further(app, asked.user, reasons, &recommended).await;
    }
    let cards = films
        .movies
        .iter()
        .map(|movie| {
            let why = reasons
                .as_ref()
                .map(|reasons| reasons.of(&movie.id))
                .unwrap_or_default();
            FilmCard::of_movie(movie, why)
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
    .without_recommendations(reasons.is_none());
    if films.total == 0 && (genre.is_empty() || summary.total == 0) {
        view = view.offering(sample::count());
    }
    Ok(CachedPage::new(view, reasons.map(|reasons| reasons.total)))
}

/// The page that is asked for, or the last one if there are fewer.
async fn page(app: &AppState, asked: &Question) -> Result<MoviePage, Error> {
    let genre = (!asked.genre.is_empty()).then(|| asked.genre.clone());
    let ask = |page| ListMovies {
        page,
        page_size: PAGE_SIZE,
        genre: genre.clone(),
    };
    let films = app.movies.ask(ask(asked.page), DEADLINE).await??;
    if films.movies.is_empty() && films.total > 0 {
        return app.movies.ask(ask(films.last_page()), DEADLINE).await?;
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
        .movies
        .ask(LoadSample, SAMPLE_DEADLINE)
        .await
        .map_err(Error::from)??;
    let done = match added {
        0 => "Nothing was added, for the catalogue is not empty.".to_owned(),
        _ => format!("{added} films were added."),
    };
    Ok(context.go_to("/", &done))
}
