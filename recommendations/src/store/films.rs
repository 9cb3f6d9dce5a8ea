//! Films as their catalog last sent them.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::{BATCH, schema::films};
use crate::matching::{FilmText, FilmWords};

/// What a catalog says of a film.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FilmFacts {
    /// At most 255 characters.
    pub title: String,
    /// At most 65,535 bytes.
    pub description: String,
    /// At most 100 characters.
    pub genre: String,
    /// As the catalog rates it.
    pub rating: f32,
    /// At most four characters.
    pub release_year: String,
    /// Further words, from old catalogs.
    pub keywords: Vec<String>,
}

impl FilmFacts {
    /// The film's words, for matching.
    pub fn words(&self) -> FilmWords {
        FilmWords::of(&FilmText {
            title: &self.title,
            description: &self.description,
            genre: &self.genre,
            keywords: &self.keywords,
        })
    }

    /// Whether both look the same in a list of recommendations.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.title == other.title
            && self.description == other.description
            && self.genre == other.genre
            && self.rating == other.rating
            && self.release_year == other.release_year
    }
}

/// A film, or the tombstone of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its catalog's id for it.
    pub id: String,
    /// What its catalog last said.
    pub facts: FilmFacts,
    /// The highest version that was applied, if its catalog sends any.
    pub version: Option<i64>,
    /// Its catalog deleted it.
    pub deleted: bool,
    /// How many users it is recommended to.
    pub recommended_count: i64,
    /// The status that its last event told, if there was one.
    pub stated: Option<bool>,
}

impl Film {
    /// A film that was not known.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            facts: FilmFacts::default(),
            version: None,
            deleted: false,
            recommended_count: 0,
            stated: None,
        }
    }
}

/// The film `id`, deleted or not.
pub fn find(conn: &mut DbConnection, id: &str) -> QueryResult<Option<Film>> {
    let row = films::table.filter(films::film_id.eq(id));
    let row: Option<Row> =
        each_backend!(conn, |c| row.select(Row::as_select()).get_result(c)).optional()?;
    Ok(row.map(Film::from))
}

/// Those of the films `ids` that are known, deleted or not.
pub fn find_all(conn: &mut DbConnection, ids: &[String]) -> QueryResult<Vec<Film>> {
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let rows: Vec<Row> = films::table
            .filter(films::film_id.eq_any(ids))
            .select(Row::as_select())
            .load(conn)?;
        found.extend(rows.into_iter().map(Film::from));
    }
    Ok(found)
}

/// The first `limit` films that are not deleted, by id, after the id `after`.
pub fn page_after(conn: &mut DbConnection, after: &str, limit: i64) -> QueryResult<Vec<Film>> {
    let rows: Vec<Row> = films::table
        .filter(films::film_id.gt(after))
        .filter(films::deleted.eq(false))
        .order(films::film_id)
        .limit(limit)
        .select(Row::as_select())
        .load(conn)?;
    Ok(rows.into_iter().map(Film::from).collect())
}

/// Stores a film that was not known.
pub fn insert(conn: &mut DbConnection, film: &Film, now: NaiveDateTime) -> QueryResult<()> {
    let row = (
        NewRow::of(film),
        films::created_at.eq(now),
        films::updated_at.eq(now),
    );
    each_backend!(conn, |c| {
        diesel::insert_into(films::table).values(row).execute(c)
    })?;
    Ok(())
}

/// Stores a known film.
pub fn update(conn: &mut DbConnection, film: &Film, now: NaiveDateTime) -> QueryResult<()> {
    diesel::update(films::table.filter(films::film_id.eq(&film.id)))
        .set((NewRow::of(film), films::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Stores how many users each of the films `ids` is recommended to: `by` more than before.
pub fn add_recommended(conn: &mut DbConnection, ids: &[&str], by: i64) -> QueryResult<()> {
    for ids in ids.chunks(BATCH) {
        diesel::update(films::table.filter(films::film_id.eq_any(ids)))
            .set(films::recommended_count.eq(films::recommended_count + by))
            .execute(conn)?;
    }
    Ok(())
}

/// Stores that the last event of each of the films `ids` told `status`.
pub fn set_stated(conn: &mut DbConnection, ids: &[&str], status: bool) -> QueryResult<()> {
    for ids in ids.chunks(BATCH) {
        diesel::update(films::table.filter(films::film_id.eq_any(ids)))
            .set(films::stated.eq(status))
            .execute(conn)?;
    }
    Ok(())
}

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
}

impl From<Row> for Film {
    fn from(row: Row) -> Self {
        Self {
            id: row.film_id,
            facts: FilmFacts {
                title: row.title,
                description: row.description,
                genre: row.genre,
                rating: row.rating,
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

#[derive(Insertable, AsChangeset)]
#[diesel(table_name = films, primary_key(film_id), treat_none_as_null = true)]
struct NewRow<'a> {
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
}

impl<'a> NewRow<'a> {
    fn of(film: &'a Film) -> Self {
        let facts = &film.facts;
        Self {
            film_id: &film.id,
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
        }
    }
}
