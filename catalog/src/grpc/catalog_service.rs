//! The calls of the Catalog service: those of the contract, and those that the pages need.
//!
//! A list is never larger than what gRPC clients take by default: long descriptions are cut short in
//! it, and the movie says so. A [`Film`] becomes the wire's `Movie` here, and nowhere else.

use std::{pin::Pin, time::Duration};

use chrono::{NaiveDateTime, SecondsFormat};
use futures::{Stream, StreamExt};
use proto::{
    UserId,
    recommendations::{
        CreateMovieRequest, DeleteMovieRequest, DeleteMovieResponse, FindMovieRequest, GenreCount,
        GetMovieRequest, GetSummaryRequest, ImportMoviesRequest, ImportMoviesResponse,
        ListFilmChangesRequest, ListFilmChangesResponse, ListMoviesRequest, ListMoviesResponse,
        LoadSampleRequest, LoadSampleResponse, Movie, MoviesChanged, RestoreMovieRequest, Summary,
        UndoFilmChangeRequest, UndoFilmChangeResponse, UpdateMovieRequest, WatchMoviesRequest,
        catalog_server::Catalog,
    },
};
use runtime::{Handle, Shutdown};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{film_changes, imports};
use crate::{
    Error,
    actors::movie_repository::{
        CatalogSummary, CreateFilm, DeleteFilm, FindFilm, GetFilm, ListFilms, LoadSample,
        MovieRepository, RestoreFilm, UndoChange, UpdateFilm,
    },
    changes::Changes,
    films::{Film, FilmDraft, FilmFields, FilmId, MAX_PAGE_SIZE},
    sample,
};

/// How long the repository may take; longer than the database's own deadline, which says more.
const DEADLINE: Duration = Duration::from_secs(12);
/// How long the repository may take to load the sample.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(19);
/// How many movies a page has if the caller does not say.
const DEFAULT_PAGE_SIZE: i32 = 20;
/// How many bytes of descriptions a list holds; the rest of 100 movies takes less than another MiB.
pub(super) const MAX_LIST_BYTES: usize = 3 << 20;

/// Answers the Catalog service's calls from the movie repository.
#[derive(Debug)]
pub struct CatalogService {
    films: Handle<MovieRepository>,
    changes: Changes,
    shutdown: Shutdown,
}

impl CatalogService {
    /// Makes the service; its streams end when `shutdown` begins.
    pub fn new(films: Handle<MovieRepository>, changes: Changes, shutdown: Shutdown) -> Self {
        Self {
            films,
            changes,
            shutdown,
        }
    }

    async fn create(
        &self,
        by: Option<UserId>,
        request: CreateMovieRequest,
    ) -> Result<Movie, Error> {
        let draft = FilmDraft::parse(&FilmFields {
            title: request.title,
            description: request.description,
            genre: request.genre,
            rating: rating_text(request.rating, request.exact_rating),
            release_year: request.release_year,
            // An old client sends none, and means nothing by it.
            external_ids: (!request.external_ids.is_empty())
                .then(|| imports::external_ids(request.external_ids)),
        })?;
        let create = CreateFilm {
            draft,
            id: request.id.as_deref().map(new_id).transpose()?,
            refuse_same: request.refuse_same_title_and_year,
            by,
        };
        Ok(self.films.ask(create, DEADLINE).await??.into())
    }

    async fn get(&self, request: GetMovieRequest) -> Result<Movie, Error> {
        let id: FilmId = request.id.parse()?;
        Ok(self.films.ask(GetFilm(id), DEADLINE).await??.into())
    }

    async fn update(
        &self,
        by: Option<UserId>,
        request: UpdateMovieRequest,
    ) -> Result<Movie, Error> {
        let id: FilmId = request.id.parse()?;
        let draft = FilmDraft::parse(&FilmFields {
            title: request.title,
            description: request.description,
            genre: request.genre,
            rating: rating_text(request.rating, request.exact_rating),
            release_year: request.release_year,
            external_ids: request
                .external_ids
                .map(|ids| imports::external_ids(ids.ids)),
        })?;
        let update = UpdateFilm {
            id,
            draft,
            expected_version: request.expected_version,
            refuse_same: request.refuse_same_title_and_year,
            by,
        };
        Ok(self.films.ask(update, DEADLINE).await??.into())
    }

    async fn delete(
        &self,
        by: Option<UserId>,
        request: DeleteMovieRequest,
    ) -> Result<DeleteMovieResponse, Error> {
        let id: FilmId = request.id.parse()?;
        self.films.ask(DeleteFilm { id, by }, DEADLINE).await??;
        Ok(DeleteMovieResponse { success: true })
    }

