//! Films are found by the ids that they have elsewhere, and taken in from collections.

use actix::{Context, Handler, Message, ResponseFuture};
use proto::UserId;
use runtime::supervision::in_request;

use super::MovieRepository;
use crate::{
    Error,
    films::{
        self, ExternalId, Film, Stamp, external_ids,
        importing::{self, Item, Outcome},
        reading,
    },
};

/// How many films one transaction takes in: other writes wait for it on SQLite.
const CHUNK: usize = 100;

/// Asks for the film that has an id elsewhere.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct FindFilm(pub ExternalId);

/// Asks to take in films, some hundred at once. Answers for each; if it fails some may have been taken in, and it does no harm to ask again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Outcome>, Error>")]
pub struct ImportFilms {
    /// The films.
    pub items: Vec<Item>,
    /// Whether films that are found by none of their ids are found by title and year.
    pub match_titles: bool,
    /// On whose behalf.
    pub by: Option<UserId>,
}

impl Handler<FindFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, FindFilm(wanted): FindFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let find = move |conn: &mut _| {
                let ids = std::slice::from_ref(&wanted);
                match external_ids::find(conn, ids)?.remove(&wanted) {
                    Some(id) => reading::get(conn, &id),
                    None => Ok(None),
                }
            };
            let film = shared.database.read(find).await?;
            film.ok_or(Error::NotFound)
        })
    }
}

impl Handler<ImportFilms> for MovieRepository {
    type Result = ResponseFuture<Result<Vec<Outcome>, Error>>;

    fn handle(&mut self, message: ImportFilms, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let ImportFilms {
            items,
            match_titles,
            by,
        } = message;
        in_request(async move {
            let mut outcomes = Vec::with_capacity(items.len());
            for chunk in items.chunks(CHUNK) {
                let (chunk, stamp) = (chunk.to_vec(), Stamp::new(films::now(), by));
                let import =
                    move |conn: &mut _| importing::import(conn, &chunk, match_titles, stamp);
                outcomes.extend(shared.write(import).await?);
            }
            Ok(outcomes)
        })
    }
}
