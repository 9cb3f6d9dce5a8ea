//! The history of the fake catalog: who changed which film, and undoing a change.

use chrono::Utc;
use proto::{
    reasons,
    recommendations::{
        FilmChange, FilmChangeKind, FilmState, ListFilmChangesRequest, ListFilmChangesResponse,
        Movie, UndoFilmChangeResponse,
    },
};
use tonic::{Code, Request, Status};

use super::films::{Calls, Held, refusal, time};

/// A change that is recorded.
pub(super) struct Entry<'a> {
    pub(super) user_id: i32,
    pub(super) kind: FilmChangeKind,
    pub(super) before: Option<&'a Movie>,
    pub(super) after: Option<&'a Movie>,
    pub(super) undoes: Option<i64>,
}

/// Who makes a call; 0 if it is nobody.
pub(super) fn author<T>(request: &Request<T>) -> i32 {
    let user = request.metadata().get("marquee-user");
    let user = user.and_then(|user| user.to_str().ok());
    user.and_then(|user| user.parse().ok()).unwrap_or(0)
}

impl Calls {
    pub(super) fn record(&self, entry: Entry<'_>) {
        let mut held = self.held();
        let number = held.changes.len() as i64 + 1;
        let Some(shown) = entry.after.or(entry.before) else {
            return;
        };
        let change = FilmChange {
            number,
            film_id: shown.id.clone(),
            title: shown.title.clone(),
            kind: entry.kind.into(),
            user_id: entry.user_id,
            changed_at: time(Utc::now()),
            version: shown.version.unwrap_or_default(),
            request_id: None,
            before: entry.before.map(state),
            after: entry.after.map(state),
            undoes: entry.undoes,
            can_be_undone: false,
        };
        held.changes.push(change);
    }

    /// The films' changes, the newest first.
    pub(super) fn changes(
        &self,
        request: &ListFilmChangesRequest,
    ) -> Result<ListFilmChangesResponse, Status> {
        if !(0..=100).contains(&request.limit) || request.before < 0 {
            return Err(Status::invalid_argument("limit is 1 to 100"));
        }
        let limit = if request.limit == 0 {
            20
        } else {
            request.limit
        };
        let held = self.held();
        let wanted = held.changes.iter().rev().filter(|change| {
            let film_id = request.film_id.as_ref();
            film_id.is_none_or(|id| *id == change.film_id)
                && request.user_id.is_none_or(|id| id == change.user_id)
                && (request.before == 0 || change.number < request.before)
        });
        let mut changes: Vec<FilmChange> = wanted.cloned().collect();
        let has_more = changes.len() > limit as usize;
        changes.truncate(limit as usize);
        for change in &mut changes {
            change.can_be_undone = is_as_left(&held, change);
        }
        Ok(ListFilmChangesResponse { changes, has_more })
    }

    /// Undoes a change.
    pub(super) fn undo(&self, number: i64, user_id: i32) -> Result<UndoFilmChangeResponse, Status> {
        let found = {
            let held = self.held();
            let mut changes = held.changes.iter();
            let change = changes.find(|change| change.number == number).cloned();
            change.map(|change| (is_as_left(&held, &change), change))
        };
        let (is_as_left, change) = found.ok_or_else(|| Status::not_found("no such change"))?;
        if !is_as_left {
            let reason = reasons::FILM_CHANGED_SINCE;
            return Err(refusal(Code::FailedPrecondition, reason, &[]));
        }
        let id = change.film_id.as_str();
        let find = |movies: Vec<Movie>| movies.into_iter().find(|movie| movie.id == id);
        let present = find(self.movies());
        match (&change.before, &present) {
            (Some(before), Some(_)) => self.edit(id, |movie| {
                movie.title = before.title.clone();
                movie.description = before.description.clone();
                movie.genre = before.genre.clone();
                movie.rating = before.rating.unwrap_or_default();
                movie.exact_rating = before.rating;
                movie.release_year = before.release_year.clone();
                movie.external_ids = before.external_ids.clone();
            }),
            (Some(_), None) => self.bring_back(id)?,
            (None, _) => {
                self.held().deleted.extend(present.clone());
                self.remove(id);
                if let Some(recommendations) = &self.recommendations {
                    recommendations.forget(id);
                }
            }
        }
        let movie = find(self.movies());
        self.record(Entry {
            user_id,
            kind: FilmChangeKind::Undone,
            before: present.as_ref(),
            after: movie.as_ref(),
            undoes: Some(number),
        });
        if let Some(movie) = &movie {
            self.changed(movie);
        }
        Ok(UndoFilmChangeResponse { movie })
    }

    /// Puts a deleted film back.
    pub(super) fn bring_back(&self, id: &str) -> Result<(), Status> {
        let mut held = self.held();
        let deleted = held.deleted.iter().position(|movie| movie.id == id);
        let place = deleted.ok_or_else(|| Status::not_found("no such movie"))?;
        let mut movie = held.deleted.remove(place);
        held.version += 1;
        movie.version = Some(held.version);
        held.movies.push(movie);
        held.movies.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        Ok(())
    }
}

fn is_as_left(held: &Held, change: &FilmChange) -> bool {
    let id = &change.film_id;
    match held.movies.iter().find(|movie| movie.id == *id) {
        Some(movie) => change.after == Some(state(movie)),
        None => change.after.is_none() && held.deleted.iter().any(|movie| movie.id == *id),
    }
}

fn state(movie: &Movie) -> FilmState {
    FilmState {
        title: movie.title.clone(),
        description: movie.description.clone(),
        genre: movie.genre.clone(),
        rating: movie.exact_rating,
        release_year: movie.release_year.clone(),
        description_is_cut: false,
        external_ids: movie.external_ids.clone(),
    }
}
