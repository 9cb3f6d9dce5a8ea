//! Queries that read films. Lists name ids from an index first and then read the films of one page.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::{dsl::count_star, prelude::*};
use proto::text::title_key;
use storage::{DbConnection, MultiBackend};

use super::{
    Film, FilmId, GenreFilter, external_ids,
    schema::{
        movie_genres,
        movies::dsl::{created_at, genre, id, movies, release_year, title},
    },
};

/// A row of the table, which an older deployment may have written.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = super::schema::movies)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) genre: Option<String>,
    pub(super) rating: Option<f32>,
    pub(super) release_year: Option<String>,
    pub(super) created_at: Option<NaiveDateTime>,
    pub(super) updated_at: Option<NaiveDateTime>,
    is_recommended: bool,
    version: i64,
}

impl TryFrom<Row> for Film {
    type Error = diesel::result::Error;

    fn try_from(row: Row) -> QueryResult<Self> {
        let film_id: FilmId = row
            .id
            .parse()
            .map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))?;
        Ok(Self {
            id: film_id,
            title: row.title,
            description: row.description.unwrap_or_default(),
            genre: row.genre.unwrap_or_default(),
            rating: row.rating.filter(|rating| rating.is_finite()),
            release_year: row.release_year.unwrap_or_default(),
            created_at: row.created_at.unwrap_or_default(),
            updated_at: row.updated_at.or(row.created_at).unwrap_or_default(),
            is_recommended: row.is_recommended,
            version: row.version,
            external_ids: Vec::new(),
        })
    }
}

/// Returns one film, if it exists.
///
/// # Errors
///
/// If the database fails.
pub fn get(conn: &mut DbConnection, film_id: &FilmId) -> QueryResult<Option<Film>> {
    let Some(row) = row(conn, film_id)? else {
        return Ok(None);
    };
    let mut film = Film::try_from(row)?;
    film.external_ids = external_ids::of_film(conn, film_id.as_str())?;
    Ok(Some(film))
}

pub(super) fn row(conn: &mut DbConnection, film_id: &FilmId) -> QueryResult<Option<Row>> {
    movies
        .find(film_id.as_str())
        .select(Row::as_select())
        .get_result(conn)
        .optional()
}

/// How many films [`find_same`] answers at most.
const SAME_LIMIT: usize = 20;

/// Returns films of the same year that have the same title ([`title_key`]), the newest first. An empty
/// year is that of the films without one.
///
/// # Errors
///
/// If the database fails.
pub fn find_same(conn: &mut DbConnection, same_title: &str, year: &str) -> QueryResult<Vec<Film>> {
    find_titled(conn, same_title, Some(year))
}

/// Returns films that have the same title ([`title_key`]) and may be of that year, because either has none, the newest
/// first. Reads the titles of very many films, which takes its time.
///
/// # Errors
///
/// If the database fails.
pub fn find_same_without_year(
    conn: &mut DbConnection,
    same_title: &str,
    year: &str,
) -> QueryResult<Vec<Film>> {
    // The films without a year, or all for one that has none itself.
    find_titled(conn, same_title, (!year.is_empty()).then_some(""))
}

/// Films of a year that have a title; an empty year is that of the films without one, and none is any.
fn find_titled(
    conn: &mut DbConnection,
    same_title: &str,
    year: Option<&str>,
) -> QueryResult<Vec<Film>> {
    let listed = movies
        .select((id, title))
        .order((created_at.desc(), id.desc()));
    let listed: Vec<(String, String)> = match year {
        None => listed.load(conn)?,
        Some("") => listed
            .filter(release_year.is_null().or(release_year.eq("")))
            .load(conn)?,
        Some(year) => listed.filter(release_year.eq(year)).load(conn)?,
    };
    let key = title_key(same_title);
    let same: Vec<String> = listed
        .into_iter()
        .filter(|(_, listed)| title_key(listed) == key)
        .map(|(same, _)| same)
        .take(SAME_LIMIT)
        .collect();
    get_in_order(conn, &same)
}

/// Those of the films that there are, in no particular order.
///
/// # Errors
///
/// If the database fails.
pub fn get_all(conn: &mut DbConnection, ids: &[String]) -> QueryResult<Vec<Film>> {
    let rows: Vec<Row> = movies
        .filter(id.eq_any(ids))
        .select(Row::as_select())
        .load(conn)?;
    let mut known = external_ids::of_films(conn, ids)?;
    let with_ids = |row: Row| {
        let mut film = Film::try_from(row)?;
        film.external_ids = known.remove(film.id.as_str()).unwrap_or_default();
        Ok(film)
    };
    rows.into_iter().map(with_ids).collect()
}

