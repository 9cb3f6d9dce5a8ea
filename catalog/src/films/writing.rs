//! Queries that write films. Each puts what recommendations must learn into the outbox, and what was changed into the history.
//!
//! A film's version is the time of its last write in microseconds, unless the clock went back: it
//! only ever grows, also from a deletion to the film's return.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::{DbConnection, each_backend};

use super::{
    ExternalId, Film, FilmDraft, FilmId, Moment, Stamp, deleted, external_ids, genres,
    history::{self, Entry, FilmState, Kind},
    outbox, reading,
    schema::movies,
};

/// A row of the table as it is added.
#[derive(Insertable)]
#[diesel(table_name = movies)]
struct NewFilm<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
    genre: &'a str,
    rating: Option<f32>,
    release_year: &'a str,
    created_at: Option<NaiveDateTime>,
    updated_at: Option<NaiveDateTime>,
    is_recommended: bool,
    version: i64,
    listed_genre: &'a str,
}

/// Adds a film.
///
/// # Errors
///
/// If the database fails, or there is a film of that id.
pub fn create(
    conn: &mut DbConnection,
    id: &FilmId,
    draft: &FilmDraft,
    created_at: Moment,
    stamp: impl Into<Stamp>,
) -> QueryResult<Film> {
    let stamp = stamp.into();
    create_all(conn, &[(id, draft, created_at)], stamp)?;
    Ok(Film {
        id: id.clone(),
        title: draft.title.clone(),
        description: draft.description.clone(),
        genre: draft.genre.clone(),
        rating: draft.rating,
        release_year: draft.release_year.clone(),
        created_at: created_at.date_time(),
        updated_at: created_at.date_time(),
        is_recommended: false,
        version: stamp.now.micros(),
        external_ids: draft.external_ids.clone().unwrap_or_default(),
    })
}

/// Adds some hundred films at most, each with its time of addition.
///
/// # Errors
///
/// If the database fails, or there is a film of one of the ids.
pub fn create_all(
    conn: &mut DbConnection,
    drafts: &[(&FilmId, &FilmDraft, Moment)],
    stamp: impl Into<Stamp>,
) -> QueryResult<()> {
    let stamp = stamp.into();
    let version = stamp.now.micros();
    let rows: Vec<NewFilm<'_>> = drafts
        .iter()
        .map(|(id, draft, created_at)| NewFilm {
            id: id.as_str(),
            title: &draft.title,
            description: &draft.description,
            genre: &draft.genre,
            rating: draft.rating,
            release_year: &draft.release_year,
            created_at: Some(created_at.date_time()),
            updated_at: Some(created_at.date_time()),
            is_recommended: false,
            version,
            listed_genre: &draft.genre,
        })
        .collect();
    each_backend!(conn, |conn| diesel::insert_into(movies::table)
        .values(&rows)
        .execute(conn))?;
    let listed: Vec<genres::Listed<'_>> = rows
        .iter()
        .map(|row| (row.id, row.created_at, row.genre))
        .collect();
    genres::insert(conn, &listed)?;
    let with_ids = drafts.iter().filter_map(|(id, draft, _)| {
        let ids = draft.external_ids.as_deref()?;
        Some((id.as_str(), ids))
    });
    external_ids::insert(conn, with_ids)?;
    let entries: Vec<Entry<'_>> = drafts
        .iter()
        .map(|(film_id, draft, _)| Entry {
            film_id,
            kind: Kind::Created,
            version,
            before: None,
            after: Some(FilmState::of_draft(draft, &[])),
        })
        .collect();
    history::record(conn, &entries, stamp)?;
    outbox::push_all(conn, drafts.iter().map(|(id, ..)| *id), version)
}

/// The outcome of an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// The film as it is now.
    Saved(Film),
    /// The film has another version than the one that was edited: this is it. Nothing is written.
    Conflict(Film),
    /// There is no such film.
    NotFound,
}

