//! The pages' way to the film catalog: each message is one call.
//!
//! The gateway also watches for changes of films, on a connection of its own: the watch tells whether
//! the catalog can be reached at all, and when what was read before is out of date. Its stream is the actor's; each
//! [`Wake`] begins it again after it has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, StreamHandler,
    WrapFuture,
};
use chrono::{DateTime, NaiveDateTime};
use proto::{
    FilmId, UserId,
    recommendations::{
        self as wire, CreateMovieRequest, DeleteMovieRequest, GetMovieRequest, GetSummaryRequest,
        ListMoviesRequest, LoadSampleRequest, MoviesChanged, RestoreMovieRequest,
        UpdateMovieRequest, WatchMoviesRequest, catalog_client::CatalogClient,
    },
};
use runtime::{Backoff, ChildGuard, Process, ServiceAddress, Wake, supervision::in_request};
use tonic::{Response, Status, transport::Channel};

use super::ServiceClient;
use crate::{
    error::{Error, Service},
    freshness::Freshness,
};

/// How long the catalog may take for one call.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long the catalog may take to load the sample.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(20);

/// A film. Texts that were never given are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its identity.
    pub id: FilmId,
    /// Its title.
    pub title: String,
    /// What it is about; empty in lists.
    pub description: String,
    /// One or several genres with commas between them.
    pub genre: String,
    /// From 0 to 10.
    pub rating: Option<f64>,
    /// Four digits.
    pub release_year: String,
    /// When it was added, UTC.
    pub created_at: NaiveDateTime,
    /// When it was last edited, UTC.
    pub updated_at: NaiveDateTime,
    /// Whether it is recommended to at least one user.
    pub is_recommended: bool,
    /// Grows with each edit; older catalogs do not tell it.
    pub version: Option<i64>,
}

/// What a person typed into the form of a film.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the form's fields say it all")]
pub struct FilmFields {
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: String,
    pub release_year: String,
}

/// One page of the films, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmPage {
    /// The films of the page; none beyond the last page.
    pub films: Vec<Film>,
    /// How many films all pages hold together.
    pub total: i64,
    /// The page's number, from 1.
    pub page: i64,
    /// How many films a full page holds.
    pub page_size: i64,
}

impl FilmPage {
    /// The number of the last page, at least 1.
    pub fn last_page(&self) -> i64 {
        ((self.total + self.page_size - 1) / self.page_size.max(1)).max(1)
    }
}

/// What the catalog holds, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many films there are.
    pub total: i64,
    /// Each genre with the number of its films, the commonest first.
    pub genres: Vec<(String, i64)>,
    /// How many films the sample has.
    pub sample_size: i32,
}

/// Asks for one page of the films, without descriptions.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmPage, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct ListFilms {
    pub page: i64,
    pub page_size: i64,
    /// Only films of this genre, unless it is empty.
    pub genre: String,
    /// Only films of this year, unless it is empty.
    pub year: String,
}

/// Asks for one film.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct GetFilm(pub FilmId);

/// Asks to add a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct CreateFilm {
    /// Who adds it.
    pub user: Option<UserId>,
    /// What is said about it.
    pub fields: FilmFields,
    /// Its id. If a film of that id exists and says the same, the answer is that film.
    pub id: Option<FilmId>,
    /// Whether to refuse it if another film has the same title and year.
    pub refuse_same: bool,
}

/// Asks to replace what is said about a film; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
pub struct UpdateFilm {
    /// Who edits it.
    pub user: Option<UserId>,
    /// Which film.
    pub id: FilmId,
    /// What is said about it now.
    pub fields: FilmFields,
    /// The version that the editor saw.
    pub expected_version: Option<i64>,
    /// Whether to refuse a title and year that it does not have yet, and another film has.
    pub refuse_same: bool,
}

/// Asks to delete a film; answered when that is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct DeleteFilm {
    pub user: Option<UserId>,
    pub id: FilmId,
}

