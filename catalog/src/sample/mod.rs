//! A sample of well-known films for an empty catalog. All of it is added in one transaction, under ids that
//! follow from title and year, so that two catalogs cannot both add it.

use diesel::{
    QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use storage::DbConnection;

use crate::films::{FilmDraft, FilmFields, FilmId, Stamp, deleted, reading, writing};

/// Facts and descriptions, in the order in which the pages list them.
const FILMS: &str = include_str!("films.json");

#[derive(Debug, Deserialize)]
struct SampleFilm {
    title: String,
    year: String,
    genre: String,
    rating: String,
    description: String,
}

/// How many films the sample has.
pub fn count() -> usize {
    films().len()
}

/// Adds the sample's films if there is no film at all; answers how many were added. The films'
/// times of addition are a second apart, so that their order is the sample's.
///
/// # Errors
///
/// If the database fails.
pub fn load(conn: &mut DbConnection, stamp: impl Into<Stamp>) -> QueryResult<usize> {
    let stamp = stamp.into();
    if !reading::is_empty(conn)? {
        return Ok(0);
    }
    let films = films();
    let now = deleted::after_deletions(conn, stamp.now)?;
    let mut created_at = now;
    let mut drafts = Vec::with_capacity(films.len());
    for (id, draft) in &films {
        drafts.push((id, draft, created_at));
        created_at = created_at.minus_seconds(1);
    }
    match writing::create_all(conn, &drafts, Stamp { now, ..stamp }) {
        // Another catalog was quicker by a moment: it has all of them.
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => return Ok(0),
        outcome => outcome?,
    }
    Ok(films.len())
}

fn films() -> Vec<(FilmId, FilmDraft)> {
    let films: Vec<SampleFilm> = serde_json::from_str(FILMS).expect("a test reads the sample");
    films.into_iter().map(SampleFilm::draft).collect()
}

impl SampleFilm {
    /// The id follows from title and year, so that two catalogs cannot both load the sample.
    fn draft(self) -> (FilmId, FilmDraft) {
        let digest = Sha256::digest(format!("{} ({})", self.title, self.year));
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(digest)
            .for_each(|(byte, digest)| *byte = digest);
        let id = FilmId::from(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        let fields = FilmFields {
            title: self.title,
            description: self.description,
            genre: self.genre,
            rating: self.rating,
            release_year: self.year,
            external_ids: None,
        };
        (
            id,
            FilmDraft::parse(&fields).expect("a test checks the sample"),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const GENRES: &str = "Drama, Comedy, Crime, Science Fiction, Western, Horror, Romance, Noir, \
        Thriller, Adventure, Action, Animated, Musical, War, Fantasy, Mystery, Documentary, \
        Biography, Historical, Family, Silent";

    #[test]
    fn every_film_of_the_sample_is_valid_and_there_once() {
        let films: Vec<SampleFilm> = serde_json::from_str(FILMS).unwrap();
        assert!(films.len() >= 220);
        let known: Vec<&str> = GENRES.split(", ").collect();
        let mut seen = HashSet::new();
        for film in films {
            let title = film.title.clone();
            assert!(film.genre.split(", ").count() <= 3, "{title}");
            assert!(
                film.genre.split(", ").all(|genre| known.contains(&genre)),
                "{title}"
            );
            assert!(film.description.ends_with(['.', '?', '!']), "{title}");
            assert_eq!(film.year.len(), 4, "{title}");
            assert!(film.rating.parse::<f32>().is_ok(), "{title}");
            let (id, draft) = film.draft();
            assert_eq!(draft.title(), title);
            assert!(seen.insert(id), "{title}");
        }
    }
}
