//! The history of films is read, and changes are undone.

use actix::{Context, Handler, Message, ResponseFuture};
use proto::UserId;
use runtime::supervision::in_request;

use super::MovieRepository;
use crate::{
    Error,
    films::{
        self, Film, Stamp,
        history::{self, Change, Wanted},
        writing::{self, Undo},
    },
};

/// Asks for changes of films, the newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<ChangePage, Error>")]
pub struct ListChanges {
    /// Which.
    pub wanted: Wanted,
    /// At most this many, and at most [`history::MAX_LIMIT`].
    pub limit: i64,
}

/// Some of the history.
#[derive(Debug, Clone)]
pub struct ChangePage {
    /// The newest first, each with whether it can be undone.
    pub changes: Vec<(Change, bool)>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// Asks to undo the change of that number. Answers the film as it is then; none if it is deleted.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<Film>, Error>")]
pub struct UndoChange {
    /// The number of the change.
    pub number: i64,
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl Handler<ListChanges> for MovieRepository {
    type Result = ResponseFuture<Result<ChangePage, Error>>;

    fn handle(&mut self, message: ListChanges, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let ListChanges { wanted, limit } = message;
            let limit = limit.clamp(1, history::MAX_LIMIT);
            let query = move |conn: &mut _| {
                let mut changes = history::list(conn, &wanted, limit + 1)?;
                let listed = usize::try_from(limit).unwrap_or(usize::MAX);
                let has_more = changes.len() > listed;
                changes.truncate(listed);
                let undoable = history::undoable(conn, &changes)?;
                let changes = changes.into_iter().zip(undoable).collect();
                Ok(ChangePage { changes, has_more })
            };
            Ok(shared.database.read(query).await?)
        })
    }
}

impl Handler<UndoChange> for MovieRepository {
    type Result = ResponseFuture<Result<Option<Film>, Error>>;

    fn handle(&mut self, message: UndoChange, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let UndoChange { number, by } = message;
        let stamp = Stamp::new(films::now(), by);
        in_request(async move {
            let undo = move |conn: &mut _| writing::undo(conn, number, stamp);
            match shared.write(undo).await? {
                Undo::Done(film) => Ok(film),
                Undo::ChangedSince => Err(Error::ChangedSince),
                Undo::TooLate => Err(Error::DeletedTooLongAgo),
                Undo::IdTaken(external, film) => Err(Error::ExternalIdInUse(external, film)),
                Undo::NotFound => Err(Error::NoSuchChange),
            }
        })
    }
}
