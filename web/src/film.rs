//! One film: looked at, added, edited, deleted, and brought back.
//!
//! A form that adds a film holds the film's id, so that it adds one film however often it is sent. A form
//! that edits one holds the version that was read, so that no editor overwrites what they have not seen.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, http::StatusCode};
use chrono::NaiveDateTime;
use proto::FilmId;
use sha2::{Digest, Sha256};

use super::{
    assets, covers,
    flash::Flash,
    form::Form,
    marks,
    page_error::PageError,
    request_context::{DEADLINE, RequestContext},
    url,
    views::{FilmFormView, FilmView, Place, genre_names, title_and_year},
};
use crate::{
    Error,
    actors::catalog_gateway::{
        CreateFilm, DeleteFilm, ExternalIds, Film, FilmFields, GetFilm, GetSummary, RestoreFilm,
        UpdateFilm,
    },
};

/// The id in the address of a film.
pub(super) struct InPath(pub(super) FilmId);

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
        ready(id.map(Self).ok_or(PageError::Service(Error::NotFound)))
    }
}

/// GET `/movie/<id>`.
pub(super) async fn show(
    context: RequestContext,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let known = async {
        let user = context.visitor.user()?;
        marks::of_films(&context.site.app, user, vec![id.clone()]).await
    };
    let (film, known) = futures::join!(get(&context, &id), known);
    let why = known.as_ref().map(|known| marks::why(known, &id));
    let mut film = film?;
    // Right after an edit the catalog's flag may still be that of before, so the page gives the user's own reasons only.
    film.is_recommended &= !context.is_told_something();
    let view = FilmView::new(&film, why.unwrap_or_default());
    let recommended = known.map(|known| known.counts);
    context.show(
        StatusCode::OK,
        Place::Films,
        recommended,
        |templates, layout| templates.film(layout, &view),
    )
}

/// GET `/movie/new`.
pub(super) async fn new_form(context: RequestContext) -> Result<HttpResponse, PageError> {
    let genres = genres(&context).await;
    let view = FilmFormView::to_add(&FilmFields::default(), new_id(), genres);
    show_form(&context, StatusCode::OK, Place::New, &view).await
}

/// POST `/movie/new`.
pub(super) async fn create(context: RequestContext, form: Form) -> Result<HttpResponse, PageError> {
    let fields = fields(&form);
    let id = id_of(&form);
    let is_typed = id.is_some();
    let create = CreateFilm {
        person: context.visitor.person(),
        fields: fields.clone(),
        // Scripts of old deployments add what they are told to, each time.
        refuse_same: id.is_some() && !is_meant_twice(&form),
        id,
        external_ids: ExternalIds::new(),
    };
    let created = context.site.app.catalog.ask(create, DEADLINE).await;
    match created.unwrap_or_else(|e| Err(e.into())) {
        Ok(film) => {
            // Scripts of old deployments expect to come back to the list.
            let next = if is_typed {
                url::film(&film.id)
            } else {
                "/".into()
            };
            Ok(context.go_to(&next, format!("{} was added.", film.title)))
        }
        Err(error) => {
            let genres = genres(&context).await;
            let id = match error {
                Error::FormUsed => None,
                _ => form.get("id").map(str::to_owned),
            };
            let view = FilmFormView::to_add(&fields, id.unwrap_or_else(new_id), genres);
            show_again(&context, Place::New, view, error).await
        }
    }
}

/// GET `/movie/<id>/edit`.
pub(super) async fn edit_form(
    context: RequestContext,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let film = get(&context, &id).await?;
    let view = FilmFormView::to_edit(&film, &said_of(&film), genres(&context).await);
    show_form(&context, StatusCode::OK, Place::Films, &view).await
}

/// POST `/movie/<id>/edit`.
pub(super) async fn update(
    context: RequestContext,
    InPath(id): InPath,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let fields = fields(&form);
    let update = UpdateFilm {
        person: context.visitor.person(),
        id: id.clone(),
        fields: fields.clone(),
        external_ids: None,
        expected_version: version(&form),
        // Scripts of old deployments do what they are told to.
        refuse_same: form.get("csrf").is_some() && !is_meant_twice(&form),
    };
    let updated = context.site.app.catalog.ask(update, DEADLINE).await;
    let error = match updated.unwrap_or_else(|e| Err(e.into())) {
        Ok(film) => {
            let done = format!("{} was edited.", film.title);
            return Ok(context.go_to(&url::film(&id), done));
        }
        Err(error) => error,
    };
    let genres = genres(&context).await;
    match (error, get(&context, &id).await) {
        (Error::NotFound, _) | (_, Err(Error::NotFound)) => {
            let sentence = "This film was deleted while you were typing. What you typed is still here: add it as a new film.";
            let view = FilmFormView::to_add(&fields, new_id(), genres).failed(sentence.to_owned());
            show_form(&context, StatusCode::NOT_FOUND, Place::New, &view).await
        }
        (Error::VersionDiffers, Ok(now)) => {
            let view = FilmFormView::to_edit(&now, &fields, genres).conflicting(&said_of(&now));
            show_form(&context, StatusCode::CONFLICT, Place::Films, &view).await
        }
        (error, film) => {
            let mut film = film.unwrap_or_else(|_| unknown(id, &fields));
            // What was saved meanwhile is not shown: sent again, the form still is an edit of what was read first.
            film.version = version(&form);
            let view = FilmFormView::to_edit(&film, &fields, genres);
            show_again(&context, Place::Films, view, error).await
        }
    }
}

