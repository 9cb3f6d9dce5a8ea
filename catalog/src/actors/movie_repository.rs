//! The actor that reads and writes films. Every write goes to disk together with its outbox row;
//! totals and counts are remembered until the next write of this catalog.

mod edits;
mod flags;
mod history;
mod imports;

use std::{rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use runtime::{ChildGuard, Handle, supervision::in_request};
use storage::{Database, DbConnection};

pub use self::{
    edits::{CreateFilm, DeleteFilm, LoadSample, RestoreFilm, UpdateFilm},
    flags::{ApplyFlags, RepairFlags},
    history::{ChangePage, ListChanges, UndoChange},
    imports::{FindFilm, ImportFilms},
};
use super::film_courier::{FilmCourier, FilmsSaved};
use crate::{
    Error,
    changes::Changes,
    films::{
        Film, FilmId, FilmPage, GenreFilter, MAX_PAGE_SIZE, Summary,
        reading::{self, Listed},
    },
    summary::{Figures, summarize},
};

/// Asks for one page of the films, newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmPage, Error>")]
pub struct ListFilms {
    /// The page's number; below 1 means 1.
    pub page: i64,
    /// How many films a page has, 1 to [`MAX_PAGE_SIZE`]; others mean the nearest of these.
    pub page_size: i64,
    /// Only films that have this genre, or all of several, in whatever case.
    pub genre: Option<String>,
    /// Only films of this year.
    pub year: Option<String>,
}

/// Asks for one film.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct GetFilm(pub FilmId);

/// Asks for the catalog's figures, which may be a few seconds old as far as other catalogs write.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Arc<Summary>, Error>")]
pub struct CatalogSummary;

/// The actor that reads and writes films. Writes go to disk together with their outbox rows, and the
/// courier is told of them.
pub struct MovieRepository {
    shared: Shared,
    guard: ChildGuard,
}

/// What the handlers' futures need.
#[derive(Clone)]
struct Shared {
    database: Database,
    courier: Handle<FilmCourier>,
    changes: Changes,
    figures: Rc<Figures>,
}

impl MovieRepository {
    /// Makes the actor.
    pub fn new(
        database: Database,
        courier: Handle<FilmCourier>,
        changes: Changes,
        guard: ChildGuard,
    ) -> Self {
        Self {
            shared: Shared {
                database,
                courier,
                changes,
                figures: Rc::default(),
            },
            guard,
        }
    }
}

/// How many films there are, if `listed` of them are on the page of `page_size` that begins at `offset`. `total` was counted before, and
/// another catalog may have written since.
fn corrected(total: i64, offset: i64, listed: usize, page_size: i64) -> i64 {
    let listed = i64::try_from(listed).unwrap_or(page_size);
    let seen = offset.saturating_add(listed);
    if listed == page_size {
        total.max(seen)
    } else if listed > 0 || offset == 0 {
        seen
    } else {
        total.min(offset)
    }
}

runtime::requested!(MovieRepository);

impl Actor for MovieRepository {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Handler<ListFilms> for MovieRepository {
    type Result = ResponseFuture<Result<FilmPage, Error>>;

    fn handle(&mut self, message: ListFilms, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let page = message.page.max(1);
            let page_size = message.page_size.clamp(1, MAX_PAGE_SIZE);
            let offset = (page - 1).saturating_mul(page_size);
            let genre = message.genre.as_deref().and_then(GenreFilter::parse);
            let year = message.year;
            let total = match (&year, &genre) {
                (Some(year), _) => shared.total_of_year(year, &genre).await?,
                (None, None) => shared.summary().await?.total,
                (None, Some(genre)) => shared.total_of_genre(genre).await?,
            };
            let Listed { films, count } = if offset <= total {
                let query = move |conn: &mut _| match &year {
                    Some(year) => {
                        reading::page_of_year(conn, year, genre.as_ref(), offset, page_size)
                    }
                    None => reading::page(conn, genre.as_ref(), offset, page_size),
                };
                shared.database.read(query).await?
            } else {
                Listed::default()
            };
            let total = corrected(total, offset, count, page_size);
            Ok(FilmPage {
                films,
                total,
                page,
                page_size,
            })
        })
    }
}

impl Handler<GetFilm> for MovieRepository {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, GetFilm(id): GetFilm, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move {
            let film = shared
                .database
                .read(move |conn| reading::get(conn, &id))
                .await?;
            film.ok_or(Error::NotFound)
        })
    }
}

impl Handler<CatalogSummary> for MovieRepository {
    type Result = ResponseFuture<Result<Arc<Summary>, Error>>;

    fn handle(&mut self, _: CatalogSummary, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        in_request(async move { shared.summary().await })
    }
}

impl Shared {
    /// Writes, and tells the courier and those who watch.
    async fn write<R, F>(&self, change: F) -> Result<R, Error>
    where
        F: FnMut(&mut DbConnection) -> diesel::QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        let outcome = self.database.write(change).await;
        // Also after an error: a write that was not answered in time may still have been done.
        self.figures.written();
        self.changes.announce();
        // The courier looks by itself when it could not be told.
        let _ = self.courier.tell(FilmsSaved);
        Ok(outcome?)
    }

    async fn summary(&self) -> Result<Arc<Summary>, Error> {
        let read = async {
            let counts = self.database.read(reading::count_by_genre).await?;
            Ok(Arc::new(summarize(counts)))
        };
        self.figures.summary(read).await
    }

    /// Counted each time: an index has the films of a year together.
    async fn total_of_year(&self, year: &str, genre: &Option<GenreFilter>) -> Result<i64, Error> {
        let (year, genre) = (year.to_owned(), genre.clone());
        let count = move |conn: &mut _| reading::count_of_year(conn, &year, genre.as_ref());
        Ok(self.database.read(count).await?)
    }

    async fn total_of_genre(&self, genre: &GenreFilter) -> Result<i64, Error> {
        let asked = genre.clone();
        let read = self
            .database
            .read(move |conn| reading::count_of_genre(conn, &asked));
        Ok(self.figures.of_genre(genre.clone(), read).await?)
    }
}
