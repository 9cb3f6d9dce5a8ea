//! The history of films: who changed which film, with the states before and after. Each write records its change in its own
//! transaction.
//!
//! Numbers are auto-increment ids, so their order is not that of the commits. Nothing here remembers the highest number that it has
//! seen: lists go from the newest to older ones, and whether a change can be undone is decided by the film's state.

use std::collections::HashMap;

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::UserId;
use runtime::traces::Origin;
use serde::{Deserialize, Serialize};
use storage::{DbConnection, MultiBackend, each_backend};

use super::{
    ExternalId, Film, FilmDraft, FilmId, Moment, deleted, reading,
    schema::film_changes::{self, dsl},
};

/// For how long changes are kept, in seconds: a year, so that what was done last season can still be explained.
pub const KEPT_FOR: i64 = 365 * 24 * 60 * 60;
/// How many numbers back changes are kept at most. An import of a large collection is in it, and the table stays below a few GiB.
pub const KEPT_NUMBERS: i64 = 1_000_000;
/// How many changes a page has at most.
pub const MAX_LIMIT: i64 = 100;
/// How many rows one statement writes at most.
const ROWS_AT_ONCE: usize = 500;

/// When a write is made, and on whose behalf.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The time of the write.
    pub now: Moment,
    /// The user on whose behalf; none for a program, or an old peer.
    pub by: Option<UserId>,
    /// The number of the change that the write undoes.
    pub undoes: Option<i64>,
}

impl Stamp {
    /// A write on behalf of a user, if of any.
    pub fn new(now: Moment, by: Option<UserId>) -> Self {
        Self {
            now,
            by,
            undoes: None,
        }
    }
}

impl From<Moment> for Stamp {
    /// A write on behalf of no user.
    fn from(now: Moment) -> Self {
        Self::new(now, None)
    }
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Created,
    Edited,
    Deleted,
    Restored,
    /// It undid another change.
    Undone,
}

impl Kind {
    /// The word that is stored.
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Undone => "undone",
        }
    }

    /// What a word means; one of a newer release is an edit of some kind.
    fn of(word: &str) -> Self {
        let all = [Self::Created, Self::Deleted, Self::Restored, Self::Undone];
        let known = all.into_iter().find(|kind| kind.word() == word);
        known.unwrap_or(Self::Edited)
    }
}

/// What is said of a film at some time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of a film")]
pub struct FilmState {
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: Option<f32>,
    pub release_year: String,
    pub external_ids: Vec<ExternalId>,
}

impl FilmState {
    /// What a film says after a write; `known` are the ids elsewhere that it has before.
    pub(super) fn of_draft(draft: &FilmDraft, known: &[ExternalId]) -> Self {
        Self {
            title: draft.title.clone(),
            description: draft.description.clone(),
            genre: draft.genre.clone(),
            rating: draft.rating,
            release_year: draft.release_year.clone(),
            external_ids: match &draft.external_ids {
                Some(ids) => ids.clone(),
                None => known.to_vec(),
            },
        }
    }

    /// The same as what an edit says. It may break the rules of drafts if an older program wrote it.
    pub(super) fn into_draft(self) -> FilmDraft {
        FilmDraft {
            title: self.title,
            description: self.description,
            genre: self.genre,
            rating: self.rating,
            release_year: self.release_year,
            external_ids: Some(self.external_ids),
        }
    }
}

impl From<Film> for FilmState {
    fn from(film: Film) -> Self {
        Self {
            title: film.title,
            description: film.description,
            genre: film.genre,
            rating: film.rating,
            release_year: film.release_year,
            external_ids: film.external_ids,
        }
    }
}

/// A change of a film, as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number.
    pub number: i64,
    /// The film.
    pub film_id: FilmId,
    /// The title after it, or before a deletion.
    pub title: String,
    /// What it did.
    pub kind: Kind,
    /// On whose behalf; none for a program, or an old peer.
    pub by: Option<UserId>,
    /// When, UTC, in microseconds.
    pub changed_at: NaiveDateTime,
    /// The version that the film, or its deletion, has since.
    pub version: i64,
    /// The request that made it.
    pub request_id: Option<String>,
    /// The film before; none if it was not there.
    pub before: Option<FilmState>,
    /// The film after; none if it is deleted.
    pub after: Option<FilmState>,
    /// The number of the change that it undid.
    pub undoes: Option<i64>,
}

