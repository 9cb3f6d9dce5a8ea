//! The calls of the catalog: a message that the pages send is one of them.

use std::time::Duration;

use actix::{Context, Handler, ResponseFuture};
use proto::recommendations::{
    CreateMovieRequest, DeleteMovieRequest, ExternalId, ExternalIds, FindMovieRequest,
    GetMovieRequest, GetSummaryRequest, ImportMoviesRequest, ListMoviesRequest, LoadSampleRequest,
    RestoreMovieRequest, UpdateMovieRequest,
};
use runtime::supervision::in_request;

use super::{
    CatalogGateway, CreateFilm, DEADLINE, DeleteFilm, Film, FilmPage, FindFilm, GetFilm,
    GetSummary, ImportFilms, ImportOutcome, ListFilms, LoadSample, RestoreFilm, Summary,
    UpdateFilm,
    wire::{external_ids, film, imported, outcome, rating},
};
use crate::{
    actors::ServiceClient,
    error::{Error, Service},
    freshness::Freshness,
};

/// How long the catalog may take to load the sample, or an import.
pub(crate) const MANY_FILMS_DEADLINE: Duration = Duration::from_secs(20);

/// What a write is answered with. What was kept of films is old then, also after an error: a write that was not answered in time may
/// still have been done.
async fn written<T>(
    freshness: &Freshness,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = call.await;
    freshness.films_changed();
    answer
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

impl Handler<FindFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<Film, Error>>;

    fn handle(
        &mut self,
        FindFilm { source, value }: FindFilm,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let client = self.client();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = FindMovieRequest {
                external_id: Some(ExternalId { source, value }),
            };
            let request = ServiceClient::request(request, None, DEADLINE);
            let movie = calls
                .call("FindMovie", DEADLINE, client.find_movie(request))
                .await?;
            film(movie).ok_or(Error::NotFound)
        })
    }
}

impl Handler<ImportFilms> for CatalogGateway {
    type Result = ResponseFuture<Result<Vec<ImportOutcome>, Error>>;

    fn handle(&mut self, message: ImportFilms, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let sent = message.films.len();
            let request = ImportMoviesRequest {
                movies: message.films.into_iter().map(imported).collect(),
                match_title_and_year: message.match_title_and_year,
            };
            let request = ServiceClient::request(request, message.person, MANY_FILMS_DEADLINE);
            let call = client.import_movies(request);
            let call = calls.call("ImportMovies", MANY_FILMS_DEADLINE, call);
            let outcomes = written(&freshness, call).await?.outcomes.into_iter();
            let outcomes: Option<Vec<_>> = outcomes.map(outcome).collect();
            let outcomes = outcomes.filter(|outcomes| outcomes.len() == sent);
            outcomes.ok_or(Error::ServiceUnavailable(Service::Catalog))
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
                person,
                fields,
                id,
                external_ids: ids,
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
                external_ids: external_ids(ids),
            };
            let request = ServiceClient::request(request, person, DEADLINE);
            let movie = written(
                &freshness,
                calls.call("CreateMovie", DEADLINE, client.create_movie(request)),
            )
            .await?;
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
                person,
                id,
                fields,
                external_ids: ids,
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
                external_ids: ids.map(|ids| ExternalIds {
                    ids: external_ids(ids),
                }),
            };
            let request = ServiceClient::request(request, person, DEADLINE);
            let movie = written(
                &freshness,
                calls.call("UpdateMovie", DEADLINE, client.update_movie(request)),
            )
            .await?;
            film(movie).ok_or(Error::NotFound)
        })
    }
}

impl Handler<DeleteFilm> for CatalogGateway {
    type Result = ResponseFuture<Result<(), Error>>;

    fn handle(
        &mut self,
        DeleteFilm { person, id }: DeleteFilm,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = DeleteMovieRequest { id: id.to_string() };
            let request = ServiceClient::request(request, person, DEADLINE);
            written(
                &freshness,
                calls.call("DeleteMovie", DEADLINE, client.delete_movie(request)),
            )
            .await?;
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
                person,
                id,
                refuse_same,
            } = message;
            let request = RestoreMovieRequest {
                id: id.to_string(),
                refuse_same_title_and_year: refuse_same,
            };
            let request = ServiceClient::request(request, person, DEADLINE);
            let movie = written(
                &freshness,
                calls.call("RestoreMovie", DEADLINE, client.restore_movie(request)),
            )
            .await?;
            film(movie).ok_or(Error::NotFound)
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

    fn handle(&mut self, LoadSample { person }: LoadSample, _: &mut Context<Self>) -> Self::Result {
        let client = self.client();
        let freshness = self.freshness.clone();
        in_request(async move {
            let (calls, mut client) = client?;
            let request = ServiceClient::request(LoadSampleRequest {}, person, MANY_FILMS_DEADLINE);
            let loaded = written(
                &freshness,
                calls.call(
                    "LoadSample",
                    MANY_FILMS_DEADLINE,
                    client.load_sample(request),
                ),
            )
            .await?;
            Ok(loaded.added)
        })
    }
}