    async fn list(&self, request: ListMoviesRequest) -> Result<ListMoviesResponse, Error> {
        if request.page < 0 || request.page_size < 0 {
            let accepted = format!(
                "page is 1 or more, or 0 for the first; page_size is 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}"
            );
            return Err(Error::Invalid(accepted));
        }
        let page_size = if request.page_size == 0 {
            DEFAULT_PAGE_SIZE
        } else {
            request.page_size
        };
        let message = ListFilms {
            page: request.page.into(),
            page_size: page_size.into(),
            genre: Some(request.genre),
            year: match request.release_year.trim() {
                "" => None,
                year => Some(year.to_owned()),
            },
        };
        let page = self.films.ask(message, DEADLINE).await??;
        let mut movies: Vec<Movie> = page.films.into_iter().map(Movie::from).collect();
        if request.without_descriptions {
            movies
                .iter_mut()
                .for_each(|movie| movie.description.clear());
        }
        cut_descriptions(&mut movies, MAX_LIST_BYTES);
        Ok(ListMoviesResponse {
            movies,
            total: saturating(page.total),
            page: saturating(page.page),
            page_size: saturating(page.page_size),
        })
    }

    async fn restore(
        &self,
        by: Option<UserId>,
        request: RestoreMovieRequest,
    ) -> Result<Movie, Error> {
        let restore = RestoreFilm {
            id: request.id.parse()?,
            refuse_same: request.refuse_same_title_and_year,
            by,
        };
        Ok(self.films.ask(restore, DEADLINE).await??.into())
    }

    async fn summary(&self) -> Result<Summary, Error> {
        let summary = self.films.ask(CatalogSummary, DEADLINE).await??;
        let count = |(genre, films): &(String, i64)| GenreCount {
            genre: genre.clone(),
            movies: *films,
        };
        Ok(Summary {
            total: summary.total,
            genres: summary.genres.iter().map(count).collect(),
            sample_size: sample_size(),
        })
    }

    async fn sample(&self, by: Option<UserId>) -> Result<LoadSampleResponse, Error> {
        let added = self.films.ask(LoadSample { by }, SAMPLE_DEADLINE).await??;
        Ok(LoadSampleResponse {
            added: i32::try_from(added).unwrap_or(i32::MAX),
        })
    }

    async fn changes(
        &self,
        request: ListFilmChangesRequest,
    ) -> Result<ListFilmChangesResponse, Error> {
        let list = film_changes::read(request)?;
        let page = self.films.ask(list, DEADLINE).await??;
        Ok(film_changes::answer(page))
    }

    async fn find(&self, request: FindMovieRequest) -> Result<Movie, Error> {
        let find = FindFilm(imports::wanted(request.external_id)?);
        Ok(self.films.ask(find, DEADLINE).await??.into())
    }

    async fn import(
        &self,
        by: Option<UserId>,
        request: ImportMoviesRequest,
    ) -> Result<ImportMoviesResponse, Error> {
        let (films, refused) = imports::read(request, by)?.split();
        let outcomes = self.films.ask(films, SAMPLE_DEADLINE).await??;
        Ok(imports::answer(refused, outcomes))
    }

    async fn undo(
        &self,
        by: Option<UserId>,
        request: UndoFilmChangeRequest,
    ) -> Result<UndoFilmChangeResponse, Error> {
        let number = request.number;
        let film = self
            .films
            .ask(UndoChange { number, by }, DEADLINE)
            .await??;
        Ok(UndoFilmChangeResponse {
            movie: film.map(Movie::from),
        })
    }
}

#[tonic::async_trait]
impl Catalog for CatalogService {
    async fn create_movie(
        &self,
        request: Request<CreateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        let by = author(&request);
        answer(self.create(by, request.into_inner()).await)
    }

    async fn get_movie(
        &self,
        request: Request<GetMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        answer(self.get(request.into_inner()).await)
    }

    async fn update_movie(
        &self,
        request: Request<UpdateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        let by = author(&request);
        answer(self.update(by, request.into_inner()).await)
    }

    async fn delete_movie(
        &self,
        request: Request<DeleteMovieRequest>,
    ) -> Result<Response<DeleteMovieResponse>, Status> {
        let by = author(&request);
        answer(self.delete(by, request.into_inner()).await)
    }

    async fn list_movies(
        &self,
        request: Request<ListMoviesRequest>,
    ) -> Result<Response<ListMoviesResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }

    async fn restore_movie(
        &self,
        request: Request<RestoreMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        let by = author(&request);
        answer(self.restore(by, request.into_inner()).await)
    }

    async fn get_summary(
        &self,
        _: Request<GetSummaryRequest>,
    ) -> Result<Response<Summary>, Status> {
        answer(self.summary().await)
    }

    async fn load_sample(
        &self,
        request: Request<LoadSampleRequest>,
    ) -> Result<Response<LoadSampleResponse>, Status> {
        answer(self.sample(author(&request)).await)
    }

    async fn list_film_changes(
        &self,
        request: Request<ListFilmChangesRequest>,
    ) -> Result<Response<ListFilmChangesResponse>, Status> {
        answer(self.changes(request.into_inner()).await)
    }

    async fn undo_film_change(
        &self,
        request: Request<UndoFilmChangeRequest>,
    ) -> Result<Response<UndoFilmChangeResponse>, Status> {
        let by = author(&request);
        answer(self.undo(by, request.into_inner()).await)
    }

    async fn find_movie(
        &self,
        request: Request<FindMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        answer(self.find(request.into_inner()).await)
    }

    async fn import_movies(
        &self,
        request: Request<ImportMoviesRequest>,
    ) -> Result<Response<ImportMoviesResponse>, Status> {
        let by = author(&request);
        answer(self.import(by, request.into_inner()).await)
    }

    type WatchMoviesStream = Pin<Box<dyn Stream<Item = Result<MoviesChanged, Status>> + Send>>;

    async fn watch_movies(
        &self,
        _: Request<WatchMoviesRequest>,
    ) -> Result<Response<Self::WatchMoviesStream>, Status> {
        let shutdown = self.shutdown.clone();
        let changes = self
            .changes
            .watch()
            .map(|()| Ok(MoviesChanged {}))
            .take_until(async move { shutdown.begun().await });
        Ok(Response::new(Box::pin(changes)))
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Error::into_status)
}