/// POST `/movie/<id>/delete`.
pub(super) async fn delete(
    context: RequestContext,
    InPath(id): InPath,
    _: Form,
) -> Result<HttpResponse, PageError> {
    let film = get(&context, &id).await?;
    let person = context.visitor.person();
    let deleted = context
        .site
        .app
        .catalog
        .ask(DeleteFilm { person, id }, DEADLINE);
    deleted.await.map_err(Error::from)??;
    let done = Flash::Deleted {
        id: film.id.to_string(),
        title: film.title,
    };
    Ok(context.go_to("/", done))
}

/// POST `/movie/<id>/restore`: undoes a deletion.
pub(super) async fn restore(
    context: RequestContext,
    InPath(id): InPath,
    form: Form,
) -> Result<HttpResponse, PageError> {
    let restore = RestoreFilm {
        person: context.visitor.person(),
        id: id.clone(),
        refuse_same: form.get("another").is_none(),
    };
    let restored = context.site.app.catalog.ask(restore, DEADLINE).await;
    match restored.map_err(Error::from)? {
        Err(Error::SameTitleAndYear(same)) => {
            let ask = Flash::Twice { id: id.to_string() };
            Ok(context.go_to(&url::film(&same), ask))
        }
        restored => {
            let film = restored?;
            let done = format!("{} is back.", film.title);
            Ok(context.go_to(&url::film(&film.id), done))
        }
    }
}

/// GET `/movie/<id>/cover.svg`.
pub(super) async fn cover(
    context: RequestContext,
    request: HttpRequest,
    InPath(id): InPath,
) -> Result<HttpResponse, PageError> {
    let Film {
        title,
        release_year,
        genre,
        ..
    } = get(&context, &id).await?;
    let version = covers::version(&title, &release_year, &genre);
    let draw = || covers::cover(&title, &release_year, &genre);
    Ok(assets::versioned(&request, &version, "image/svg+xml", draw))
}

async fn get(context: &RequestContext, id: &FilmId) -> Result<Film, Error> {
    let catalog = &context.site.app.catalog;
    catalog.ask(GetFilm(id.clone()), DEADLINE).await?
}

/// The genres that there are, to choose from while typing; none if they cannot be had.
async fn genres(context: &RequestContext) -> Vec<String> {
    match context.site.app.catalog.ask(GetSummary, DEADLINE).await {
        Ok(Ok(summary)) => genre_names(&summary),
        _ => Vec::new(),
    }
}

/// The id for the film that a form will add.
fn new_id() -> String {
    FilmId::new(rand::random()).to_string()
}

/// The id of the film that a form adds, the same however often it is sent; nothing for a script, whose
/// form has no token. A form that holds no id of its own has one that follows from what it says.
fn id_of(form: &Form) -> Option<FilmId> {
    let token = form.get("csrf")?;
    if let Some(id) = form.get("id") {
        return id.parse().ok();
    }
    let mut digest = Sha256::new();
    for field in [token, &format!("{:?}", fields(form)), &form.text("another")] {
        digest.update(field.as_bytes());
        digest.update([0]);
    }
    let random = digest
        .finalize()
        .iter()
        .take(16)
        .fold(0, |id, byte| (id << 8) | u128::from(*byte));
    Some(FilmId::new(random))
}

/// Whether the form agrees to a second film of this title and year, and not of those that it had before it was changed.
fn is_meant_twice(form: &Form) -> bool {
    let fields = title_and_year(&form.text("title"), &form.text("release_year"));
    form.get("another") == Some(fields.as_str())
}

/// The version that a form edits.
fn version(form: &Form) -> Option<i64> {
    form.get("version")?.parse().ok()
}

fn said_of(film: &Film) -> FilmFields {
    FilmFields {
        title: film.title.clone(),
        description: film.description.clone(),
        genre: film.genre.clone(),
        rating: film
            .rating
            .map(|rating| rating.to_string())
            .unwrap_or_default(),
        release_year: film.release_year.clone(),
    }
}

/// What stands for a film that cannot be read now, around the form that holds what was typed.
fn unknown(id: FilmId, fields: &FilmFields) -> Film {
    Film {
        id,
        title: fields.title.clone(),
        description: String::new(),
        genre: String::new(),
        rating: None,
        release_year: String::new(),
        created_at: NaiveDateTime::default(),
        updated_at: NaiveDateTime::default(),
        is_recommended: false,
        version: None,
        external_ids: ExternalIds::new(),
    }
}

fn fields(form: &Form) -> FilmFields {
    FilmFields {
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
    error: Error,
) -> Result<HttpResponse, PageError> {
    let (status, view) = match error {
        Error::Fields(errors) => (StatusCode::UNPROCESSABLE_ENTITY, view.refused(&errors)),
        Error::SameTitleAndYear(same) => (StatusCode::CONFLICT, view.asking(&same)),
        Error::FormUsed => {
            let sentence = "This form has added a film before, which says something else now or was deleted. \
                What you typed is still here: send it again to add another film.";
            (StatusCode::CONFLICT, view.failed(sentence.to_owned()))
        }
        error => {
            error.log();
            let sentence = match error {
                Error::Full => {
                    "The film was not kept, for the disk is full. What you typed is still here: \
                    send it again when the operator of this Marquee has made room."
                }
                _ => {
                    "The film may not have been kept, for a part of Marquee did not answer. \
                    What you typed is still here: look whether the film is there, and if not, send it again."
                }
            };
            (error.status(), view.failed(sentence.to_owned()))
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
