//! What requests may say.

use proto::{
    FilmId, UserId,
    recommendations::{FilmUpdate, FindFilmsRequest, RecommendationsRequest},
};

use crate::{
    error::Error,
    matching::Keyword,
    store::{
        films::FilmFacts,
        versions::{is_beyond, now},
    },
};

const DEFAULT_RESULTS: i64 = 20;
const MAX_RESULTS: i64 = 1_000;
const MAX_STATUS_IDS: usize = 1_000;
const MAX_MARKED: usize = 100;
const DEFAULT_FOUND: usize = 20;
const MAX_FOUND: usize = 100;
const MAX_TITLE_CHARS: usize = 255;
/// What an old catalog's 65,535 bytes of latin1 may come to in UTF-8.
const MAX_DESCRIPTION_BYTES: usize = 3 * 65_535;
const MAX_GENRE_CHARS: usize = 100;
const MAX_YEAR_CHARS: usize = 4;
const MAX_KEYWORD_BYTES: usize = 256 * 1024;

/// A page of a user's recommendations.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) offset: i64,
    pub(super) limit: i64,
}

impl Page {
    pub(super) fn read(request: &RecommendationsRequest) -> Result<Self, Error> {
        if request.max_results < 0 {
            return Err(invalid(format!(
                "max_results must be from 1 to {MAX_RESULTS}, or 0 for {DEFAULT_RESULTS}"
            )));
        }
        if request.offset < 0 {
            return Err(invalid("offset must be 0 or more"));
        }
        let limit = match i64::from(request.max_results) {
            0 => DEFAULT_RESULTS,
            asked => asked.min(MAX_RESULTS),
        };
        Ok(Self {
            offset: request.offset.into(),
            limit,
        })
    }
}

/// Which of the films that a keyword matches are asked for: how many are passed over, and how many
/// are answered.
pub(super) fn found_page(request: &FindFilmsRequest) -> Result<(usize, usize), Error> {
    let offset =
        usize::try_from(request.offset).map_err(|_| invalid("offset must be 0 or more"))?;
    let limit = match usize::try_from(request.max_results) {
        Ok(0) => DEFAULT_FOUND,
        Ok(asked) => asked.min(MAX_FOUND),
        Err(_) => {
            return Err(invalid(format!(
                "max_results must be from 1 to {MAX_FOUND}, or 0 for {DEFAULT_FOUND}"
            )));
        }
    };
    Ok((offset, limit))
}

/// The user whom a request names as text, as old clients do.
pub(super) fn user_of_text(text: &str) -> Result<UserId, Error> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid("Invalid user_id format. Must be an integer."));
    }
    user(text.parse().map_err(|_| user_out_of_range())?)
}

pub(super) fn user(user: i32) -> Result<UserId, Error> {
    if user < 0 {
        return Err(user_out_of_range());
    }
    Ok(UserId(user))
}

pub(super) fn keyword(text: &str) -> Result<Keyword, Error> {
    Keyword::parse(text).map_err(|error| invalid(error.to_string()))
}

/// A keyword that may be stored: also what older deployments accepted.
pub(super) fn stored_keyword(text: &str) -> Result<&str, Error> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 255 {
        return Err(invalid("keyword must have 1 to 255 characters"));
    }
    Ok(text)
}

/// The films of which a client asks whether they are recommended.
pub(super) fn film_ids(ids: &[String]) -> Result<Vec<FilmId>, Error> {
    if ids.len() > MAX_MARKED {
        return Err(invalid(format!(
            "at most {MAX_MARKED} films may be asked for"
        )));
    }
    ids.iter().map(|id| film_id(id)).collect()
}

pub(super) fn film_id(id: &str) -> Result<FilmId, Error> {
    let sentence = "film_id must have 1 to 36 characters, without white space";
    id.parse().map_err(|_| invalid(sentence))
}

/// The version of a film, which its catalog takes from a clock: one far ahead of ours would keep
/// every later change of the film out.
pub(super) fn version(version: Option<i64>) -> Result<Option<i64>, Error> {
    match version {
        Some(version) if is_beyond(version, now()) => Err(invalid(
            "version must be microseconds since 1970, at most a day ahead of the clock",
        )),
        version => Ok(version),
    }
}

/// Checks how many films a question about their status names; ids that cannot be are not known.
pub(super) fn status_ids(ids: &[String]) -> Result<(), Error> {
    if ids.len() > MAX_STATUS_IDS {
        return Err(invalid(format!(
            "film_ids must be at most {MAX_STATUS_IDS}"
        )));
    }
    Ok(())
}

