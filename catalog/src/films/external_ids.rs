//! The ids that films have elsewhere, by which an import and other services find them: at most one of each source a film, and each
//! id at one film.

use std::collections::HashMap;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use storage::{DbConnection, each_backend};

use super::{
    FilmId,
    schema::film_external_ids::{self, dsl},
};

/// The sources that there are.
pub const SOURCES: [&str; 5] = ["imdb", "letterboxd", "movielens", "tmdb", "wikidata"];
/// The longest value, in characters; those of Letterboxd are made of titles.
const MAX_VALUE_CHARS: usize = 100;
/// How many ids one statement names at most.
const IDS_AT_ONCE: usize = 500;

/// An id that a film has elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExternalId {
    source: String,
    value: String,
}

impl ExternalId {
    /// Checks an id, and writes it as its source does: `TT0084787` and `0084787` of IMDb are `tt0084787`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is accepted.
    pub fn parse(source: &str, value: &str) -> Result<Self, String> {
        let source = source.trim().to_lowercase();
        let given = value.trim();
        let value = match source.as_str() {
            "imdb" => {
                let digits = given
                    .strip_prefix("tt")
                    .or_else(|| given.strip_prefix("TT"))
                    .unwrap_or(given);
                is_number(digits, 1..=10).then(|| format!("tt{digits:0>7}"))
            }
            "tmdb" | "movielens" => is_plain_number(given).then(|| given.to_owned()),
            "wikidata" => {
                let digits = given.strip_prefix(['Q', 'q']);
                let digits = digits.filter(|digits| is_plain_number(digits));
                digits.map(|digits| format!("Q{digits}"))
            }
            "letterboxd" => {
                let slug = given.to_lowercase();
                let allowed =
                    |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
                let fits = (1..=MAX_VALUE_CHARS).contains(&slug.len()) && slug.bytes().all(allowed);
                fits.then_some(slug)
            }
            _ => {
                let known = SOURCES.join(", ");
                return Err(format!("A source of ids is one of {known}."));
            }
        };
        let value = value.ok_or_else(|| match source.as_str() {
            "imdb" => "An id of imdb is tt and 7 to 10 digits, such as tt0084787.".to_owned(),
            "wikidata" => "An id of wikidata is Q and a number, such as Q210756.".to_owned(),
            "letterboxd" => format!(
                "An id of letterboxd is the name of the film in its address, such as the-thing, up to {MAX_VALUE_CHARS} characters."
            ),
            other => format!("An id of {other} is a number, such as 1091."),
        })?;
        Ok(Self { source, value })
    }

    /// Where the film has the id.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The id there.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Display for ExternalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.source, self.value)
    }
}

fn is_number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A number as it is usually written, so that one id is not two.
fn is_plain_number(text: &str) -> bool {
    is_number(text, 1..=10) && !text.starts_with('0')
}

/// Checks the ids of a film, which come sorted.
pub(super) fn parse_all(given: &[(String, String)]) -> Result<Vec<ExternalId>, String> {
    if given.len() > SOURCES.len() * 2 {
        return Err("A film has one id of each source.".into());
    }
    let mut ids = Vec::with_capacity(given.len());
    for (source, value) in given {
        ids.push(ExternalId::parse(source, value)?);
    }
    ids.sort_unstable();
    ids.dedup();
    let twice = ids.windows(2).find(|pair| match pair {
        [a, b] => a.source == b.source,
        _ => false,
    });
    match twice {
        Some([a, ..]) => Err(format!(
            "A film has one id of each source; {} is there twice.",
            a.source
        )),
        _ => Ok(ids),
    }
}

/// Film, source and value.
type Row = (String, String, String);

/// A row of the table as it is added.
#[derive(Insertable)]
#[diesel(table_name = film_external_ids)]
struct NewRow<'a> {
    film_id: &'a str,
    source: &'a str,
    value: &'a str,
}

/// The ids of one film, sorted.
pub(super) fn of_film(conn: &mut DbConnection, id: &str) -> QueryResult<Vec<ExternalId>> {
    let ids = of_films(conn, &[id.to_owned()])?.remove(id);
    Ok(ids.unwrap_or_default())
}

/// The ids of films, sorted.
pub(super) fn of_films(
    conn: &mut DbConnection,
    films: &[String],
) -> QueryResult<HashMap<String, Vec<ExternalId>>> {
    let mut found: HashMap<String, Vec<ExternalId>> = HashMap::new();
    for films in films.chunks(IDS_AT_ONCE) {
        let rows: Vec<Row> = dsl::film_external_ids
            .filter(dsl::film_id.eq_any(films))
            .select((dsl::film_id, dsl::source, dsl::value))
            .load(conn)?;
        for (film, source, value) in rows {
            let ids = found.entry(film).or_default();
            ids.push(ExternalId { source, value });
        }
    }
    found.values_mut().for_each(|ids| ids.sort_unstable());
    Ok(found)
}

