//! A recommendations service that behaves as told and remembers what it was told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, DeletePreferenceResponse, FilmStatus,
    FilmUpdate, FilmUpdateResponse, FindFilmsRequest, FindFilmsResponse, GetPreferencesRequest,
    GetPreferencesResponse, MarkFilmsRequest, MarkFilmsResponse, MarkSeenRequest, MarkSeenResponse,
    Preference, RecommendationStatusesRequest, RecommendationStatusesResponse,
    RecommendationsChanged, RecommendationsRequest, RecommendationsResponse, RemoveFilmRequest,
    RemoveFilmResponse, UsersChanged, WatchRecommendationsRequest, WatchUsersRequest,
    recommendations_server::{Recommendations, RecommendationsServer},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};

/// What the service was told, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Saved(FilmUpdate),
    Removed { film_id: String, version: i64 },
}

impl Told {
    pub(crate) fn film_id(&self) -> &str {
        match self {
            Self::Saved(update) => &update.film_id,
            Self::Removed { film_id, .. } => film_id,
        }
    }

    pub(crate) fn version(&self) -> i64 {
        match self {
            Self::Saved(update) => update.version.unwrap(),
            Self::Removed { version, .. } => *version,
        }
    }
}

/// Decides on each call before it counts as told: an error, or how long it takes.
type Temper = Box<dyn FnMut(&Told) -> Result<Duration, Code> + Send>;

#[derive(Clone)]
pub(crate) struct Recommender {
    told: Arc<Mutex<Vec<Told>>>,
    temper: Arc<Mutex<Temper>>,
    busy: Arc<AtomicUsize>,
    busiest: Arc<AtomicUsize>,
    statuses: Arc<Mutex<Option<Statuses>>>,
}

/// What the service says of films when it is asked. Older services say nothing.
#[derive(Clone)]
struct Statuses {
    recommended: Vec<String>,
    pending: Vec<String>,
    version: i64,
}

impl Recommender {
    /// Answers questions about films from now on.
    pub(crate) fn says(&self, recommended: &[&str], pending: &[&str], version: i64) {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        *self.statuses.lock().unwrap() = Some(Statuses {
            recommended: owned(recommended),
            pending: owned(pending),
            version,
        });
    }

    pub(crate) fn new() -> Self {
        Self::with_temper(|_| Ok(Duration::ZERO))
    }

    pub(crate) fn with_temper(
        temper: impl FnMut(&Told) -> Result<Duration, Code> + Send + 'static,
    ) -> Self {
        Self {
            told: Arc::default(),
            temper: Arc::new(Mutex::new(Box::new(temper))),
            busy: Arc::default(),
            busiest: Arc::default(),
            statuses: Arc::default(),
        }
    }

    /// Serves at the address from now on.
    pub(crate) async fn serve(&self, address: SocketAddr) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let service = RecommendationsServer::new(self.clone());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming),
        );
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn told_of(&self, film_id: &str) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|told| told.film_id() == film_id);
        told
    }

    pub(crate) fn busiest(&self) -> usize {
        self.busiest.load(Ordering::Relaxed)
    }

    async fn listen(&self, told: Told) -> Result<(), Status> {
        let busy = self.busy.fetch_add(1, Ordering::Relaxed) + 1;
        self.busiest.fetch_max(busy, Ordering::Relaxed);
        let verdict = self.temper.lock().unwrap()(&told);
        if let Ok(delay) = verdict {
            tokio::time::sleep(delay).await;
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
        match verdict {
            Ok(_) => {
                self.told.lock().unwrap().push(told);
                Ok(())
            }
            Err(code) => Err(Status::new(code, "as told")),
        }
    }
}

#[tonic::async_trait]
impl Recommendations for Recommender {
    type WatchRecommendationsStream =
        futures::stream::BoxStream<'static, Result<RecommendationsChanged, Status>>;

    async fn process_film_update(
        &self,
        request: Request<FilmUpdate>,
    ) -> Result<Response<FilmUpdateResponse>, Status> {
        self.listen(Told::Saved(request.into_inner())).await?;
        Ok(Response::new(FilmUpdateResponse { success: true }))
    }

    async fn remove_film(
        &self,
        request: Request<RemoveFilmRequest>,
    ) -> Result<Response<RemoveFilmResponse>, Status> {
        let RemoveFilmRequest { film_id, version } = request.into_inner();
        self.listen(Told::Removed {
            film_id,
            version: version.unwrap(),
        })
        .await?;
        Ok(Response::new(RemoveFilmResponse { success: true }))
    }

    async fn get_recommendation_statuses(
        &self,
        request: Request<RecommendationStatusesRequest>,
    ) -> Result<Response<RecommendationStatusesResponse>, Status> {
        let statuses = self.statuses.lock().unwrap().clone();
        let Statuses {
            recommended,
            pending,
            version,
        } = statuses.ok_or_else(|| Status::unimplemented("an older service"))?;
        let films = request.into_inner().film_ids.into_iter();
        let films = films.map(|film_id| FilmStatus {
            is_recommended: recommended.contains(&film_id),
            is_pending: pending.contains(&film_id),
            film_id,
        });
        Ok(Response::new(RecommendationStatusesResponse {
            films: films.collect(),
            version,
        }))
    }

    async fn get_recommendations(
        &self,
        _: Request<RecommendationsRequest>,
    ) -> Result<Response<RecommendationsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn create_preference(
        &self,
        _: Request<CreatePreferenceRequest>,
    ) -> Result<Response<Preference>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_preferences(
        &self,
        _: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_preference(
        &self,
        _: Request<DeletePreferenceRequest>,
    ) -> Result<Response<DeletePreferenceResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_recommendations(
        &self,
        _: Request<WatchRecommendationsRequest>,
    ) -> Result<Response<Self::WatchRecommendationsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn mark_seen(
        &self,
        _: Request<MarkSeenRequest>,
    ) -> Result<Response<MarkSeenResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn find_films(
        &self,
        _: Request<FindFilmsRequest>,
    ) -> Result<Response<FindFilmsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn mark_films(
        &self,
        _: Request<MarkFilmsRequest>,
    ) -> Result<Response<MarkFilmsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchUsersStream = futures::stream::BoxStream<'static, Result<UsersChanged, Status>>;

    async fn watch_users(
        &self,
        _: Request<WatchUsersRequest>,
    ) -> Result<Response<Self::WatchUsersStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