/// Asks to bring back a film that was deleted a short while ago; answered when it is on disk.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Film, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct RestoreFilm {
    pub user: Option<UserId>,
    pub id: FilmId,
    pub refuse_same: bool,
}

/// Asks for the catalog's figures.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Summary, Error>")]
pub struct GetSummary;

/// Asks to add the sample to an empty catalog; answers how many films were added.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<i32, Error>")]
pub struct LoadSample {
    /// Who loads it.
    pub user: Option<UserId>,
}

/// The client that all incarnations of the gateway share.
#[derive(Debug, Clone)]
pub struct CatalogConnection {
    calls: ServiceClient,
    watch: ServiceClient,
    was_reached: Arc<AtomicBool>,
}

impl CatalogConnection {
    /// Makes a client that connects when it is first needed.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let calls = ServiceClient::new(Service::Catalog, address, process);
        Self {
            watch: calls.separate(),
            calls,
            was_reached: Arc::default(),
        }
    }
}

/// The actor that calls the catalog. Each call has a deadline; one that cannot be made is
/// [`Error::ServiceUnavailable`].
#[derive(Debug)]
pub struct CatalogGateway {
    connection: CatalogConnection,
    freshness: Arc<Freshness>,
    /// Between two attempts to watch.
    backoff: Backoff,
    guard: ChildGuard,
}

impl CatalogGateway {
    /// Makes the actor.
    pub(crate) fn new(
        connection: CatalogConnection,
        freshness: Arc<Freshness>,
        guard: ChildGuard,
    ) -> Self {
        Self {
            connection,
            freshness,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
            guard,
        }
    }

    /// The client for one call; an error before the catalog was reached for the first time, because a
    /// catalog that is starting takes connections before it answers.
    fn client(&self) -> Result<(ServiceClient, CatalogClient<Channel>), Error> {
        if !self.connection.was_reached.load(Ordering::Acquire) {
            return Err(Error::ServiceUnavailable(Service::Catalog));
        }
        let calls = self.connection.calls.clone();
        let client = CatalogClient::new(calls.channel());
        Ok((calls, client))
    }
}

runtime::requested!(CatalogGateway);

impl Actor for CatalogGateway {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        if !self.connection.was_reached.load(Ordering::Acquire) {
            self.guard.starting("connecting to the catalog");
        }
        context.notify(Wake);
    }
}

/// Begins to watch for changes of films.
impl Handler<Wake> for CatalogGateway {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        let mut client = CatalogClient::new(self.connection.watch.channel());
        let begun = async move {
            let begun = client.watch_movies(WatchMoviesRequest {});
            match tokio::time::timeout(DEADLINE, begun).await {
                Ok(begun) => begun.map(Response::into_inner),
                Err(_) => Err(Status::unavailable("no answer")),
            }
        };
        let begun = begun.into_actor(self);
        context.spawn(begun.map(|begun, gateway, context| match begun {
            Ok(changes) => {
                context.add_stream(changes);
            }
            Err(status) => {
                gateway.lost(&status);
                gateway.watch_later(context);
            }
        }));
    }
}

impl StreamHandler<Result<MoviesChanged, Status>> for CatalogGateway {
    fn handle(&mut self, change: Result<MoviesChanged, Status>, _: &mut Context<Self>) {
        match change {
            Ok(MoviesChanged { .. }) => {
                self.backoff.reset();
                self.freshness.films_changed();
                self.connection.was_reached.store(true, Ordering::Release);
                self.connection.watch.reached();
                self.guard.ready();
                self.guard.reporter().handled(1);
            }
            Err(status) => self.lost(&status),
        }
    }

    fn finished(&mut self, context: &mut Context<Self>) {
        self.watch_later(context);
    }
}

impl CatalogGateway {
    /// The watch failed: the catalog cannot be reached.
    fn lost(&self, status: &Status) {
        self.connection.watch.note(status);
        let reason = format!("the catalog is unavailable: {}", status.message());
        match self.connection.was_reached.load(Ordering::Acquire) {
            true => self.guard.blocked(reason),
            false => self.guard.starting(reason),
        }
    }