pub(super) fn film_facts(film: FilmUpdate) -> Result<FilmFacts, Error> {
    for (field, text, most) in [
        ("title", &film.title, MAX_TITLE_CHARS),
        ("genre", &film.genre, MAX_GENRE_CHARS),
        ("release_year", &film.release_year, MAX_YEAR_CHARS),
    ] {
        if text.chars().count() > most {
            return Err(invalid(format!(
                "{field} must have at most {most} characters"
            )));
        }
    }
    if film.description.len() > MAX_DESCRIPTION_BYTES {
        return Err(invalid(format!(
            "description must have at most {MAX_DESCRIPTION_BYTES} bytes of UTF-8"
        )));
    }
    let bytes: usize = film.keywords.iter().map(|word| word.len() + 8).sum();
    if bytes > MAX_KEYWORD_BYTES {
        return Err(invalid(format!(
            "keywords must have at most {MAX_KEYWORD_BYTES} bytes together, each counted with 8 more"
        )));
    }
    let rating = film.exact_rating.unwrap_or(film.rating) as f32;
    if !rating.is_finite() {
        return Err(invalid("rating must be a finite number"));
    }
    Ok(FilmFacts {
        title: film.title,
        description: film.description,
        genre: film.genre,
        rating,
        is_rated: film.exact_rating.is_some() || rating > 0.0,
        release_year: film.release_year,
        keywords: film.keywords,
    })
}

fn user_out_of_range() -> Error {
    invalid(format!("user_id must be from 0 to {}", i32::MAX))
}

fn invalid(sentence: impl Into<String>) -> Error {
    Error::Invalid(sentence.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(max_results: i32, offset: i32) -> Result<Page, String> {
        let request = RecommendationsRequest {
            user_id: "7".into(),
            max_results,
            offset,
        };
        Page::read(&request).map_err(|error| error.to_string())
    }

    #[test]
    fn a_page_has_a_default_and_a_largest_size() {
        let expected = |limit| Ok(Page { offset: 3, limit });
        assert_eq!(page(0, 3), expected(20));
        assert_eq!(page(1, 3), expected(1));
        assert_eq!(page(i32::MAX, 3), expected(1_000));
        assert!(page(-1, 0).unwrap_err().contains("max_results"));
        assert!(page(0, -1).unwrap_err().contains("offset"));
    }

    #[test]
    fn a_user_is_an_integer_that_fits() {
        let user = |text| user_of_text(text).map_err(|error| error.to_string());
        for text in ["7", " +7 ", "007"] {
            assert_eq!(user(text), Ok(UserId(7)));
        }
        for text in ["", " ", "abc", "1.5", "1e3", "٣", "0x1", "--1", "+"] {
            let sentence = "Invalid user_id format. Must be an integer.";
            assert_eq!(user(text), Err(sentence.into()), "{text}");
        }
        for text in ["-1", "2147483648", "99999999999999999999999999"] {
            let sentence = "user_id must be from 0 to 2147483647";
            assert_eq!(user(text), Err(sentence.into()));
        }
    }

    #[test]
    fn a_film_fits_the_columns_or_is_refused() {
        let long = |chars: usize| "é".repeat(chars);
        let film = FilmUpdate {
            title: long(255),
            description: long(MAX_DESCRIPTION_BYTES / 2),
            genre: long(100),
            release_year: long(4),
            rating: 7.5,
            ..FilmUpdate::default()
        };
        assert!(film_facts(film.clone()).is_ok());
        type Edit = fn(&mut FilmUpdate);
        let edits: [(&str, Edit); 9] = [
            ("title", |film| film.title.push('x')),
            ("description", |film| film.description.push_str("xx")),
            ("genre", |film| film.genre.push('x')),
            ("release_year", |film| film.release_year.push('x')),
            ("keywords", |film| {
                film.keywords = vec![String::new(); 40_000]
            }),
            ("rating", |film| film.rating = f64::NAN),
            ("rating", |film| film.rating = 1e300),
            ("rating", |film| film.exact_rating = Some(f64::NAN)),
            ("rating", |film| film.exact_rating = Some(1e300)),
        ];
        for (field, edit) in edits {
            let mut film = film.clone();
            edit(&mut film);
            let sentence = film_facts(film).unwrap_err().to_string();
            assert!(sentence.starts_with(field), "{sentence}");
        }
        for id in ["", " ", "a b", "a\n", &long(37)] {
            assert!(film_id(id).is_err(), "{id}");
        }
        assert_eq!(film_id("f/1").unwrap().as_str(), "f/1");
    }
}
