//! The actor through which everybody reads and writes movies.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use runtime::{ChildGuard, Handle};
use storage::Database;

use super::film_courier::{FilmCourier, FilmsSaved};
use crate::{
    Error,
    movies::{
        self, FilmId, MAX_GENRE_CHARS, MAX_PAGE_SIZE, Movie, MovieDraft, MoviePage, Summary,
        reading,
        writing::{self, Edit},
    },
    sample,
    summary::{Figures, summarize},
};

/// Asks for one page of the movies, newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<MoviePage, Error>")]
pub struct ListMovies {
    /// The page's number; below 1 means 1.
    pub page: i64,
    /// How many movies a page has, 1 to [`MAX_PAGE_SIZE`]; others mean the nearest of these.
    pub page_size: i64,
    /// Only movies whose genre contains this, in whatever case.
    pub genre: Option<String>,
}

/// Asks for one movie.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Movie, Error>")]
pub struct GetMovie(pub FilmId);

/// Asks to add a movie; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Movie, Error>")]
pub struct CreateMovie(pub MovieDraft);

/// Asks to replace what is said about a movie; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Movie, Error>")]
pub struct UpdateMovie(pub FilmId, pub MovieDraft);

/// Asks to delete a movie; answered when that is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct DeleteMovie(pub FilmId);

/// Asks for the catalog's figures, which may be a few seconds old as far as other catalogs write.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Arc<Summary>, Error>")]
pub struct CatalogSummary;

/// Asks to add the sample films, all of them or, if there is any movie already, none. Answers how
/// many were added.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, Error>")]
pub struct LoadSample;

/// The actor that reads and writes movies. Writes go to disk together with their outbox rows, and the
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
    figures: Rc<RefCell<Figures>>,
    reading: Rc<tokio::sync::Mutex<()>>,
}

impl MovieRepository {
    /// Makes the actor.
    pub fn new(database: Database, courier: Handle<FilmCourier>, guard: ChildGuard) -> Self {
        Self {
            shared: Shared {
                database,
                courier,
                figures: Rc::default(),
                reading: Rc::default(),
            },
            guard,
        }
    }
}

impl Actor for MovieRepository {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.guard.ready();
    }
}

impl Handler<ListMovies> for MovieRepository {
    type Result = ResponseFuture<Result<MoviePage, Error>>;

    fn handle(&mut self, message: ListMovies, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        Box::pin(async move {
            let page = message.page.max(1);
            let page_size = message.page_size.clamp(1, MAX_PAGE_SIZE);
            let offset = (page - 1).saturating_mul(page_size);
            let genre = message.genre.map(|genre| genre.trim().to_lowercase());
            let genre = genre.filter(|genre| !genre.is_empty());
            let (movies, total) = match genre {
                None => shared.page(offset, page_size).await?,
                Some(genre) if genre.chars().count() > MAX_GENRE_CHARS => (Vec::new(), 0),
                Some(genre) => shared.page_of_genre(genre, offset, page_size).await?,
            };
            Ok(MoviePage {
                movies,
                total,
                page,
                page_size,
            })
        })
    }
}

impl Handler<GetMovie> for MovieRepository {
    type Result = ResponseFuture<Result<Movie, Error>>;

    fn handle(&mut self, GetMovie(id): GetMovie, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        Box::pin(async move {
            let movie = shared
                .database
                .read(move |conn| reading::get(conn, &id))
                .await?;
            movie.ok_or(Error::NotFound)
        })
    }
}

impl Handler<CreateMovie> for MovieRepository {
    type Result = ResponseFuture<Result<Movie, Error>>;

    fn handle(&mut self, CreateMovie(draft): CreateMovie, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let (id, now) = (FilmId::new(rand::random()), movies::now());
        Box::pin(async move {
            let change = move |conn: &mut _| writing::create(conn, &id, &draft, now, now);
            shared.write(change).await
        })
    }
}

impl Handler<UpdateMovie> for MovieRepository {
    type Result = ResponseFuture<Result<Movie, Error>>;

