//! The history of films on the wire. A page of it is never larger than what gRPC clients take by default: long descriptions are cut
//! short.

use proto::recommendations::{
    FilmChange, FilmChangeKind, FilmState, ListFilmChangesRequest, ListFilmChangesResponse,
};

use super::{
    catalog_service::{MAX_LIST_BYTES, cut, longest_of, rfc3339},
    imports::told_ids,
};
use crate::{
    Error,
    actors::movie_repository::{ChangePage, ListChanges},
    films::{
        decimal,
        history::{self, Change, Kind, MAX_LIMIT, Wanted},
    },
};

/// How many changes a page has if the caller does not say.
const DEFAULT_LIMIT: i64 = 20;

/// Reads what is asked for.
pub(super) fn read(request: ListFilmChangesRequest) -> Result<ListChanges, Error> {
    let limit = i64::from(request.limit);
    if !(0..=MAX_LIMIT).contains(&limit) || request.before < 0 {
        let accepted = format!(
            "limit is 1 to {MAX_LIMIT}, or 0 for {DEFAULT_LIMIT}; before is the number of a change, or 0 for the newest changes"
        );
        return Err(Error::Invalid(accepted));
    }
    Ok(ListChanges {
        wanted: Wanted {
            film_id: request.film_id.map(|id| id.parse()).transpose()?,
            user_id: request.user_id,
            before: (request.before > 0).then_some(request.before),
        },
        limit: if limit == 0 { DEFAULT_LIMIT } else { limit },
    })
}

/// A page as it is answered.
pub(super) fn answer(page: ChangePage) -> ListFilmChangesResponse {
    let changes = page.changes.into_iter();
    let mut changes: Vec<FilmChange> = changes
        .map(|(change, can_be_undone)| told(change, can_be_undone))
        .collect();
    let states = changes
        .iter_mut()
        .flat_map(|change| [change.before.as_mut(), change.after.as_mut()])
        .flatten();
    let mut states: Vec<&mut FilmState> = states.collect();
    let lengths = states.iter().map(|state| state.description.len());
    if let Some(longest) = longest_of(lengths, MAX_LIST_BYTES) {
        for state in &mut states {
            state.description_is_cut = cut(&mut state.description, longest);
        }
    }
    ListFilmChangesResponse {
        changes,
        has_more: page.has_more,
    }
}

fn told(change: Change, can_be_undone: bool) -> FilmChange {
    let kind = match change.kind {
        Kind::Created => FilmChangeKind::Created,
        Kind::Edited => FilmChangeKind::Edited,
        Kind::Deleted => FilmChangeKind::Deleted,
        Kind::Restored => FilmChangeKind::Restored,
        Kind::Undone => FilmChangeKind::Undone,
    };
    FilmChange {
        number: change.number,
        film_id: change.film_id.to_string(),
        title: change.title,
        kind: kind.into(),
        user_id: change.by.map_or(0, |user| user.0),
        changed_at: rfc3339(change.changed_at),
        version: change.version,
        request_id: change.request_id,
        before: change.before.map(state),
        after: change.after.map(state),
        undoes: change.undoes,
        can_be_undone,
    }
}

fn state(state: history::FilmState) -> FilmState {
    FilmState {
        title: state.title,
        description: state.description,
        genre: state.genre,
        rating: state.rating.and_then(decimal),
        release_year: state.release_year,
        description_is_cut: false,
        external_ids: told_ids(state.external_ids),
    }
}
