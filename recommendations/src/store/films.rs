//! Films as their catalog last sent them.

use std::{collections::HashSet, sync::Arc};

use chrono::NaiveDateTime;
use diesel::{
    dsl::{DuplicatedKeys, sql},
    prelude::*,
    sql_types::{BigInt, Bool, Float, Nullable, Text, Timestamp},
};
use proto::FilmId;
use storage::{DbConnection, each_backend};

use super::{
    BATCH,
    film_rows::{Changed, NewRow, Row},
    schema::films,
    statements, texts,
};
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
    /// As the catalog rates it; 0 if it does not.
    pub rating: f32,
    /// Whether the catalog rates it, which `rating` cannot tell from 0.
    pub is_rated: bool,
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
            && self.is_rated == other.is_rated
            && self.release_year == other.release_year
    }
}

/// A film, or the tombstone of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its catalog's id for it.
    pub id: FilmId,
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
    pub fn new(id: FilmId) -> Self {
        Self {
            id,
            facts: FilmFacts::default(),
            version: None,
            deleted: false,
            recommended_count: 0,
            stated: None,
        }
    }

    /// Whether the film is recommended to any user, unless its last event said so.
    pub fn status_to_tell(&self) -> Option<bool> {
        let status = self.recommended_count > 0;
        let nothing_to_say = self.deleted && self.stated.is_none();
        (self.stated != Some(status) && !nothing_to_say).then_some(status)
    }
}

/// The film `id`, deleted or not.
pub fn find(conn: &mut DbConnection, id: &FilmId) -> QueryResult<Option<Film>> {
    let row = films::table.filter(films::film_id.eq(id.as_str()));
    let row: Option<Row> =
        each_backend!(conn, |c| row.select(Row::as_select()).get_result(c)).optional()?;
    Ok(row.map(Film::from))
}

/// Those of the films `ids` that are known, deleted or not.
pub fn find_all(conn: &mut DbConnection, ids: &[FilmId]) -> QueryResult<Vec<Film>> {
    let mut found = Vec::with_capacity(ids.len());
    if let DbConnection::Sqlite(conn) = conn {
        // Without a round trip, many runs of a prepared statement cost less than one of a new one.
        for id in ids {
            let row = films::table.filter(films::film_id.eq(id.as_str()));
            let row: Option<Row> = row.select(Row::as_select()).get_result(conn).optional()?;
            found.extend(row.map(Film::from));
        }
        return Ok(found);
    }
    for ids in ids.chunks(BATCH) {
        let rows: Vec<Row> = films::table
            .filter(films::film_id.eq_any(texts(ids)))
            .select(Row::as_select())
            .load(conn)?;
        found.extend(rows.into_iter().map(Film::from));
    }
    Ok(found)
}

/// Those of the films `ids` that are the newest, without the `offset` newest: at most `limit`.
///
/// Reads the time of each from the database, some 20 ms for 10,000 films.
pub fn newest_of(
    conn: &mut DbConnection,
    ids: &[Arc<str>],
    offset: usize,
    limit: usize,
) -> QueryResult<Vec<FilmId>> {
    let mut dated: Vec<(NaiveDateTime, String)> = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BATCH) {
        let rows: Vec<(NaiveDateTime, String)> = films::table
            .filter(films::film_id.eq_any(ids.iter().map(|id| &**id)))
            .select((films::created_at, films::film_id))
            .load(conn)?;
        dated.extend(rows);
    }
    dated.sort_unstable_by(|one, other| other.cmp(one));
    let page = dated.iter().skip(offset).take(limit);
    Ok(page.map(|(_, id)| FilmId::stored(id)).collect())
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

/// Those of the films `ids` that are recommended to any user.
pub fn recommended_of(conn: &mut DbConnection, ids: &[String]) -> QueryResult<HashSet<String>> {
    let mut recommended = HashSet::new();
    for ids in ids.chunks(BATCH) {
        let found: Vec<String> = films::table
            .filter(films::film_id.eq_any(ids))
            .filter(films::recommended_count.gt(0))
            .select(films::film_id)
            .load(conn)?;
        recommended.extend(found);
    }
    Ok(recommended)
}

/// Stores films, each with whether it is known already.
pub fn put(
    conn: &mut DbConnection,
    films: &[(&Film, bool)],
    now: NaiveDateTime,
) -> QueryResult<()> {
    match conn {
        DbConnection::Sqlite(conn) => {
            for (film, is_known) in films {
                let row = NewRow::of(film, now);
                if *is_known {
                    diesel::update(films::table.filter(films::film_id.eq(film.id.as_str())))
                        .set(Changed::of(&row))
                        .execute(conn)?;
                } else {
                    diesel::insert_into(films::table)
                        .values(row)
                        .execute(conn)?;
                }
            }
        }
        DbConnection::Mysql(conn) => {
            let rows: Vec<_> = films
                .iter()
                .map(|(film, _)| NewRow::of(film, now))
                .collect();
            for rows in statements(&rows) {
                diesel::insert_into(films::table)
                    .values(rows)
                    .on_conflict(DuplicatedKeys)
                    .do_update()
                    .set((
                        films::title.eq(sql::<Text>("VALUES(title)")),
                        films::description.eq(sql::<Text>("VALUES(description)")),
                        films::genre.eq(sql::<Text>("VALUES(genre)")),
                        films::rating.eq(sql::<Float>("VALUES(rating)")),
                        films::release_year.eq(sql::<Text>("VALUES(release_year)")),
                        films::keywords.eq(sql::<Text>("VALUES(keywords)")),
                        films::version.eq(sql::<Nullable<BigInt>>("VALUES(version)")),
                        films::deleted.eq(sql::<Bool>("VALUES(deleted)")),
                        films::recommended_count.eq(sql::<BigInt>("VALUES(recommended_count)")),
                        films::stated.eq(sql::<Nullable<Bool>>("VALUES(stated)")),
                        films::is_rated.eq(sql::<Bool>("VALUES(is_rated)")),
                        films::updated_at.eq(sql::<Timestamp>("VALUES(updated_at)")),
                    ))
                    .execute(conn)?;
            }
        }
    }
    Ok(())
}

/// Stores how many users each of the films `ids` is recommended to: `by` more than before.
pub fn add_recommended(conn: &mut DbConnection, ids: &[FilmId], by: i64) -> QueryResult<()> {
    for ids in ids.chunks(BATCH) {
        diesel::update(films::table.filter(films::film_id.eq_any(texts(ids))))
            .set(films::recommended_count.eq(films::recommended_count + by))
            .execute(conn)?;
    }
    Ok(())
}

/// Stores that the last event of each of the films `ids` told `status`.
pub fn set_stated(conn: &mut DbConnection, ids: &[FilmId], status: bool) -> QueryResult<()> {
    for ids in ids.chunks(BATCH) {
        diesel::update(films::table.filter(films::film_id.eq_any(texts(ids))))
            .set(films::stated.eq(status))
            .execute(conn)?;
    }
    Ok(())
}
