//! What the fake catalog answers to each call.

use futures::{StreamExt, stream::BoxStream};
use proto::{
    genres::genres,
    reasons,
    recommendations::{
        CreateMovieRequest, DeleteMovieRequest, DeleteMovieResponse, FilmChangeKind,
        FindMovieRequest, GenreCount, GetMovieRequest, GetSummaryRequest, ImportMoviesRequest,
        ImportMoviesResponse, ListFilmChangesRequest, ListFilmChangesResponse, ListMoviesRequest,
        ListMoviesResponse, LoadSampleRequest, LoadSampleResponse, Movie, MoviesChanged,
        RestoreMovieRequest, Summary, UndoFilmChangeRequest, UndoFilmChangeResponse,
        UpdateMovieRequest, WatchMoviesRequest, catalog_server::Catalog,
    },
};
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status};

use super::{
    films::{Calls, check, refusal, sorted},
    history::{Entry, author},
};

/// How many films the sample has.
const SAMPLE: i32 = 223;

#[tonic::async_trait]
impl Catalog for Calls {
    async fn create_movie(
        &self,
        request: Request<CreateMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let user_id = author(&request);
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
        self.refuse_taken("", &request.external_ids)?;
        let movie = self.insert(request);
        self.record(Entry {
            user_id,
            kind: FilmChangeKind::Created,
            before: None,
            after: Some(&movie),
            undoes: None,
        });
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
        let user_id = author(&request);
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
        let ids = request.external_ids.map(|ids| ids.ids);
        self.refuse_taken(&request.id, ids.as_deref().unwrap_or_default())?;
        self.edit(&request.id, |movie| {
            if let Some(ids) = ids {
                movie.external_ids = sorted(ids);
            }
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
            .ok_or_else(|| Status::not_found("no such movie"))?;
        self.record(Entry {
            user_id,
            kind: FilmChangeKind::Edited,
            before: Some(&before),
            after: Some(&movie),
            undoes: None,
        });
        self.changed(&movie);
        Ok(Response::new(movie))
    }

    async fn delete_movie(
        &self,
        request: Request<DeleteMovieRequest>,
    ) -> Result<Response<DeleteMovieResponse>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let user_id = author(&request);
        let id = request.into_inner().id;
        if !self.movies().iter().any(|movie| movie.id == id) {
            return Err(Status::not_found("no such movie"));
        }
        let mut deleted = self.movies();
        deleted.retain(|movie| movie.id == id);
        self.record(Entry {
            user_id,
            kind: FilmChangeKind::Deleted,
            before: deleted.first(),
            after: None,
            undoes: None,
        });
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
        let user_id = author(&request);
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
        let find = |movies: Vec<Movie>| movies.into_iter().find(|movie| movie.id == id);
        if let Some(movie) = find(self.movies()) {
            return Ok(Response::new(movie));
        }
        self.bring_back(&id)?;
        let movie = find(self.movies()).ok_or_else(|| Status::not_found("no such movie"))?;
        self.record(Entry {
            user_id,
            kind: FilmChangeKind::Restored,
            before: None,
            after: Some(&movie),
            undoes: None,
        });
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

    async fn list_film_changes(
        &self,
        request: Request<ListFilmChangesRequest>,
    ) -> Result<Response<ListFilmChangesResponse>, Status> {
        self.speak().await?;
        self.changes(request.get_ref()).map(Response::new)
    }

    async fn undo_film_change(
        &self,
        request: Request<UndoFilmChangeRequest>,
    ) -> Result<Response<UndoFilmChangeResponse>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let number = request.get_ref().number;
        self.undo(number, author(&request)).map(Response::new)
    }

    async fn find_movie(
        &self,
        request: Request<FindMovieRequest>,
    ) -> Result<Response<Movie>, Status> {
        self.speak().await?;
        let wanted = request.into_inner().external_id.unwrap_or_default();
        let mut movies = self.movies().into_iter();
        let movie = movies.find(|movie| movie.external_ids.contains(&wanted));
        movie
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such movie"))
    }

    async fn import_movies(
        &self,
        request: Request<ImportMoviesRequest>,
    ) -> Result<Response<ImportMoviesResponse>, Status> {
        self.speak().await?;
        self.wrote(&request);
        let user_id = author(&request);
        self.import(request.into_inner(), user_id)
            .map(Response::new)
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
