//! Who changed which film, and undoing a change.

use actix::{Context, Handler, Message, ResponseFuture};
use proto::{
    FilmId,
    recommendations::{ListFilmChangesRequest, ListFilmChangesResponse, UndoFilmChangeRequest},
};
use runtime::{grpc::Person, supervision::in_request};

use super::{CatalogGateway, DEADLINE};
use crate::{actors::ServiceClient, error::Error};

/// How many changes a page has.
const ROWS: i32 = 25;

/// Asks for a page of the changes of films, newest first, as the wire has them.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<ListFilmChangesResponse, Error>")]
pub struct ListFilmChanges {
    /// Who asks.
    pub person: Option<Person>,
    /// Only changes of this film.
    pub film: Option<FilmId>,
    /// Only changes with lower numbers; 0 for the newest.
    pub before: i64,
}

/// Asks to undo a change. Answers the title of the film, or nothing if it is deleted now.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Option<String>, Error>")]
pub struct UndoFilmChange {
    /// Who undoes it.
    pub person: Option<Person>,
    /// The number of the change.
    pub number: i64,
}

impl Handler<ListFilmChanges> for CatalogGateway {
    type Result = ResponseFuture<Result<ListFilmChangesResponse, Error>>;

    fn handle(&mut self, message: ListFilmChanges, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = ListFilmChangesRequest {
                film_id: message.film.map(|id| id.to_string()),
                user_id: None,
                before: message.before,
                limit: ROWS,
            };
            let request = ServiceClient::request(request, message.person, DEADLINE);
            let call = client.list_film_changes(request);
            calls.call("ListFilmChanges", DEADLINE, call).await
        })
    }
}

impl Handler<UndoFilmChange> for CatalogGateway {
    type Result = ResponseFuture<Result<Option<String>, Error>>;

    fn handle(&mut self, message: UndoFilmChange, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let UndoFilmChange { person, number } = message;
            let request = UndoFilmChangeRequest { number };
            let request = ServiceClient::request(request, person, DEADLINE);
            let call = client.undo_film_change(request);
            let undone = calls.call("UndoFilmChange", DEADLINE, call).await;
            // Also after an error: it may still have been done.
            freshness.films_changed();
            Ok(undone?.movie.map(|movie| movie.title))
        })
    }
}