    fn watch_later(&mut self, context: &mut Context<Self>) {
        context.notify_later(Wake, self.backoff.next_delay());
    }
}

impl Handler<ListFilms> for CatalogGateway {
    type Result = ResponseFuture<Result<FilmPage, Error>>;

    fn handle(&mut self, message: ListFilms, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = ListMoviesRequest {
                page: i32::try_from(message.page).unwrap_or(i32::MAX),
                page_size: i32::try_from(message.page_size).unwrap_or(i32::MAX),
                genre: message.genre,
                without_descriptions: true,
                release_year: message.year,
            };
            let request = ServiceClient::request(request, None, DEADLINE);
            let page = calls
                .call("ListMovies", DEADLINE, client.list_movies(request))
                .await?;
            Ok(FilmPage {
                films: page.movies.into_iter().filter_map(film).collect(),
                total: page.total.into(),
                page: page.page.into(),
                page_size: page.page_size.into(),
            })
        })
    }
}

impl Handler<GetFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, GetFilm(id): GetFilm, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = GetMovieRequest { id: id.to_string() };
            let request = ServiceClient::request(request, None, DEADLINE);
            let movie = calls
                .call("GetMovie", DEADLINE, client.get_movie(request))
                .await?;
            film(movie).ok_or(Error::NotFound)
        })
    }
}

impl Handler<CreateFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: CreateFilm, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let CreateFilm {
                user,
                fields,
                id,
                refuse_same,
            } = message;
            let request = CreateMovieRequest {
                exact_rating: rating(&fields.rating),
                rating: rating(&fields.rating).unwrap_or_default(),
                title: fields.title,
                description: fields.description,
                genre: fields.genre,
                release_year: fields.release_year,
                id: id.map(|id| id.to_string()),
                refuse_same_title_and_year: refuse_same,
            };
            let request = ServiceClient::request(request, user, DEADLINE);
            let written = calls
                .call("CreateMovie", DEADLINE, client.create_movie(request))
                .await;
            // Also after an error: a write that was not answered in time may still have been done.
            freshness.films_changed();
            let movie = written?;
            film(movie).ok_or(Error::NotFound)
        })
    }
}

impl Handler<UpdateFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: UpdateFilm, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let UpdateFilm {
                user,
                id,
                fields,
                expected_version,
                refuse_same,
            } = message;
            let request = UpdateMovieRequest {
                id: id.to_string(),
                exact_rating: rating(&fields.rating),
                rating: rating(&fields.rating).unwrap_or_default(),
                title: fields.title,
                description: fields.description,
                genre: fields.genre,
                release_year: fields.release_year,
                expected_version,
                refuse_same_title_and_year: refuse_same,
            };
            let request = ServiceClient::request(request, user, DEADLINE);
            let written = calls
                .call("UpdateMovie", DEADLINE, client.update_movie(request))
                .await;
            // Also after an error: a write that was not answered in time may still have been done.
            freshness.films_changed();
            let movie = written?;
            film(movie).ok_or(Error::NotFound)
        })
    }
}

impl Handler<DeleteFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        DeleteFilm { user, id }: DeleteFilm,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = DeleteMovieRequest { id: id.to_string() };
            let request = ServiceClient::request(request, user, DEADLINE);
            let written = calls
                .call("DeleteMovie", DEADLINE, client.delete_movie(request))
                .await;
            // Also after an error: a write that was not answered in time may still have been done.
            freshness.films_changed();
            written?;
            Ok(())
        })
    }
}

impl Handler<RestoreFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(&mut self, message: RestoreFilm, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let RestoreFilm {
                user,
                id,
                refuse_same,
            } = message;
            let request = RestoreMovieRequest {
                id: id.to_string(),
                refuse_same_title_and_year: refuse_same,
            };
            let request = ServiceClient::request(request, user, DEADLINE);
            let call = client.restore_movie(request);
            let restored = calls.call("RestoreMovie", DEADLINE, call).await;
            freshness.films_changed();
            film(restored?).ok_or(Error::NotFound)
        })
    }
}

