//! Films as they are on the wire, turned into those of the pages; and ratings as people type them.

use chrono::{DateTime, NaiveDateTime};
use proto::recommendations as wire;

use super::{ExternalIds, Film, ImportOutcome, ImportedFilm};
use crate::error::FieldError;

/// The film that a message tells of; nothing if its id is none.
pub(super) fn film(movie: wire::Movie) -> Option<Film> {
    Some(Film {
        id: movie.id.parse().ok()?,
        // On the wire 0 alone stands for no rating.
        rating: movie
            .exact_rating
            .or_else(|| (movie.rating > 0.0).then_some(movie.rating)),
        title: movie.title,
        description: movie.description,
        genre: movie.genre,
        release_year: movie.release_year,
        created_at: time(&movie.created_at),
        updated_at: time(&movie.updated_at),
        is_recommended: movie.is_recommended.unwrap_or_default(),
        version: movie.version,
        external_ids: movie
            .external_ids
            .into_iter()
            .map(|id| (id.source, id.value))
            .collect(),
    })
}

/// Ids elsewhere as they are on the wire.
pub(super) fn external_ids(ids: ExternalIds) -> Vec<wire::ExternalId> {
    let ids = ids.into_iter();
    ids.map(|(source, value)| wire::ExternalId { source, value })
        .collect()
}

/// A film to import as it is on the wire.
pub(super) fn imported(film: ImportedFilm) -> wire::ImportedMovie {
    wire::ImportedMovie {
        title: film.title,
        description: film.description,
        genre: film.genre,
        rating: film.rating,
        release_year: film.release_year,
        external_ids: external_ids(film.external_ids),
    }
}

/// What became of a film; nothing if the message says nothing that is known.
pub(super) fn outcome(outcome: wire::ImportOutcome) -> Option<ImportOutcome> {
    let result = outcome.result();
    let id = || outcome.id.parse().ok();
    Some(match result {
        wire::ImportResult::Created => ImportOutcome::Created(id()?),
        wire::ImportResult::Updated => ImportOutcome::Updated(id()?),
        wire::ImportResult::Unchanged => ImportOutcome::Unchanged(id()?),
        wire::ImportResult::Refused => {
            let errors = outcome.errors.into_iter().map(|error| FieldError {
                field: error.field,
                message: error.message,
            });
            ImportOutcome::Refused(errors.collect())
        }
        wire::ImportResult::Unspecified => return None,
    })
}

fn time(text: &str) -> NaiveDateTime {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.naive_utc())
        .unwrap_or_default()
}

/// Reads a rating with a decimal point or, as much of the world writes it, a comma. A text that is no
/// number becomes NaN, which the catalog refuses beside the other fields.
pub(super) fn rating(typed: &str) -> Option<f64> {
    let typed: String = typed.trim().chars().filter(|c| !c.is_control()).collect();
    if typed.is_empty() {
        return None;
    }
    let number = typed.replacen(',', ".", 1);
    // Rust reads more than people mean: `inf`, `nan`, `1e1`.
    let plain = number.len() <= 20 && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    Some(number.parse().ok().filter(|_| plain).unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_is_a_plain_number_or_none_or_refused() {
        for (typed, expected) in [
            ("0", 0.0),
            ("7.5", 7.5),
            (" 7,5 ", 7.5),
            (".5", 0.5),
            ("010", 10.0),
            ("11", 11.0),
        ] {
            assert_eq!(rating(typed), Some(expected), "{typed}");
        }
        for typed in ["", "  ", "\0"] {
            assert_eq!(rating(typed), None, "{typed}");
        }
        for typed in [
            "-1", "NaN", "inf", "1e1", "five", "1.2.3", "1,2,3", "+5", ".",
        ] {
            assert!(rating(typed).is_some_and(f64::is_nan), "{typed}");
        }
    }

    #[test]
    fn a_rating_of_0_is_a_rating_and_an_older_catalogs_0_is_none() {
        let movie = wire::Movie {
            id: "a".into(),
            ..wire::Movie::default()
        };
        assert_eq!(film(movie.clone()).unwrap().rating, None);
        let exact_rating = Some(0.0);
        let rated = wire::Movie {
            exact_rating,
            ..movie
        };
        assert_eq!(film(rated).unwrap().rating, Some(0.0));
    }
}