impl Change {
    /// What a film has to say again for the change to be undone; none if the film has to go.
    pub(super) fn draft_before(&self) -> Option<FilmDraft> {
        self.before.clone().map(FilmState::into_draft)
    }
}

/// A change that is about to be recorded.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) film_id: &'a FilmId,
    pub(super) kind: Kind,
    pub(super) version: i64,
    pub(super) before: Option<FilmState>,
    pub(super) after: Option<FilmState>,
}

/// A row of the table as it is added.
#[derive(Insertable)]
#[diesel(table_name = film_changes)]
struct NewRow<'a> {
    film_id: &'a str,
    title: String,
    kind: &'a str,
    user_id: i32,
    changed_at: NaiveDateTime,
    version: i64,
    request_id: Option<&'a str>,
    state_before: Option<String>,
    state_after: Option<String>,
    undoes: Option<i64>,
}

/// Records changes, in the transaction that makes them.
pub(super) fn record(
    conn: &mut DbConnection,
    entries: &[Entry<'_>],
    stamp: Stamp,
) -> QueryResult<()> {
    let request_id = Origin::current().request_id();
    for entries in entries.chunks(ROWS_AT_ONCE) {
        let rows = entries
            .iter()
            .map(|entry| NewRow::new(entry, request_id.as_deref(), stamp));
        let rows = rows.collect::<QueryResult<Vec<_>>>()?;
        each_backend!(conn, |conn| diesel::insert_into(film_changes::table)
            .values(&rows)
            .execute(conn))?;
    }
    Ok(())
}

impl<'a> NewRow<'a> {
    fn new(entry: &Entry<'a>, request_id: Option<&'a str>, stamp: Stamp) -> QueryResult<Self> {
        let shown = entry.after.as_ref().or(entry.before.as_ref());
        let kind = match stamp.undoes {
            Some(_) => Kind::Undone,
            None => entry.kind,
        };
        Ok(Self {
            film_id: entry.film_id.as_str(),
            title: shown.map(|state| state.title.clone()).unwrap_or_default(),
            kind: kind.word(),
            user_id: stamp.by.map_or(0, |user| user.0),
            changed_at: stamp.now.date_time(),
            version: entry.version,
            request_id,
            state_before: entry.before.as_ref().map(json).transpose()?,
            state_after: entry.after.as_ref().map(json).transpose()?,
            undoes: stamp.undoes,
        })
    }
}

fn json(state: &FilmState) -> QueryResult<String> {
    let refused =
        |error: serde_json::Error| diesel::result::Error::SerializationError(Box::new(error));
    serde_json::to_string(state).map_err(refused)
}

/// A row of the table.
#[derive(Queryable, Selectable)]
#[diesel(table_name = film_changes)]
struct Row {
    number: i64,
    film_id: String,
    title: String,
    kind: String,
    user_id: i32,
    changed_at: NaiveDateTime,
    version: i64,
    request_id: Option<String>,
    state_before: Option<String>,
    state_after: Option<String>,
    undoes: Option<i64>,
}

impl TryFrom<Row> for Change {
    type Error = diesel::result::Error;

    fn try_from(row: Row) -> QueryResult<Self> {
        let state = |text: Option<String>| -> QueryResult<Option<FilmState>> {
            let read = text.map(|text| serde_json::from_str(&text)).transpose();
            read.map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))
        };
        Ok(Self {
            number: row.number,
            film_id: row
                .film_id
                .parse()
                .map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))?,
            title: row.title,
            kind: Kind::of(&row.kind),
            by: (row.user_id != 0).then_some(UserId(row.user_id)),
            changed_at: row.changed_at,
            version: row.version,
            request_id: row.request_id,
            before: state(row.state_before)?,
            after: state(row.state_after)?,
            undoes: row.undoes,
        })
    }
}