/// The user on whose behalf a call is made, as `runtime` has read it; none for a program, or an old peer.
fn author<T>(request: &Request<T>) -> Option<UserId> {
    let user = request.extensions().get::<Option<UserId>>();
    user.copied().flatten()
}

/// A rating as a form would have it.
pub(super) fn exact_text(rating: Option<f64>) -> String {
    rating.map(|rating| rating.to_string()).unwrap_or_default()
}

/// The rating as a form would have it. In the contract's own field 0 stands for no rating.
fn rating_text(rating: f64, exact: Option<f64>) -> String {
    match exact {
        Some(exact) => exact.to_string(),
        None if rating == 0.0 => String::new(),
        None => rating.to_string(),
    }
}

/// The id that a caller gives to a movie that it creates.
fn new_id(text: &str) -> Result<FilmId, Error> {
    match text.parse::<Uuid>() {
        Ok(id) => Ok(FilmId::from(id)),
        Err(_) => Err(Error::Invalid("the id of a new movie is a UUID".into())),
    }
}

/// Cuts the longest descriptions short until all of them together take no more than `limit` bytes.
fn cut_descriptions(movies: &mut [Movie], limit: usize) {
    let lengths = movies.iter().map(|movie| movie.description.len());
    let Some(longest) = longest_of(lengths, limit) else {
        return;
    };
    for movie in movies {
        if cut(&mut movie.description, longest) {
            movie.description_is_cut = Some(true);
        }
    }
}

/// The longest length that all texts may have so that together they take no more than `limit` bytes; none if no text has to be cut.
pub(super) fn longest_of(lengths: impl Iterator<Item = usize>, limit: usize) -> Option<usize> {
    let mut lengths: Vec<usize> = lengths.collect();
    if lengths.iter().sum::<usize>() <= limit {
        return None;
    }
    lengths.sort_unstable();
    // The short ones leave their room to the others.
    let (mut room, mut left) = (limit, lengths.len());
    let mut longest = 0;
    for length in lengths {
        longest = room / left.max(1);
        if length > longest {
            break;
        }
        room -= length;
        left -= 1;
    }
    Some(longest)
}

/// Cuts a text short, and returns whether it had to.
pub(super) fn cut(text: &mut String, longest: usize) -> bool {
    let is_longer = text.len() > longest;
    if is_longer {
        text.truncate(text.floor_char_boundary(longest));
    }
    is_longer
}

fn sample_size() -> i32 {
    static SIZE: std::sync::LazyLock<usize> = std::sync::LazyLock::new(sample::count);
    i32::try_from(*SIZE).unwrap_or(i32::MAX)
}

fn saturating(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn rfc3339(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl From<Film> for Movie {
    fn from(film: Film) -> Self {
        let exact_rating = film.rating_decimal();
        Self {
            rating: exact_rating.unwrap_or_default(),
            id: film.id.to_string(),
            title: film.title,
            description: film.description,
            genre: film.genre,
            release_year: film.release_year,
            created_at: rfc3339(film.created_at),
            updated_at: rfc3339(film.updated_at),
            exact_rating,
            is_recommended: Some(film.is_recommended),
            version: Some(film.version),
            description_is_cut: None,
            external_ids: imports::told_ids(film.external_ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movies(lengths: &[usize]) -> Vec<Movie> {
        let movie = |&length: &usize| Movie {
            description: "é".repeat(length / 2),
            ..Movie::default()
        };
        lengths.iter().map(movie).collect()
    }

    #[test]
    fn only_the_longest_descriptions_are_cut_and_no_more_than_they_have_to_be() {
        let cut = |lengths: &[usize], limit| {
            let mut movies = movies(lengths);
            cut_descriptions(&mut movies, limit);
            let cut = movies
                .iter()
                .map(|movie| movie.description_is_cut == Some(true));
            let lengths = movies.iter().map(|movie| movie.description.len());
            lengths.zip(cut).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[10, 20], 30), [(10, false), (20, false)]);
        assert_eq!(
            cut(&[10, 20, 100], 60),
            [(10, false), (20, false), (30, true)]
        );
        assert_eq!(
            cut(&[100, 10, 101], 51),
            [(20, true), (10, false), (20, true)]
        );
        assert_eq!(cut(&[], 0), []);
    }
}
