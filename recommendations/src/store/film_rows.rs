//! Films as rows of their table: as one is read, as a new one is written, and as a known one is changed.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::FilmId;

use super::{
    films::{Film, FilmFacts},
    schema::films,
};

/// What is read of a film.
#[derive(Queryable, Selectable)]
#[diesel(table_name = films)]
pub(super) struct Row {
    film_id: String,
    title: String,
    description: String,
    genre: String,
    rating: f32,
    release_year: String,
    keywords: String,
    version: Option<i64>,
    deleted: bool,
    recommended_count: i64,
    stated: Option<bool>,
    is_rated: bool,
}

impl From<Row> for Film {
    fn from(row: Row) -> Self {
        Self {
            id: FilmId::stored(&row.film_id),
            facts: FilmFacts {
                title: row.title,
                description: row.description,
                genre: row.genre,
                rating: row.rating,
                // A row of an older release does not say so.
                is_rated: row.is_rated || row.rating > 0.0,
                release_year: row.release_year,
                // Only we write this column.
                keywords: serde_json::from_str(&row.keywords).unwrap_or_default(),
            },
            version: row.version,
            deleted: row.deleted,
            recommended_count: row.recommended_count,
            stated: row.stated,
        }
    }
}

/// The row of a film that is not known yet.
#[derive(Insertable)]
#[diesel(table_name = films, treat_none_as_default_value = false)]
pub(super) struct NewRow<'a> {
    film_id: &'a str,
    title: &'a str,
    description: &'a str,
    genre: &'a str,
    rating: f32,
    release_year: &'a str,
    keywords: String,
    version: Option<i64>,
    deleted: bool,
    recommended_count: i64,
    stated: Option<bool>,
    is_rated: bool,
    created_at: NaiveDateTime,
    updated_at: NaiveDateTime,
}

impl<'a> NewRow<'a> {
    pub(super) fn of(film: &'a Film, now: NaiveDateTime) -> Self {
        let facts = &film.facts;
        Self {
            film_id: film.id.as_str(),
            title: &facts.title,
            description: &facts.description,
            genre: &facts.genre,
            rating: facts.rating,
            release_year: &facts.release_year,
            // A list of texts is always JSON.
            keywords: serde_json::to_string(&facts.keywords).unwrap_or_default(),
            version: film.version,
            deleted: film.deleted,
            recommended_count: film.recommended_count,
            stated: film.stated,
            is_rated: facts.is_rated,
            created_at: now,
            updated_at: now,
        }
    }
}

impl super::NewRow for NewRow<'_> {
    fn size(&self) -> usize {
        self.description.len() + self.keywords.len() + 1_000
    }
}

/// What a row of a known film becomes.
#[derive(AsChangeset)]
#[diesel(table_name = films, treat_none_as_null = true)]
pub(super) struct Changed<'a> {
    title: &'a str,
    description: &'a str,
    genre: &'a str,
    rating: f32,
    release_year: &'a str,
    keywords: &'a str,
    version: Option<i64>,
    deleted: bool,
    recommended_count: i64,
    stated: Option<bool>,
    is_rated: bool,
    updated_at: NaiveDateTime,
}

impl<'a> Changed<'a> {
    pub(super) fn of(row: &'a NewRow<'a>) -> Self {
        Self {
            title: row.title,
            description: row.description,
            genre: row.genre,
            rating: row.rating,
            release_year: row.release_year,
            keywords: &row.keywords,
            version: row.version,
            deleted: row.deleted,
            recommended_count: row.recommended_count,
            stated: row.stated,
            is_rated: row.is_rated,
            updated_at: row.updated_at,
        }
    }
}