/// Which changes are listed.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those of this film.
    pub film_id: Option<FilmId>,
    /// Only those of this user; 0 is that of nobody.
    pub user_id: Option<i32>,
    /// Only those with lower numbers.
    pub before: Option<i64>,
}

/// Returns up to `limit` changes, the newest number first.
///
/// # Errors
///
/// If the database fails.
pub fn list(conn: &mut DbConnection, wanted: &Wanted, limit: i64) -> QueryResult<Vec<Change>> {
    let mut rows = dsl::film_changes.into_boxed::<MultiBackend>();
    if let Some(film_id) = &wanted.film_id {
        rows = rows.filter(dsl::film_id.eq(film_id.as_str()));
    }
    if let Some(user_id) = wanted.user_id {
        rows = rows.filter(dsl::user_id.eq(user_id));
    }
    if let Some(before) = wanted.before {
        rows = rows.filter(dsl::number.lt(before));
    }
    let rows = rows.order(dsl::number.desc()).limit(limit);
    let rows: Vec<Row> = rows.select(Row::as_select()).load(conn)?;
    rows.into_iter().map(Change::try_from).collect()
}

/// Returns one change, if it is kept.
///
/// # Errors
///
/// If the database fails.
pub fn get(conn: &mut DbConnection, number: i64) -> QueryResult<Option<Change>> {
    let row: Option<Row> = dsl::film_changes
        .find(number)
        .select(Row::as_select())
        .first(conn)
        .optional()?;
    row.map(Change::try_from).transpose()
}

/// Whether the last change of the film is the one that undid this change.
pub(super) fn is_undone_last(conn: &mut DbConnection, change: &Change) -> QueryResult<bool> {
    let last: Option<Option<i64>> = dsl::film_changes
        .filter(dsl::film_id.eq(change.film_id.as_str()))
        .order((dsl::version.desc(), dsl::number.desc()))
        .select(dsl::undoes)
        .first(conn)
        .optional()?;
    Ok(last.flatten() == Some(change.number))
}

/// For each change, whether the film is as the change left it. A deletion also has to be one that can still be undone.
///
/// # Errors
///
/// If the database fails.
pub fn undoable(conn: &mut DbConnection, changes: &[Change]) -> QueryResult<Vec<bool>> {
    if changes.is_empty() {
        // A statement about no ids would look at every row.
        return Ok(Vec::new());
    }
    let mut ids: Vec<String> = changes.iter().map(|c| c.film_id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let films = reading::get_all(conn, &ids)?.into_iter();
    let present: HashMap<FilmId, FilmState> = films
        .map(|film| (film.id.clone(), FilmState::from(film)))
        .collect();
    let kept = deleted::kept(conn, &ids)?;
    let can_be = |change: &Change| match (&change.after, present.get(&change.film_id)) {
        (Some(after), Some(now)) => after == now,
        (None, None) => kept.get(change.film_id.as_str()) == Some(&change.version),
        _ => false,
    };
    Ok(changes.iter().map(can_be).collect())
}

/// Forgets up to `limit` changes that were kept for long enough; returns how many.
///
/// Looks at the lowest numbers only. Where the clock went back some stay for longer.
///
/// # Errors
///
/// If the database fails.
pub fn trim(conn: &mut DbConnection, now: Moment, limit: i64) -> QueryResult<usize> {
    let highest: Option<i64> = dsl::film_changes
        .select(diesel::dsl::max(dsl::number))
        .first(conn)?;
    let lowest = highest.unwrap_or_default().saturating_sub(KEPT_NUMBERS);
    let oldest = now.minus_seconds(KEPT_FOR).date_time();
    let rows: Vec<(i64, NaiveDateTime)> = dsl::film_changes
        .order(dsl::number)
        .limit(limit)
        .select((dsl::number, dsl::changed_at))
        .load(conn)?;
    let over = rows
        .into_iter()
        .filter(|(number, changed_at)| *number <= lowest || *changed_at < oldest);
    let over: Vec<i64> = over.map(|(number, _)| number).collect();
    if over.is_empty() {
        return Ok(0);
    }
    diesel::delete(dsl::film_changes.filter(dsl::number.eq_any(over))).execute(conn)
}
