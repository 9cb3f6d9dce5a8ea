//! One film: looked at, added, edited, deleted.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode};

use super::{
    assets, covers,
    error::PageError,
    form::Form,
    request_context::{DEADLINE, RequestContext, look_further},
    url,
    views::{FilmFormView, FilmView, Place, genre_names},
};
use crate::{
    Error,
    actors::movie_repository::{CatalogSummary, CreateMovie, DeleteMovie, GetMovie, UpdateMovie},
    movies::{FieldErrors, FilmId, Movie, MovieDraft, MovieFields},
};

/// The id in the address of a film.
pub(super) struct InPath(FilmId);

impl FromRequest for InPath {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // actix-web has decoded all but `%`, `/` and `+`; decoding the rest now decodes nothing twice.
        let id = request
            .match_info()
            .get("id")
            .and_then(url::decode)
            .and_then(|id| id.parse().ok());
        ready(id.map(Self).ok_or(PageError::Catalog(Error::NotFound)))
    }
}

/// GET `/movie/<id>`.
pub(super) async fn show(
    context: RequestContext,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let (movie, mut reasons) = futures::join!(get(&context, &id), context.reasons());
    let movie = movie?;
    if let Some(reasons) = reasons.as_mut().filter(|_| movie.is_recommended) {
        look_further(&context.site.app, context.user, reasons, &[&id]).await;
    }
    let why = reasons.as_ref().map(|reasons| reasons.of(&id));
    let view = FilmView::new(&movie, why.unwrap_or_default());
    let recommended = reasons.map(|reasons| reasons.total);
    context.show(
        StatusCode::OK,
        Place::Films,
        recommended,
        |templates, layout| templates.film(layout, &view),
    )
}

/// GET `/movie/new`.
pub(super) async fn new_form(context: RequestContext) -> Result<HttpResponse, PageError> {
    let view = FilmFormView::to_add(&MovieFields::default(), genres(&context).await);
    show_form(&context, StatusCode::OK, Place::New, &view).await
}

/// POST `/movie/new`.
pub(super) async fn create(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let fields = fields(&form);
    let outcome = match MovieDraft::parse(&fields) {
        Ok(draft) => context
            .site
            .app
            .movies
            .ask(CreateMovie(draft), DEADLINE)
            .await
            .unwrap_or_else(|e| Err(e.into()))
            .map_err(NotKept::Failed),
        Err(errors) => Err(NotKept::Refused(errors)),
    };
    match outcome {
        Ok(movie) => Ok(context.go_to("/", &format!("{} was added.", movie.title))),
        Err(why) => {
            let view = FilmFormView::to_add(&fields, genres(&context).await);
            show_again(&context, Place::New, view, why).await
        }
    }
}

/// GET `/movie/<id>/edit`.
pub(super) async fn edit_form(
    context: RequestContext,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let movie = get(&context, &id).await?;
    let fields = MovieFields {
        title: movie.title.clone(),
        description: movie.description.clone(),
        genre: movie.genre.clone(),
        rating: movie
            .rating
            .map(|rating| rating.to_string())
            .unwrap_or_default(),
        release_year: movie.release_year.clone(),
    };
    let view = FilmFormView::to_edit(&movie, &fields, genres(&context).await);
    show_form(&context, StatusCode::OK, Place::Films, &view).await
}

/// POST `/movie/<id>/edit`.
pub(super) async fn update(
    context: RequestContext,
    InPath(id): InPath,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let before = get(&context, &id).await?;
    let fields = fields(&form);
    let outcome = match MovieDraft::parse(&fields) {
        Ok(draft) => {
            let ask = UpdateMovie(id.clone(), draft);
            context
                .site
                .app
                .movies
                .ask(ask, DEADLINE)
                .await
                .unwrap_or_else(|e| Err(e.into()))
                .map_err(NotKept::Failed)
        }
        Err(errors) => Err(NotKept::Refused(errors)),
    };
    match outcome {
        Ok(movie) => Ok(context.go_to(&url::film(&id), &format!("{} was edited.", movie.title))),
        Err(why) => {
            let view = FilmFormView::to_edit(&before, &fields, genres(&context).await);
            show_again(&context, Place::Films, view, why).await
        }
    }
}

/// POST `/movie/<id>/delete`.
pub(super) async fn delete(
    context: RequestContext,
    InPath(id): InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let movie = get(&context, &id).await?;
    context
        .site
        .app
        .movies
        .ask(DeleteMovie(id), DEADLINE)
        .await
        .map_err(Error::from)??;
    Ok(context.go_to("/", &format!("{} was deleted.", movie.title)))
}

/// GET `/movie/<id>/cover.svg`.
pub(super) async fn cover(
    context: RequestContext,
    request: HttpRequest,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let Movie {
        title,
        release_year,
        genre,
        ..
    } = get(&context, &id).await?;
    let version = covers::version(&title, &release_year, &genre);
    let draw = || covers::cover(&title, &release_year, &genre);
    Ok(assets::versioned(&request, &version, "image/svg+xml", draw))
}

/// Why a film that was typed in was not kept.
enum NotKept {
    Refused(FieldErrors),
    Failed(Error),
}

async fn get(context: &RequestContext, id: &FilmId) -> Result<Movie, Error> {
    context
        .site
        .app
        .movies
        .ask(GetMovie(id.clone()), DEADLINE)
        .await?
}

/// The genres that there are, to choose from while typing; none if they cannot be had.
async fn genres(context: &RequestContext) -> Vec<String> {
    match context.site.app.movies.ask(CatalogSummary, DEADLINE).await {
        Ok(Ok(summary)) => genre_names(&summary),
        _ => Vec::new(),
    }
}

fn fields(form: &Form) -> MovieFields {
    MovieFields {
        title: form.text("title"),
        description: form.text("description"),
        genre: form.text("genre"),
        rating: form.text("rating"),
        release_year: form.text("release_year"),
    }
}

/// Shows a form again with what was typed and why it was not kept.
async fn show_again(
    context: &RequestContext,
    place: Place,
    view: FilmFormView,
    why: NotKept,
) -> Result<HttpResponse, PageError> {
    let (status, view) = match why {
        NotKept::Refused(errors) => (StatusCode::UNPROCESSABLE_ENTITY, view.refused(&errors)),
        // What was typed is of no use where the film is gone.
        NotKept::Failed(error @ Error::NotFound) => return Err(error.into()),
        NotKept::Failed(error) => {
            error.log();
            let sentence = match error {
                Error::Full => {
                    "The film was not kept, for the disk is full. What you typed is still here: \
                    send it again when whoever looks after this Marquee has made room."
                }
                _ => {
                    "The film may not have been kept, for a part of Marquee did not answer. \
                    What you typed is still here: look whether the film is there, and if not, send it again."
                }
            };
            (error.codes().0, view.failed(sentence.to_owned()))
        }
    };
    show_form(context, status, place, &view).await
}

async fn show_form(
    context: &RequestContext,
    status: StatusCode,
    place: Place,
    view: &FilmFormView,
) -> Result<HttpResponse, PageError> {
    let recommended = context.recommended_count().await;
    context.show(status, place, recommended, |templates, layout| {
        templates.film_form(layout, view)
    })
}
