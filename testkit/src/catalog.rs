//! A catalog that keeps its films in memory. It checks fields as far as tests look at that, and hands
//! each film on to a fake recommendations service at once, where the real one has a courier.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures::{StreamExt, stream::BoxStream};
use proto::{
    genres::genres,
    reasons,
    recommendations::{
        CreateMovieRequest, DeleteMovieRequest, DeleteMovieResponse, FilmUpdate, GenreCount,
        GetMovieRequest, GetSummaryRequest, ListMoviesRequest, ListMoviesResponse,
        LoadSampleRequest, LoadSampleResponse, Movie, MoviesChanged, RestoreMovieRequest, Summary,
        UpdateMovieRequest, WatchMoviesRequest,
        catalog_server::{Catalog, CatalogServer},
    },
    text::title_key,
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{FakeRecommendations, server::FakeServer};

/// How many films the sample has.
const SAMPLE: i32 = 223;

/// The service, and the films that it holds. Clones hold the same films.
#[derive(Clone)]
pub struct FakeCatalog {
    calls: Calls,
    server: FakeServer,
}

/// What answers the calls.
#[derive(Clone)]
struct Calls {
    held: Arc<Mutex<Held>>,
    changes: watch::Sender<()>,
    recommendations: Option<FakeRecommendations>,
}

#[derive(Default)]
struct Held {
    /// The oldest first.
    movies: Vec<Movie>,
    deleted: Vec<Movie>,
    version: i64,
    /// What each call says instead of an answer.
    failure: Option<(Code, String)>,
    is_silent: bool,
    lists: usize,
    writes: usize,
    users: Vec<Option<String>>,
}

impl FakeCatalog {
    /// Starts a catalog without films; `recommendations` learns of each film.
    pub fn start(recommendations: Option<FakeRecommendations>) -> Self {
        let catalog = Self::absent(recommendations);
        catalog.come_back();
        catalog
    }

    /// A catalog at an address where nothing answers, until [`Self::come_back`].
    pub fn absent(recommendations: Option<FakeRecommendations>) -> Self {
        Self {
            calls: Calls {
                held: Arc::default(),
                changes: watch::Sender::new(()),
                recommendations,
            },
            server: FakeServer::new(),
        }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the service, with all its connections; the films stay.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Starts the service again where it was.
    pub fn come_back(&self) {
        let service = CatalogServer::new(self.calls.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// From now on each call fails with this code.
    pub fn fail_with(&self, code: Code, message: &str) {
        self.calls.held().failure = Some((code, message.to_owned()));
    }

    /// From now on takes every call and answers none.
    pub fn fall_silent(&self) {
        self.calls.held().is_silent = true;
    }

    /// The films, the oldest first.
    pub fn films(&self) -> Vec<Movie> {
        self.calls.movies()
    }

    /// How many lists were asked for.
    pub fn lists(&self) -> usize {
        self.calls.held().lists
    }

    /// How many calls wrote, or tried to.
    pub fn writes(&self) -> usize {
        self.calls.held().writes
    }

    /// Who wrote, as each of those calls said in its metadata.
    pub fn users(&self) -> Vec<Option<String>> {
        self.calls.held().users.clone()
    }

    /// Adds a film without the pages, as another client would; answers its id.
    pub fn add(&self, title: &str, genre: &str) -> String {
        self.calls.add(title, genre)
    }

    /// Deletes a film without the pages.
    pub fn remove(&self, id: &str) {
        self.calls.remove(id);
    }

    /// Edits a film without the pages.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Movie)) {
        self.calls.edit(id, edit);
    }

    /// Writes without telling, as a catalog on another machine does.
    pub fn add_in_secret(&self, title: &str) {
        let request = CreateMovieRequest {
            title: title.into(),
            ..CreateMovieRequest::default()
        };
        self.calls.insert(request);
    }
}

impl Calls {
    fn edit(&self, id: &str, edit: impl FnOnce(&mut Movie)) {
        let mut held = self.held();
        held.version += 1;
        let version = held.version;
        let movie = held.movies.iter_mut().find(|movie| movie.id == id).unwrap();
        edit(movie);
        movie.version = Some(version);
        drop(held);
        self.changes.send_replace(());
    }

    fn remove(&self, id: &str) {
        self.held().movies.retain(|movie| movie.id != id);
        self.changes.send_replace(());
    }

    fn add(&self, title: &str, genre: &str) -> String {
        let request = CreateMovieRequest {
            title: title.into(),
            genre: genre.into(),
            ..CreateMovieRequest::default()
        };
        let movie = self.insert(request);
        self.changed(&movie);
        movie.id
    }

    fn movies(&self) -> Vec<Movie> {
        self.held().movies.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Fails, or never comes back, if the service is to do so.
    async fn speak(&self) -> Result<(), Status> {
        let (is_silent, failure) = {
            let held = self.held();
            (held.is_silent, held.failure.clone())
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        match failure {
            Some((code, message)) => Err(Status::new(code, message)),
            None => Ok(()),
        }
    }

    fn wrote<T>(&self, request: &Request<T>) {
        let user = request.metadata().get("marquee-user");
        let user = user.map(|user| user.to_str().unwrap().to_owned());
        let mut held = self.held();
        held.writes += 1;
        held.users.push(user);
    }

    /// Refuses a title and year that another movie than `id` has.
    fn refuse_same(&self, id: &str, title: &str, year: &str) -> Result<(), Status> {
        let is_year = |other: &str| other == year || other.is_empty() || year.is_empty();
        let movies = self.movies();
        let same = movies.iter().find(|movie| {
            movie.id != id
                && title_key(&movie.title) == title_key(title)
                && is_year(&movie.release_year)
        });
        match same {
            None => Ok(()),
            Some(same) => {
                let id = (reasons::FILM_ID, same.id.as_str());
                let reason = reasons::SAME_TITLE_AND_YEAR;
                Err(refusal(Code::AlreadyExists, reason, &[id]))
            }
        }
    }

    fn insert(&self, request: CreateMovieRequest) -> Movie {
        let mut held = self.held();
        held.version += 1;
        // A second apart, so that the order of addition is certain.
        let added = time(Utc::now() + Duration::seconds(held.version));
        let movie = Movie {
            id: request
                .id
                .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            title: request.title.trim().into(),
            description: request.description.replace("\r\n", "\n").trim().into(),
            genre: request.genre.trim().into(),
            rating: request.rating,
            exact_rating: request.exact_rating,
            release_year: request.release_year.trim().into(),
            created_at: added.clone(),
            updated_at: added,
            is_recommended: Some(false),
            version: Some(held.version),
            description_is_cut: None,
        };
        held.movies.push(movie.clone());
        held.movies.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        movie
    }

    fn changed(&self, movie: &Movie) {
        if let Some(recommendations) = &self.recommendations {
            let wanted = recommendations.know(FilmUpdate {
                film_id: movie.id.clone(),
                title: movie.title.clone(),
                description: movie.description.clone(),
                genre: movie.genre.clone(),
                rating: movie.rating,
                exact_rating: movie.exact_rating,
                release_year: movie.release_year.clone(),
                ..FilmUpdate::default()
            });
            let mut held = self.held();
            let known = held.movies.iter_mut().find(|known| known.id == movie.id);
            if let Some(known) = known {
                known.is_recommended = Some(wanted);
            }
        }
        self.changes.send_replace(());
    }
}

/// Checks what the pages' tests get wrong.
fn check(title: &str, year: &str, rating: Option<f64>) -> Result<(), Status> {
    let mut violations = Vec::new();
    if title.trim_matches(['\u{200b}', ' ']).is_empty() {
        violations.push(FieldViolation::new("title", "Give the film a title."));
    }
    if rating.is_some_and(|rating| !(0.0..=10.0).contains(&rating)) {
        let accepted = "A rating is a number from 0 to 10, such as 7.5, or nothing.";
        violations.push(FieldViolation::new("rating", accepted));
    }
    if !matches!(year.trim().len(), 0 | 4) {
        let accepted = "A year is four digits from 1878 to 2100, or nothing.";
        violations.push(FieldViolation::new("release_year", accepted));
    }
    if violations.is_empty() {
        return Ok(());
    }
    let details = ErrorDetails::with_bad_request(violations);
    let message = "fields are refused";
    Err(Status::with_error_details(
        Code::InvalidArgument,
        message,
        details,
    ))
}

fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata = metadata
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let metadata: std::collections::HashMap<_, _> = metadata.collect();
    let details = ErrorDetails::with_error_info(reason, reasons::DOMAIN, metadata);
    Status::with_error_details(code, reason, details)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[tonic::async_trait]
impl Catalog for Calls {
    async fn create_movie(
        &self,
        request: Request<CreateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let request = request.into_inner();
        check(&request.title, &request.release_year, request.exact_rating)?;
        let used = || refusal(Code::AlreadyExists, reasons::ID_IN_USE, &[]);
        let deleted = self.held().deleted.clone();
        if deleted
            .iter()
            .any(|gone| Some(&gone.id) == request.id.as_ref())
        {
            return Err(used());
        }
        let mut known = self.movies().into_iter();
        if let Some(movie) = known.find(|movie| Some(&movie.id) == request.id.as_ref()) {
            let is_sent_again = movie.title == request.title.trim()
                && movie.description == request.description.replace("\r\n", "\n").trim()
                && movie.genre == request.genre.trim()
                && movie.exact_rating == request.exact_rating
                && movie.release_year == request.release_year.trim();
            return is_sent_again.then(|| Response::new(movie)).ok_or_else(used);
        }
        if request.refuse_same_title_and_year {
            self.refuse_same("", &request.title, &request.release_year)?;
        }
        let movie = self.insert(request);
        self.changed(&movie);
        Ok(Response::new(movie))
    }

    async fn get_movie(
        &self,
        request: Request<GetMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        let id = request.into_inner().id;
        let movie = self.movies().into_iter().find(|movie| movie.id == id);
        movie
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such movie"))
    }

    async fn update_movie(
        &self,
        request: Request<UpdateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let request = request.into_inner();
        let before = self
            .movies()
            .into_iter()
            .find(|movie| movie.id == request.id);
        let before = before.ok_or_else(|| Status::not_found("no such movie"))?;
        check(&request.title, &request.release_year, request.exact_rating)?;
        let is_expected =
            request.expected_version.is_none() || request.expected_version == before.version;
        if !is_expected {
            return Err(refusal(
                Code::FailedPrecondition,
                reasons::VERSION_DIFFERS,
                &[],
            ));
        }
        if request.refuse_same_title_and_year
            && (&before.title, &before.release_year) != (&request.title, &request.release_year)
        {
            self.refuse_same(&request.id, &request.title, &request.release_year)?;
        }
        self.edit(&request.id, |movie| {
            movie.title = request.title.trim().into();
            movie.description = request.description.replace("\r\n", "\n").trim().into();
            movie.genre = request.genre.trim().into();
            movie.rating = request.rating;
            movie.exact_rating = request.exact_rating;
            movie.release_year = request.release_year.trim().into();
        });
        let movies = self.movies();
        let movie = movies
            .into_iter()
            .find(|movie| movie.id == request.id)
            .unwrap();
        self.changed(&movie);
        Ok(Response::new(movie))
    }

    async fn delete_movie(
        &self,
        request: Request<DeleteMovieRequest>,
    ) -> Result<Response<DeleteMovieResponse>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let id = request.into_inner().id;
        if !self.movies().iter().any(|movie| movie.id == id) {
            return Err(Status::not_found("no such movie"));
        }
        let mut deleted = self.movies();
        deleted.retain(|movie| movie.id == id);
        self.held().deleted.extend(deleted);
        self.remove(&id);
        if let Some(recommendations) = &self.recommendations {
            recommendations.forget(&id);
        }
        Ok(Response::new(DeleteMovieResponse { success: true }))
    }

    async fn list_movies(
        &self,
        request: Request<ListMoviesRequest>,
    ) -> Result<Response<ListMoviesResponse>, Status> {
        self.speak().await?;
        self.held().lists += 1;
        let request = request.into_inner();
        let mut movies = self.movies();
        movies.reverse();
        let asked = genres(&request.genre);
        movies.retain(|movie| {
            let of_movie = genres(&movie.genre);
            asked
                .iter()
                .all(|asked| of_movie.iter().any(|genre| genre.folded == asked.folded))
        });
        let year = request.release_year;
        movies.retain(|movie| year.is_empty() || movie.release_year == year);
        let total = movies.len() as i32;
        let (page, page_size) = (request.page.max(1), request.page_size.clamp(1, 100));
        let offset = (page as usize - 1).saturating_mul(page_size as usize);
        let movies = movies.into_iter().skip(offset).take(page_size as usize);
        Ok(Response::new(ListMoviesResponse {
            movies: movies.collect(),
            total,
            page,
            page_size,
        }))
    }

    async fn restore_movie(
        &self,
        request: Request<RestoreMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let RestoreMovieRequest {
            id,
            refuse_same_title_and_year,
        } = request.into_inner();
        let deleted = self.held().deleted.clone();
        if let Some(movie) = deleted.iter().find(|movie| movie.id == id)
            && refuse_same_title_and_year
        {
            self.refuse_same(&id, &movie.title, &movie.release_year)?;
        }
        let mut held = self.held();
        let known = held.movies.iter().find(|movie| movie.id == id).cloned();
        if let Some(movie) = known {
            return Ok(Response::new(movie));
        }
        let deleted = held.deleted.iter().position(|movie| movie.id == id);
        let place = deleted.ok_or_else(|| Status::not_found("no such movie"))?;
        let mut movie = held.deleted.remove(place);
        held.version += 1;
        movie.version = Some(held.version);
        held.movies.push(movie.clone());
        held.movies.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        drop(held);
        self.changed(&movie);
        Ok(Response::new(movie))
    }

    async fn get_summary(
        &self,
        _: Request<GetSummaryRequest>,
    ) -> Result<Response<Summary>, Status> {
        self.speak().await?;
        let movies = self.movies();
        let mut genres: Vec<GenreCount> = Vec::new();
        for movie in &movies {
            for genre in movie.genre.split(", ").filter(|genre| !genre.is_empty()) {
                match genres.iter_mut().find(|count| count.genre == genre) {
                    Some(count) => count.movies += 1,
                    None => genres.push(GenreCount {
                        genre: genre.into(),
                        movies: 1,
                    }),
                }
            }
        }
        genres.sort_by(|a, b| b.movies.cmp(&a.movies).then(a.genre.cmp(&b.genre)));
        Ok(Response::new(Summary {
            total: movies.len() as i64,
            genres,
            sample_size: SAMPLE,
        }))
    }

    async fn load_sample(
        &self,
        request: Request<LoadSampleRequest>,
    ) -> Result<Response<LoadSampleResponse>, Status> {
        self.speak().await?;
        self.wrote(&request);
        if !self.movies().is_empty() {
            return Ok(Response::new(LoadSampleResponse { added: 0 }));
        }
        for number in 1..=SAMPLE {
            self.add(&format!("Sample film {number}"), "Drama");
        }
        Ok(Response::new(LoadSampleResponse { added: SAMPLE }))
    }

    type WatchMoviesStream = BoxStream<'static, Result<MoviesChanged, Status>>;

    async fn watch_movies(
        &self,
        _: Request<WatchMoviesRequest>,
    ) -> Result<Response<Self::WatchMoviesStream>, Status> {
        let changes = WatchStream::new(self.changes.subscribe()).map(|()| Ok(MoviesChanged {}));
        Ok(Response::new(changes.boxed()))
    }
}