    fn handle(&mut self, message: UpdateMovie, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let (UpdateMovie(id, draft), now) = (message, movies::now());
        Box::pin(async move {
            let change = move |conn: &mut _| writing::update(conn, &id, &draft, None, now);
            match shared.write(change).await? {
                Edit::Saved(movie) | Edit::Conflict(movie) => Ok(movie),
                Edit::NotFound => Err(Error::NotFound),
            }
        })
    }
}

impl Handler<DeleteMovie> for MovieRepository {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(&mut self, DeleteMovie(id): DeleteMovie, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let now = movies::now();
        Box::pin(async move {
            let was_there = shared
                .write(move |conn| writing::delete(conn, &id, now))
                .await?;
            if was_there {
                Ok(())
            } else {
                Err(Error::NotFound)
            }
        })
    }
}

impl Handler<CatalogSummary> for MovieRepository {
    type Result = ResponseFuture<Result<Arc<Summary>, Error>>;

    fn handle(&mut self, _: CatalogSummary, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        Box::pin(async move { shared.summary().await })
    }
}

impl Handler<LoadSample> for MovieRepository {
    type Result = ResponseFuture<Result<usize, Error>>;

    fn handle(&mut self, _: LoadSample, _: &mut Context<Self>) -> Self::Result {
        let shared = self.shared.clone();
        let now = movies::now();
        Box::pin(async move { shared.write(move |conn| sample::load(conn, now)).await })
    }
}

impl Shared {
    /// Writes, and tells everybody concerned.
    async fn write<R, F>(&self, change: F) -> Result<R, Error>
    where
        F: FnMut(&mut storage::DbConnection) -> diesel::QueryResult<R> + Send + 'static,
        R: Send + 'static,
    {
        let outcome = self.database.write(change).await;
        // Also after an error: a write that was not answered in time may still have been done.
        self.figures.borrow_mut().written();
        // The courier looks by itself when it could not be told.
        let _ = self.courier.tell(FilmsSaved);
        Ok(outcome?)
    }

    async fn page(&self, offset: i64, limit: i64) -> Result<(Vec<Movie>, i64), Error> {
        let total = self.summary().await?.total;
        if offset >= total {
            return Ok((Vec::new(), total));
        }
        Ok((self.movies(None, offset, limit).await?, total))
    }

    async fn page_of_genre(
        &self,
        genre: String,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<Movie>, i64), Error> {
        let total = self.total_of_genre(&genre).await?;
        if offset >= total {
            return Ok((Vec::new(), total));
        }
        Ok((self.movies(Some(genre), offset, limit).await?, total))
    }

    async fn movies(
        &self,
        genre: Option<String>,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Movie>, Error> {
        let (stamp, mut keyset) = self.figures.borrow().keyset(&genre);
        let query = move |conn: &mut _| Ok((keyset.page(conn, offset, limit)?, keyset));
        let (movies, keyset) = self.database.read(query).await?;
        self.figures
            .borrow_mut()
            .remember_keyset(stamp, genre, keyset);
        Ok(movies)
    }

    async fn summary(&self) -> Result<Arc<Summary>, Error> {
        // Who comes while it is read waits for that, and does not read it too.
        let _reading = self.reading.lock().await;
        if let Some(summary) = self.figures.borrow().summary() {
            return Ok(summary);
        }
        let stamp = self.figures.borrow().stamp();
        let summary = Arc::new(summarize(
            self.database.read(reading::count_by_genre).await?,
        ));
        self.figures
            .borrow_mut()
            .remember_summary(stamp, summary.clone());
        Ok(summary)
    }

    async fn total_of_genre(&self, genre: &str) -> Result<i64, Error> {
        let _reading = self.reading.lock().await;
        if let Some(total) = self.figures.borrow().of_genre(genre) {
            return Ok(total);
        }
        let stamp = self.figures.borrow().stamp();
        let asked = genre.to_owned();
        let total = self
            .database
            .read(move |conn| reading::count_of_genre(conn, &asked))
            .await?;
        self.figures
            .borrow_mut()
            .remember_genre(stamp, genre, total);
        Ok(total)
    }
}
