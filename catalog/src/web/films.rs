//! The wall of all films.

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    error::PageError,
    form::Form,
    templates::Part,
    views::{FilmCard, FilmsView, PAGE_SIZE, Place},
    visit::{DEADLINE, Visit},
};
use crate::{
    Error,
    actors::movie_repository::{CatalogSummary, ListMovies, LoadSample},
    movies::MoviePage,
    sample,
};

/// The longest genre that is looked for, in characters: there is none longer.
const LONGEST_GENRE: usize = 100;
/// How long loading the sample may take.
const SAMPLE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// GET `/`: the films, newest first, of one genre or of all.
pub(super) async fn list(visit: Visit) -> Result<HttpResponse, PageError> {
    let genre: String = visit
        .parameter("genre")
        .trim()
        .chars()
        .take(LONGEST_GENRE)
        .collect();
    let summary = async { visit.site.app.movies.ask(CatalogSummary, DEADLINE).await? };
    let (films, summary, reasons) = futures::join!(page(&visit, &genre), summary, visit.reasons());
    let (films, summary, mut reasons) = (films?, summary?, reasons);
    if let Some(reasons) = &mut reasons {
        let recommended = films.movies.iter().filter(|movie| movie.is_recommended);
        let recommended: Vec<_> = recommended.map(|movie| &movie.id).collect();
        visit.look_further(reasons, &recommended).await;
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
        &genre,
        cards,
        films.total,
        films.page,
        films.last_page(),
    )
    .without_recommendations(reasons.is_none());
    if films.total == 0 && (genre.is_empty() || summary.total == 0) {
        view = view.offering(sample::count());
    }
    let part = Part::of(visit.wants_list_only());
    let recommended = reasons.map(|reasons| reasons.total);
    visit.show(
        StatusCode::OK,
        Place::Films,
        recommended,
        |templates, layout| templates.films(layout, &view, part),
    )
}

/// The page that is asked for, or the last one if there are fewer.
async fn page(visit: &Visit, genre: &str) -> Result<MoviePage, Error> {
    let genre = (!genre.is_empty()).then(|| genre.to_owned());
    let ask = |page| ListMovies {
        page,
        page_size: PAGE_SIZE,
        genre: genre.clone(),
    };
    let movies = &visit.site.app.movies;
    let films = movies.ask(ask(visit.page()), DEADLINE).await??;
    if films.movies.is_empty() && films.total > 0 {
        return movies.ask(ask(films.last_page()), DEADLINE).await?;
    }
    Ok(films)
}

/// POST `/sample`: loads well-known films into an empty catalogue.
pub(super) async fn load_sample(visit: Visit, _: Form) -> Result<HttpResponse, PageError> {
    let added = visit
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
    Ok(visit.go_to("/", &done))
}