/// The titles of the films of a year; of those without one if it is empty.
pub(super) fn titles_of_year(
    conn: &mut DbConnection,
    year: &str,
) -> QueryResult<Vec<(FilmId, String)>> {
    let listed = movies.select((id, title));
    let listed: Vec<(String, String)> = match year {
        "" => listed
            .filter(release_year.is_null().or(release_year.eq("")))
            .load(conn)?,
        year => listed.filter(release_year.eq(year)).load(conn)?,
    };
    let read = |(film, listed): (String, String)| {
        let film = film.parse();
        let film = film.map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))?;
        Ok((film, listed))
    };
    listed.into_iter().map(read).collect()
}

/// Those of the films that there are, in the order of the ids.
///
/// # Errors
///
/// If the database fails.
pub fn get_in_order(conn: &mut DbConnection, ids: &[String]) -> QueryResult<Vec<Film>> {
    let found = get_all(conn, ids)?.into_iter();
    let mut found: HashMap<String, Film> = found.map(|film| (film.id.to_string(), film)).collect();
    Ok(ids
        .iter()
        .filter_map(|listed| found.remove(listed))
        .collect())
}

/// How many films have these genres.
///
/// # Errors
///
/// If the database fails.
pub fn count_of_genre(conn: &mut DbConnection, filter: &GenreFilter) -> QueryResult<i64> {
    of_genre(filter).count().get_result(conn)
}

/// How many films of a year have these genres, if any are given.
///
/// # Errors
///
/// If the database fails.
pub fn count_of_year(
    conn: &mut DbConnection,
    year: &str,
    filter: Option<&GenreFilter>,
) -> QueryResult<i64> {
    of_year(year, filter).count().get_result(conn)
}

/// Returns at most `limit` films of a year, as [`page`] does.
///
/// # Errors
///
/// If the database fails.
pub fn page_of_year(
    conn: &mut DbConnection,
    year: &str,
    filter: Option<&GenreFilter>,
    offset: i64,
    limit: i64,
) -> QueryResult<Listed> {
    let ids: Vec<String> = of_year(year, filter)
        .select(id)
        .order((created_at.desc(), id.desc()))
        .offset(offset)
        .limit(limit)
        .load(conn)?;
    Listed::read(conn, &ids)
}

fn of_year<'a>(
    year: &'a str,
    filter: Option<&'a GenreFilter>,
) -> super::schema::movies::BoxedQuery<'a, MultiBackend> {
    let mut rows = movies.filter(release_year.eq(year)).into_boxed();
    for entry in filter.into_iter().flat_map(GenreFilter::entries) {
        let with_genre = movie_genres::table
            .filter(movie_genres::genre.eq(entry))
            .select(movie_genres::movie_id);
        rows = rows.filter(id.eq_any(with_genre));
    }
    rows
}

/// Films that were listed, of which some may have been deleted before they were read.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that were read.
    pub films: Vec<Film>,
    /// How many were listed.
    pub count: usize,
}

impl Listed {
    fn read(conn: &mut DbConnection, ids: &[String]) -> QueryResult<Self> {
        let films = get_in_order(conn, ids)?;
        let count = ids.len();
        Ok(Self { films, count })
    }
}

/// Returns at most `limit` films, newest first, after the `offset` newest ones; of these genres only,
/// if any are given.
///
/// The films before the page are passed over in an index, which takes a millisecond for some
/// 10,000 of them.
///
/// # Errors
///
/// If the database fails.
pub fn page(
    conn: &mut DbConnection,
    filter: Option<&GenreFilter>,
    offset: i64,
    limit: i64,
) -> QueryResult<Listed> {
    let ids: Vec<String> = match filter {
        None => movies
            .select(id)
            .order((created_at.desc(), id.desc()))
            .offset(offset)
            .limit(limit)
            .load(conn)?,
        Some(filter) => of_genre(filter)
            .select(movie_genres::movie_id)
            .order((
                movie_genres::created_at.desc(),
                movie_genres::movie_id.desc(),
            ))
            .offset(offset)
            .limit(limit)
            .load(conn)?,
    };
    Listed::read(conn, &ids)
}

fn of_genre(filter: &GenreFilter) -> movie_genres::BoxedQuery<'_, MultiBackend> {
    let mut rows = movie_genres::table
        .filter(movie_genres::genre.eq(&filter.first))
        .into_boxed();
    for other in &filter.others {
        let listed = diesel::alias!(movie_genres as listed);
        let with_other = listed
            .filter(listed.field(movie_genres::genre).eq(other))
            .select(listed.field(movie_genres::movie_id));
        rows = rows.filter(movie_genres::movie_id.eq_any(with_other));
    }
    rows
}

/// Whether there is no film.
///
/// # Errors
///
/// If the database fails.
pub fn is_empty(conn: &mut DbConnection) -> QueryResult<bool> {
    let any: Option<String> = movies.select(id).first(conn).optional()?;
    Ok(any.is_none())
}

/// The number of films for each text that stands as a genre.
///
/// # Errors
///
/// If the database fails.
pub fn count_by_genre(conn: &mut DbConnection) -> QueryResult<Vec<(Option<String>, i64)>> {
    movies
        .group_by(genre)
        .select((genre, count_star()))
        .load(conn)
}
