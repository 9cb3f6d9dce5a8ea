//! A recommendations service that keeps what it is told in memory and finds keywords as parts of
//! texts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
};

use futures::{StreamExt, stream::BoxStream};
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, DeletePreferenceResponse, FilmUpdate,
    FilmUpdateResponse, GetPreferencesRequest, GetPreferencesResponse, MovieRecommendation,
    Preference, RecommendationsChanged, RecommendationsRequest, RecommendationsResponse,
    RemoveFilmRequest, RemoveFilmResponse, WatchRecommendationsRequest,
    recommendations_server::{Recommendations, RecommendationsServer},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tonic::{Request, Response, Status, transport::Server};

/// The service, and what it was told.
#[derive(Clone)]
pub(crate) struct FakeRecommendations {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Told>>,
    total: watch::Sender<i32>,
}

#[derive(Default)]
struct Told {
    keywords: Vec<Preference>,
    films: Vec<FilmUpdate>,
    is_silent: bool,
}

impl FakeRecommendations {
    /// Starts the service.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let service = Self::at(listener.local_addr().unwrap());
        service.clone().serve(listener);
        service
    }

    /// The service at an address where nobody answers, until [`Self::come_back`].
    pub(crate) async fn away() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::at(listener.local_addr().unwrap())
    }

    /// Starts a service that was away.
    pub(crate) async fn come_back(&self) {
        self.clone()
            .serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// From now on takes every call and answers none.
    pub(crate) fn fall_silent(&self) {
        self.told().is_silent = true;
    }

    /// The keywords that user 1 follows.
    pub(crate) fn keywords(&self) -> Vec<String> {
        self.told()
            .keywords
            .iter()
            .map(|preference| preference.keyword.clone())
            .collect()
    }

    /// Follows a keyword without the catalog, as another client would.
    pub(crate) fn follow(&self, keyword: &str) {
        self.told().keywords.push(Preference {
            user_id: 1,
            keyword: keyword.into(),
            matching_films: None,
        });
        self.changed();
    }

    /// How many films it knows.
    pub(crate) fn films(&self) -> usize {
        self.told().films.len()
    }

    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            told: Arc::default(),
            total: watch::Sender::new(0),
        }
    }

    fn serve(self, listener: TcpListener) {
        let server = Server::builder().add_service(RecommendationsServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    fn changed(&self) {
        let total = self.told().recommended(1).len() as i32;
        self.total.send_replace(total);
    }

    /// Never comes back if the service is silent.
    async fn speak(&self) {
        let is_silent = self.told().is_silent;
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
}

impl Told {
    fn matches(film: &FilmUpdate, keyword: &str) -> bool {
        format!("{} {} {}", film.title, film.description, film.genre)
            .to_lowercase()
            .contains(&keyword.to_lowercase())
    }

    /// The newest first.
    fn recommended(&self, user: i32) -> Vec<MovieRecommendation> {
        let recommend = |film: &FilmUpdate| {
            let own = self
                .keywords
                .iter()
                .filter(|preference| preference.user_id == user);
            let matched = own
                .map(|preference| preference.keyword.clone())
                .filter(|keyword| Self::matches(film, keyword));
            MovieRecommendation {
                id: film.film_id.clone(),
                title: film.title.clone(),
                description: film.description.clone(),
                genre: film.genre.clone(),
                rating: film.rating,
                release_year: film.release_year.clone(),
                matched_keywords: matched.collect(),
            }
        };
        let all = self.films.iter().rev().map(recommend);
        all.filter(|film| !film.matched_keywords.is_empty())
            .collect()
    }
}

#[tonic::async_trait]
impl Recommendations for FakeRecommendations {
    async fn get_recommendations(
        &self,
        request: Request<RecommendationsRequest>,
    ) -> Result<Response<RecommendationsResponse>, Status> {
        self.speak().await;
        let RecommendationsRequest {
            user_id,
            max_results,
            offset,
            ..
        } = request.into_inner();
        let all = self.told().recommended(user_id.parse().unwrap());
        let total = all.len() as i32;
        let page = all
            .into_iter()
            .skip(offset as usize)
            .take(max_results as usize);
        Ok(Response::new(RecommendationsResponse {
            recommendations: page.collect(),
            total,
            ..RecommendationsResponse::default()
        }))
    }

    async fn create_preference(
        &self,
        request: Request<CreatePreferenceRequest>,
    ) -> Result<Response<Preference>, Status> {
        self.speak().await;
        let CreatePreferenceRequest { user_id, keyword } = request.into_inner();
        if keyword.contains('!') {
            return Err(Status::invalid_argument("a keyword holds no `!`"));
        }
        if keyword == "one too many" {
            return Err(Status::failed_precondition("stop following one first"));
        }
        let preference = Preference {
            user_id,
            keyword,
            matching_films: None,
        };
        let mut told = self.told();
        if !told.keywords.contains(&preference) {
            told.keywords.push(preference.clone());
        }
        drop(told);
        self.changed();
        Ok(Response::new(preference))
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        self.speak().await;
        let user = request.into_inner().user_id;
        let told = self.told();
        let own = told
            .keywords
            .iter()
            .filter(|preference| preference.user_id == user);
        let counted = own.map(|preference| {
            let matching = told
                .films
                .iter()
                .filter(|film| Told::matches(film, &preference.keyword))
                .count();
            Preference {
                matching_films: Some(matching as i32),
                ..preference.clone()
            }
        });
        Ok(Response::new(GetPreferencesResponse {
            preferences: counted.collect(),
        }))
    }

    async fn delete_preference(
        &self,
        request: Request<DeletePreferenceRequest>,
    ) -> Result<Response<DeletePreferenceResponse>, Status> {
        self.speak().await;
        let DeletePreferenceRequest { user_id, keyword } = request.into_inner();
        let mut told = self.told();
        let before = told.keywords.len();
        told.keywords
            .retain(|preference| preference.user_id != user_id || preference.keyword != keyword);
        let success = told.keywords.len() < before;
        drop(told);
        self.changed();
        Ok(Response::new(DeletePreferenceResponse { success }))
    }

    async fn process_film_update(
        &self,
        request: Request<FilmUpdate>,
    ) -> Result<Response<FilmUpdateResponse>, Status> {
        self.speak().await;
        let film = request.into_inner();
        let mut told = self.told();
        told.films.retain(|known| known.film_id != film.film_id);
        told.films.push(film);
        drop(told);
        self.changed();
        Ok(Response::new(FilmUpdateResponse { success: true }))
    }

    async fn remove_film(
        &self,
        request: Request<RemoveFilmRequest>,
    ) -> Result<Response<RemoveFilmResponse>, Status> {
        self.speak().await;
        let film_id = request.into_inner().film_id;
        self.told().films.retain(|known| known.film_id != film_id);
        self.changed();
        Ok(Response::new(RemoveFilmResponse { success: true }))
    }

    type WatchRecommendationsStream = BoxStream<'static, Result<RecommendationsChanged, Status>>;

    async fn watch_recommendations(
        &self,
        _: Request<WatchRecommendationsRequest>,
    ) -> Result<Response<Self::WatchRecommendationsStream>, Status> {
        self.speak().await;
        let changes = WatchStream::new(self.total.subscribe())
            .map(|total| Ok(RecommendationsChanged { total }));
        Ok(Response::new(changes.boxed()))
    }
}