/// Returns which films have the ids.
///
/// # Errors
///
/// If the database fails.
pub fn find(
    conn: &mut DbConnection,
    ids: &[ExternalId],
) -> QueryResult<HashMap<ExternalId, FilmId>> {
    let mut found = HashMap::new();
    let mut sources: Vec<&str> = ids.iter().map(ExternalId::source).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in sources {
        let values = ids.iter().filter(|id| id.source == source);
        let values: Vec<&str> = values.map(ExternalId::value).collect();
        for values in values.chunks(IDS_AT_ONCE) {
            let rows: Vec<Row> = dsl::film_external_ids
                .filter(dsl::source.eq(source).and(dsl::value.eq_any(values)))
                .select((dsl::film_id, dsl::source, dsl::value))
                .load(conn)?;
            for (film, source, value) in rows {
                let film = film
                    .parse()
                    .map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))?;
                found.insert(ExternalId { source, value }, film);
            }
        }
    }
    Ok(found)
}

/// Returns one of the ids that another film than `film` has, and that film.
///
/// # Errors
///
/// If the database fails.
pub fn taken(
    conn: &mut DbConnection,
    ids: &[ExternalId],
    film: &FilmId,
) -> QueryResult<Option<(ExternalId, FilmId)>> {
    let found = find(conn, ids)?;
    Ok(found.into_iter().find(|(_, other)| other != film))
}

/// Writes the ids of films that have none yet.
pub(super) fn insert<'a>(
    conn: &mut DbConnection,
    films: impl Iterator<Item = (&'a str, &'a [ExternalId])>,
) -> QueryResult<()> {
    let rows: Vec<NewRow<'_>> = films
        .flat_map(|(film_id, ids)| {
            ids.iter().map(move |id| NewRow {
                film_id,
                source: &id.source,
                value: &id.value,
            })
        })
        .collect();
    for rows in rows.chunks(IDS_AT_ONCE) {
        each_backend!(conn, |conn| diesel::insert_into(dsl::film_external_ids)
            .values(rows)
            .execute(conn))?;
    }
    Ok(())
}

/// Writes the ids of a film again.
pub(super) fn replace(conn: &mut DbConnection, film: &str, ids: &[ExternalId]) -> QueryResult<()> {
    diesel::delete(dsl::film_external_ids.filter(dsl::film_id.eq(film))).execute(conn)?;
    insert(conn, std::iter::once((film, ids)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_its_source_does() {
        for (source, given, expected) in [
            ("imdb", "tt0084787", "tt0084787"),
            ("IMDb", " TT0084787 ", "tt0084787"),
            ("imdb", "0084787", "tt0084787"),
            ("imdb", "84787", "tt0084787"),
            ("imdb", "tt10872600", "tt10872600"),
            ("tmdb", "1091", "1091"),
            ("movielens", "1", "1"),
            ("wikidata", "q210756", "Q210756"),
            ("letterboxd", "The-Thing", "the-thing"),
        ] {
            let id = ExternalId::parse(source, given).unwrap();
            assert_eq!(id.value(), expected, "{source} {given}");
        }
    }

    #[test]
    fn what_is_no_id_of_its_source_is_refused() {
        for (source, given) in [
            ("imdb", ""),
            ("imdb", "tt"),
            ("imdb", "nm0000118"),
            ("imdb", "tt12345678901"),
            ("imdb", "tt-1"),
            ("tmdb", "0"),
            ("tmdb", "01"),
            ("tmdb", "-1"),
            ("tmdb", "1.0"),
            ("movielens", "12345678901"),
            ("wikidata", "210756"),
            ("wikidata", "Q"),
            ("wikidata", "P31"),
            ("letterboxd", "the thing"),
            ("letterboxd", "a/b"),
            ("letterboxd", ""),
            ("netflix", "1"),
            ("", "1"),
        ] {
            assert!(
                ExternalId::parse(source, given).is_err(),
                "{source} {given}"
            );
        }
        assert!(ExternalId::parse("letterboxd", &"a".repeat(101)).is_err());
    }

    #[test]
    fn a_film_has_one_id_of_each_source() {
        let given = |ids: &[(&str, &str)]| {
            let ids: Vec<(String, String)> = ids
                .iter()
                .map(|(source, value)| ((*source).into(), (*value).into()))
                .collect();
            parse_all(&ids)
        };
        let ids = given(&[("tmdb", "1091"), ("imdb", "84787"), ("imdb", "tt0084787")]).unwrap();
        let values: Vec<_> = ids.iter().map(ExternalId::value).collect();
        assert_eq!(values, ["tt0084787", "1091"]);
        assert!(given(&[("tmdb", "1"), ("tmdb", "2")]).is_err());
        assert!(given(&[("tmdb", "1"); 11]).is_err());
    }
}