/// Replaces the facts of a film, if it still has the expected version; without one, whatever the
/// version. An edit to what the film says already is no conflict.
///
/// # Errors
///
/// If the database fails.
pub fn update(
    conn: &mut DbConnection,
    id: &FilmId,
    draft: &FilmDraft,
    expected_version: Option<i64>,
    stamp: impl Into<Stamp>,
) -> QueryResult<Edit> {
    let stamp = stamp.into();
    let now = stamp.now;
    let Some(current) = lock(conn, id)? else {
        return Ok(Edit::NotFound);
    };
    if expected_version.is_some_and(|expected| expected != current.version) {
        return Ok(match reading::get(conn, id)? {
            None => Edit::NotFound,
            Some(film) if draft.describes(&film) => Edit::Saved(film),
            Some(film) => Edit::Conflict(film),
        });
    }
    let version = version_after(current.version, now);
    if current.listed_genre.as_ref() != Some(&draft.genre) {
        genres::replace(conn, &[(id.as_str(), current.created_at, &draft.genre)])?;
    }
    diesel::update(movies::table.find(id.as_str()))
        .set((
            movies::title.eq(&draft.title),
            movies::description.eq(&draft.description),
            movies::genre.eq(&draft.genre),
            movies::rating.eq(draft.rating),
            movies::release_year.eq(&draft.release_year),
            movies::updated_at.eq(now.date_time()),
            movies::version.eq(version),
            movies::listed_genre.eq(&draft.genre),
        ))
        .execute(conn)?;
    let before = current.state(external_ids::of_film(conn, id.as_str())?);
    let after = FilmState::of_draft(draft, &before.external_ids);
    if before.external_ids != after.external_ids {
        external_ids::replace(conn, id.as_str(), &after.external_ids)?;
    }
    if before != after {
        let entry = Entry {
            film_id: id,
            kind: Kind::Edited,
            version,
            before: Some(before),
            after: Some(after),
        };
        history::record(conn, &[entry], stamp)?;
    }
    outbox::push(conn, id, version, false)?;
    Ok(reading::get(conn, id)?.map_or(Edit::NotFound, Edit::Saved))
}

/// Deletes a film and keeps it for [`restore`]. False if there is no such film.
///
/// # Errors
///
/// If the database fails.
pub fn delete(conn: &mut DbConnection, id: &FilmId, stamp: impl Into<Stamp>) -> QueryResult<bool> {
    let stamp = stamp.into();
    let now = stamp.now;
    let Some(current) = lock(conn, id)? else {
        return Ok(false);
    };
    let version = version_after(current.version, now);
    let before = current.state(external_ids::of_film(conn, id.as_str())?);
    deleted::keep(conn, id, version, now)?;
    diesel::delete(movies::table.find(id.as_str())).execute(conn)?;
    let entry = Entry {
        film_id: id,
        kind: Kind::Deleted,
        version,
        before: Some(before),
        after: None,
    };
    history::record(conn, &[entry], stamp)?;
    outbox::push(conn, id, version, true)?;
    Ok(true)
}

/// Brings a deleted film back under its id, with a version newer than that of the deletion. A film
/// that is there already is answered as it is. `None` if the deletion is too long ago, or never was.
///
/// # Errors
///
/// If the database fails.
pub fn restore(
    conn: &mut DbConnection,
    id: &FilmId,
    stamp: impl Into<Stamp>,
) -> QueryResult<Option<Film>> {
    let stamp = stamp.into();
    if let Some(deletion) = deleted::take(conn, id)?
        && lock(conn, id)?.is_none()
    {
        let version = version_after(deletion.version, stamp.now);
        // Another film may have got one of them meanwhile.
        let mut ids = deletion.external_ids();
        let taken = external_ids::find(conn, &ids)?;
        ids.retain(|external| !taken.contains_key(external));
        let genre = deletion.genre.unwrap_or_default();
        diesel::insert_into(movies::table)
            .values((
                movies::id.eq(id.as_str()),
                movies::title.eq(deletion.title),
                movies::description.eq(deletion.description),
                movies::genre.eq(&genre),
                movies::rating.eq(deletion.rating),
                movies::release_year.eq(deletion.release_year),
                movies::created_at.eq(deletion.created_at),
                movies::updated_at.eq(deletion.updated_at),
                movies::is_recommended.eq(false),
                movies::version.eq(version),
                movies::listed_genre.eq(&genre),
            ))
            .execute(conn)?;
        genres::insert(conn, &[(id.as_str(), deletion.created_at, &genre)])?;
        external_ids::replace(conn, id.as_str(), &ids)?;
        let film = reading::get(conn, id)?;
        let entry = Entry {
            film_id: id,
            kind: Kind::Restored,
            version,
            before: None,
            after: film.clone().map(FilmState::from),
        };
        history::record(conn, &[entry], stamp)?;
        outbox::push(conn, id, version, false)?;
        return Ok(film);
    }
    reading::get(conn, id)
}

/// The outcome of undoing a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// The film as it is now; none if it is deleted.
    Done(Option<Film>),
    /// The film is no longer as the change left it. Nothing is written.
    ChangedSince,
    /// The change is a deletion, and the film is not kept any more.
    TooLate,
    /// The change is not kept any more, or never was.
    NotFound,
    /// Another film has got one of the ids elsewhere that the film had.
    IdTaken(ExternalId, FilmId),
}

