//! Imports and external ids on the wire.

use proto::{UserId, recommendations as wire};

use super::catalog_service::exact_text;
use crate::{
    Error,
    actors::movie_repository::ImportFilms,
    films::{
        ExternalId, FieldErrors, FilmDraft, FilmFields, FilmId,
        importing::{Item, Outcome},
    },
};

/// How many movies a call imports at most.
const MAX_MOVIES: usize = 500;

/// The ids as the catalog has them.
pub(super) fn external_ids(ids: Vec<wire::ExternalId>) -> Vec<(String, String)> {
    ids.into_iter().map(|id| (id.source, id.value)).collect()
}

/// The ids as they are answered.
pub(super) fn told_ids(ids: Vec<ExternalId>) -> Vec<wire::ExternalId> {
    let told = |id: ExternalId| wire::ExternalId {
        source: id.source().to_owned(),
        value: id.value().to_owned(),
    };
    ids.into_iter().map(told).collect()
}

/// The id that a movie is to be found by.
pub(super) fn wanted(id: Option<wire::ExternalId>) -> Result<ExternalId, Error> {
    let id = id.unwrap_or_default();
    ExternalId::parse(&id.source, &id.value).map_err(Error::Invalid)
}

/// An import, of which some movies are refused already.
pub(super) struct Import {
    pub(super) films: ImportFilms,
    /// Why a movie of the request is refused, in their order; none for those that are among `films`.
    refused: Vec<Option<FieldErrors>>,
}

/// Reads an import.
pub(super) fn read(
    request: wire::ImportMoviesRequest,
    by: Option<UserId>,
) -> Result<Import, Error> {
    if request.movies.len() > MAX_MOVIES {
        let accepted = format!("an import has at most {MAX_MOVIES} movies; send several");
        return Err(Error::Invalid(accepted));
    }
    let mut items = Vec::with_capacity(request.movies.len());
    let mut refused = Vec::with_capacity(request.movies.len());
    for movie in request.movies {
        let draft = FilmDraft::parse(&FilmFields {
            title: movie.title,
            description: movie.description,
            genre: movie.genre,
            rating: exact_text(movie.rating),
            release_year: movie.release_year,
            external_ids: Some(external_ids(movie.external_ids)),
        });
        match draft {
            Ok(draft) => {
                let new_id = FilmId::new(rand::random());
                items.push(Item { draft, new_id });
                refused.push(None);
            }
            Err(errors) => refused.push(Some(errors)),
        }
    }
    let films = ImportFilms {
        items,
        match_titles: request.match_title_and_year,
        by,
    };
    Ok(Import { films, refused })
}

/// What became of the movies of a request.
pub(super) fn answer(
    refused: Vec<Option<FieldErrors>>,
    outcomes: Vec<Outcome>,
) -> wire::ImportMoviesResponse {
    let mut outcomes = outcomes.into_iter();
    let told = |refused: Option<FieldErrors>| match refused {
        Some(FieldErrors(errors)) => {
            let errors = errors.into_iter();
            refusal(errors.map(|error| (error.field, error.message)).collect())
        }
        None => told(outcomes.next()),
    };
    wire::ImportMoviesResponse {
        outcomes: refused.into_iter().map(told).collect(),
    }
}

impl Import {
    /// The movies that are to be imported, and what is to be said of the others.
    pub(super) fn split(self) -> (ImportFilms, Vec<Option<FieldErrors>>) {
        (self.films, self.refused)
    }
}

fn told(outcome: Option<Outcome>) -> wire::ImportOutcome {
    let done = |id: FilmId, result: wire::ImportResult| wire::ImportOutcome {
        id: id.to_string(),
        result: result.into(),
        errors: Vec::new(),
    };
    match outcome {
        Some(Outcome::Created(id)) => done(id, wire::ImportResult::Created),
        Some(Outcome::Updated(id)) => done(id, wire::ImportResult::Updated),
        Some(Outcome::Unchanged(id)) => done(id, wire::ImportResult::Unchanged),
        Some(Outcome::Refused(reason)) => refusal(vec![("external_ids", reason)]),
        None => wire::ImportOutcome::default(),
    }
}

fn refusal(errors: Vec<(&str, String)>) -> wire::ImportOutcome {
    let errors = errors
        .into_iter()
        .map(|(field, message)| wire::ImportError {
            field: field.to_owned(),
            message,
        });
    wire::ImportOutcome {
        id: String::new(),
        result: wire::ImportResult::Refused.into(),
        errors: errors.collect(),
    }
}
