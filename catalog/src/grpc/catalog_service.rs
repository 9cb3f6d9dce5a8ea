//! The five calls of the Catalog service.

use std::time::Duration;

use chrono::{NaiveDateTime, SecondsFormat};
use proto::recommendations::{
    CreateMovieRequest, DeleteMovieRequest, DeleteMovieResponse, GetMovieRequest,
    ListMoviesRequest, ListMoviesResponse, Movie, UpdateMovieRequest, catalog_server::Catalog,
};
use runtime::Handle;
use tonic::{Request, Response, Status};

use crate::{
    Error,
    actors::movie_repository::{
        CreateMovie, DeleteMovie, GetMovie, ListMovies, MovieRepository, UpdateMovie,
    },
    movies::{self, FilmId, MAX_PAGE_SIZE, MovieDraft, MovieFields},
};

/// How long the repository may take; longer than the database's own deadline, which says more.
const DEADLINE: Duration = Duration::from_secs(12);
/// How many movies a page has if the caller does not say.
const DEFAULT_PAGE_SIZE: i32 = 20;

/// Answers the Catalog service's calls from the movie repository.
#[derive(Debug)]
pub struct CatalogService {
    movies: Handle<MovieRepository>,
}

impl CatalogService {
    /// Makes the service.
    pub fn new(movies: Handle<MovieRepository>) -> Self {
        Self { movies }
    }

    async fn create(&self, request: CreateMovieRequest) -> Result<Movie, Error> {
        let draft = MovieDraft::parse(&MovieFields {
            title: request.title,
            description: request.description,
            genre: request.genre,
            rating: rating_text(request.rating),
            release_year: request.release_year,
        })?;
        Ok(self.movies.ask(CreateMovie(draft), DEADLINE).await??.into())
    }

    async fn get(&self, request: GetMovieRequest) -> Result<Movie, Error> {
        let id: FilmId = request.id.parse()?;
        Ok(self.movies.ask(GetMovie(id), DEADLINE).await??.into())
    }

    async fn update(&self, request: UpdateMovieRequest) -> Result<Movie, Error> {
        let id: FilmId = request.id.parse()?;
        let draft = MovieDraft::parse(&MovieFields {
            title: request.title,
            description: request.description,
            genre: request.genre,
            rating: rating_text(request.rating),
            release_year: request.release_year,
        })?;
        Ok(self
            .movies
            .ask(UpdateMovie(id, draft), DEADLINE)
            .await??
            .into())
    }

    async fn delete(&self, request: DeleteMovieRequest) -> Result<DeleteMovieResponse, Error> {
        let id: FilmId = request.id.parse()?;
        self.movies.ask(DeleteMovie(id), DEADLINE).await??;
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
        let message = ListMovies {
            page: request.page.into(),
            page_size: page_size.into(),
            genre: Some(request.genre),
        };
        let page = self.movies.ask(message, DEADLINE).await??;
        Ok(ListMoviesResponse {
            movies: page.movies.into_iter().map(Movie::from).collect(),
            total: saturating(page.total),
            page: saturating(page.page),
            page_size: saturating(page.page_size),
        })
    }
}

#[tonic::async_trait]
impl Catalog for CatalogService {
    async fn create_movie(
        &self,
        request: Request<CreateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        answer(self.create(request.into_inner()).await)
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
        answer(self.update(request.into_inner()).await)
    }

    async fn delete_movie(
        &self,
        request: Request<DeleteMovieRequest>,
    ) -> Result<Response<DeleteMovieResponse>, Status> {
        answer(self.delete(request.into_inner()).await)
    }

    async fn list_movies(
        &self,
        request: Request<ListMoviesRequest>,
    ) -> Result<Response<ListMoviesResponse>, Status> {
        answer(self.list(request.into_inner()).await)
    }
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| {
        error.log();
        Status::new(error.codes().1, error.to_string())
    })
}

/// The rating as a form would have it. On the wire, 0 is what callers send who give none.
fn rating_text(rating: f64) -> String {
    if rating == 0.0 {
        String::new()
    } else {
        rating.to_string()
    }
}

fn saturating(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn rfc3339(time: NaiveDateTime) -> String {
    time.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl From<movies::Movie> for Movie {
    fn from(movie: movies::Movie) -> Self {
        Self {
            rating: movie.rating_decimal().unwrap_or_default(),
            id: movie.id.to_string(),
            title: movie.title,
            description: movie.description,
            genre: movie.genre,
            release_year: movie.release_year,
            created_at: rfc3339(movie.created_at),
            updated_at: rfc3339(movie.updated_at),
        }
    }
}