/// Undoes a change by a further one, which is kept in the history, too. Of a change that was undone just before it says so again.
///
/// # Errors
///
/// If the database fails.
pub fn undo(conn: &mut DbConnection, number: i64, stamp: Stamp) -> QueryResult<Undo> {
    let Some(change) = history::get(conn, number)? else {
        return Ok(Undo::NotFound);
    };
    let id = &change.film_id;
    let present = match lock(conn, id)? {
        Some(current) => Some(current.state(external_ids::of_film(conn, id.as_str())?)),
        None => None,
    };
    if present == change.before && history::is_undone_last(conn, &change)? {
        return Ok(Undo::Done(reading::get(conn, id)?));
    }
    if present != change.after {
        return Ok(Undo::ChangedSince);
    }
    let stamp = Stamp {
        undoes: Some(number),
        ..stamp
    };
    match (change.draft_before(), present) {
        (Some(before), Some(_)) => {
            let ids = before.external_ids.as_deref().unwrap_or_default();
            if let Some((external, other)) = external_ids::taken(conn, ids, id)? {
                return Ok(Undo::IdTaken(external, other));
            }
            match update(conn, id, &before, None, stamp)? {
                Edit::Saved(film) => Ok(Undo::Done(Some(film))),
                Edit::Conflict(_) | Edit::NotFound => Ok(Undo::ChangedSince),
            }
        }
        (None, Some(_)) => {
            delete(conn, id, stamp)?;
            Ok(Undo::Done(None))
        }
        (_, None) => {
            let kept = deleted::kept(conn, &[id.to_string()])?;
            match kept.get(id.as_str()) {
                None => Ok(Undo::TooLate),
                Some(deletion) if *deletion != change.version => Ok(Undo::ChangedSince),
                Some(_) => {
                    Ok(restore(conn, id, stamp)?
                        .map_or(Undo::TooLate, |film| Undo::Done(Some(film))))
                }
            }
        }
    }
}

/// The version of the next write: the time, unless the clock is behind the film's last write.
fn version_after(last: i64, now: Moment) -> i64 {
    last.saturating_add(1).max(now.micros())
}

/// What a write has to know of the film as it is.
#[derive(Queryable, Selectable)]
#[diesel(table_name = movies)]
struct Locked {
    title: String,
    description: Option<String>,
    genre: Option<String>,
    rating: Option<f32>,
    release_year: Option<String>,
    version: i64,
    created_at: Option<NaiveDateTime>,
    listed_genre: Option<String>,
}

impl Locked {
    fn state(&self, external_ids: Vec<ExternalId>) -> FilmState {
        FilmState {
            title: self.title.clone(),
            description: self.description.clone().unwrap_or_default(),
            genre: self.genre.clone().unwrap_or_default(),
            rating: self.rating.filter(|rating| rating.is_finite()),
            release_year: self.release_year.clone().unwrap_or_default(),
            external_ids,
        }
    }
}

/// Reads a film and keeps other writes of the film waiting until the transaction ends. On SQLite
/// there is no other write transaction anyway.
fn lock(conn: &mut DbConnection, id: &FilmId) -> QueryResult<Option<Locked>> {
    let film = movies::table.find(id.as_str());
    match conn {
        DbConnection::Sqlite(conn) => film.select(Locked::as_select()).first(conn).optional(),
        DbConnection::Mysql(conn) => film
            .select(Locked::as_select())
            .for_update()
            .first(conn)
            .optional(),
    }
}

/// Whether a film is recommended to any user, as an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The film's id, as the event has it.
    pub film_id: String,
    /// What the event says.
    pub is_recommended: bool,
    /// The event's version; events of older peers have none.
    pub version: Option<i64>,
}

/// Applies an event unless a newer one has been applied already. A film that is not there is passed
/// over.
///
/// # Errors
///
/// If the database fails.
pub fn apply_flag(conn: &mut DbConnection, flag: &Flag) -> QueryResult<()> {
    let film = movies::table.find(flag.film_id.as_str());
    let recommended = movies::is_recommended.eq(flag.is_recommended);
    match flag.version {
        None => diesel::update(film).set(recommended).execute(conn)?,
        Some(version) => diesel::update(film)
            .filter(
                movies::recommended_version
                    .is_null()
                    .or(movies::recommended_version.lt(version)),
            )
            .set((recommended, movies::recommended_version.eq(version)))
            .execute(conn)?,
    };
    Ok(())
}

/// Writes to another film than this what it holds already, to see whether the database takes writes.
///
/// # Errors
///
/// If the database fails.
pub fn try_out(conn: &mut DbConnection, but: &str) -> QueryResult<()> {
    let newest = movies::table.order((movies::created_at.desc(), movies::id.desc()));
    let others = newest.filter(movies::id.ne(but)).select(movies::id);
    let other: Option<String> = others.first(conn).optional()?;
    diesel::update(movies::table.find(other.unwrap_or_default()))
        .set(movies::is_recommended.eq(movies::is_recommended))
        .execute(conn)?;
    Ok(())
}