impl Handler<GetSummary> for CatalogGateway {
    type Result = ResponseFuture<Result<Summary, Error>>;

    fn handle(&mut self, _: GetSummary, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = ServiceClient::request(GetSummaryRequest {}, None, DEADLINE);
            let summary = calls
                .call("GetSummary", DEADLINE, client.get_summary(request))
                .await?;
            let genres = summary.genres.into_iter();
            Ok(Summary {
                total: summary.total,
                genres: genres.map(|genre| (genre.genre, genre.movies)).collect(),
                sample_size: summary.sample_size,
            })
        })
    }
}

impl Handler<LoadSample> for CatalogGateway {
    type Result = ResponseFuture<Result<i32, Error>>;

    fn handle(&mut self, LoadSample { user }: LoadSample, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = ServiceClient::request(LoadSampleRequest {}, user, SAMPLE_DEADLINE);
            let written = calls
                .call("LoadSample", SAMPLE_DEADLINE, client.load_sample(request))
                .await;
            // Also after an error: a write that was not answered in time may still have been done.
            freshness.films_changed();
            let loaded = written?;
            Ok(loaded.added)
        })
    }
}

/// The film that a message tells of; nothing if its id is none.
fn film(movie: wire::Movie) -> Option<Film> {
    Some(Film {
        id: movie.id.parse().ok()?,
        // On the wire 0 alone stands for no rating.
        rating: movie
            .exact_rating
            .or_else(|| (movie.rating > 0.0).then_some(movie.rating)),
        title: movie.title,
        description: movie.description,
        genre: movie.genre,
        release_year: movie.release_year,
        created_at: time(&movie.created_at),
        updated_at: time(&movie.updated_at),
        is_recommended: movie.is_recommended.unwrap_or_default(),
        version: movie.version,
    })
}

fn time(text: &str) -> NaiveDateTime {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.naive_utc())
        .unwrap_or_default()
}

/// Reads a rating with a decimal point or, as much of the world writes it, a comma. A text that is no
/// number becomes NaN, which the catalog refuses beside the other fields.
fn rating(typed: &str) -> Option<f64> {
    let typed: String = typed.trim().chars().filter(|c| !c.is_control()).collect();
    if typed.is_empty() {
        return None;
    }
    let number = typed.replacen(',', ".", 1);
    // Rust reads more than people mean: `inf`, `nan`, `1e1`.
    let plain = number.len() <= 20 && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    Some(number.parse().ok().filter(|_| plain).unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_is_a_plain_number_or_none_or_refused() {
        for (typed, expected) in [
            ("0", 0.0),
            ("7.5", 7.5),
            (" 7,5 ", 7.5),
            (".5", 0.5),
            ("010", 10.0),
            ("11", 11.0),
        ] {
            assert_eq!(rating(typed), Some(expected), "{typed}");
        }
        for typed in ["", "  ", "\0"] {
            assert_eq!(rating(typed), None, "{typed}");
        }
        for typed in [
            "-1", "NaN", "inf", "1e1", "five", "1.2.3", "1,2,3", "+5", ".",
        ] {
            assert!(rating(typed).is_some_and(f64::is_nan), "{typed}");
        }
    }

    #[test]
    fn a_rating_of_0_is_a_rating_and_an_older_catalogs_0_is_none() {
        let movie = wire::Movie {
            id: "a".into(),
            ..wire::Movie::default()
        };
        assert_eq!(film(movie.clone()).unwrap().rating, None);
        let exact_rating = Some(0.0);
        let rated = wire::Movie {
            exact_rating,
            ..movie
        };
        assert_eq!(film(rated).unwrap().rating, Some(0.0));
    }
}
