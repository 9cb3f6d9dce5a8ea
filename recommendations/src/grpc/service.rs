//! The calls of the contract, from message to message.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, stream};
use proto::UserId;
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, DeletePreferenceResponse, FilmMark,
    FilmStatus, FilmUpdate, FilmUpdateResponse, FindFilmsRequest, FindFilmsResponse,
    GetPreferencesRequest, GetPreferencesResponse, MarkFilmsRequest, MarkFilmsResponse,
    MarkSeenRequest, MarkSeenResponse, MovieRecommendation, Preference,
    RecommendationStatusesRequest, RecommendationStatusesResponse, RecommendationsChanged,
    RecommendationsRequest, RecommendationsResponse, RemoveFilmRequest, RemoveFilmResponse,
    UsersChanged, WatchRecommendationsRequest, WatchUsersRequest,
    recommendations_server::Recommendations,
};
use runtime::{Shutdown, grpc::MAX_RESPONSE_BYTES};
use tokio::sync::broadcast;
use tonic::{Request, Response, Status, async_trait};

use super::{
    requests::{self, Page},
    user_request::admit,
};
use crate::{
    error::Error,
    recommender::{Recommended, Recommender},
    watchers::Watch,
};

/// The calls of the contract, and ours.
#[derive(Clone)]
pub struct RecommendationsService {
    recommender: Recommender,
    shutdown: Shutdown,
}

impl RecommendationsService {
    /// The service on the wire of `recommender`. Its streams end when the shutdown begins.
    pub fn new(recommender: Recommender, shutdown: Shutdown) -> Self {
        Self {
            recommender,
            shutdown,
        }
    }

    async fn get_page(
        &self,
        user: UserId,
        request: RecommendationsRequest,
    ) -> Result<RecommendationsResponse, Error> {
        let Page { offset, limit } = Page::read(&request)?;
        let page = self
            .recommender
            .recommendations(user, offset, limit)
            .await?;
        // The page fits, unless the reasons are very many.
        let mut bytes = 0;
        let fits = |film: &MovieRecommendation| {
            bytes += size(film);
            bytes <= MAX_RESPONSE_BYTES
        };
        Ok(RecommendationsResponse {
            recommendations: page
                .films
                .into_iter()
                .map(message)
                .take_while(fits)
                .collect(),
            total: i32::try_from(page.total).unwrap_or(i32::MAX),
        })
    }

    async fn get_marks(
        &self,
        user: UserId,
        request: MarkFilmsRequest,
    ) -> Result<MarkFilmsResponse, Error> {
        let films = requests::film_ids(&request.film_ids)?;
        let keyword = match request.keyword.trim() {
            "" => None,
            keyword => Some(requests::stored_keyword(keyword)?),
        };
        let (marked, counts) = self.recommender.marks(user, films).await?;
        let followed_keyword = match keyword {
            Some(keyword) => self.recommender.followed(user, keyword).await?,
            None => None,
        };
        let marks = marked.into_iter().map(|marked| FilmMark {
            film_id: marked.film.id.to_string(),
            matched_keywords: marked.keywords,
        });
        Ok(MarkFilmsResponse {
            marks: marks.collect(),
            total: i32::try_from(counts.total).unwrap_or(i32::MAX),
            new: i32::try_from(counts.new).ok(),
            is_unsettled: counts.is_unsettled,
            followed_keyword,
        })
    }

    async fn find(&self, request: FindFilmsRequest) -> Result<FindFilmsResponse, Error> {
        let (offset, limit) = requests::found_page(&request)?;
        let keyword = requests::keyword(&request.keyword)?;
        let found = self.recommender.find_films(&keyword, offset, limit).await?;
        let films = found.films.into_iter().map(|mut film| {
            film.facts.description.clear();
            message(Recommended {
                film,
                keywords: Vec::new(),
            })
        });
        Ok(FindFilmsResponse {
            films: films.collect(),
            total: i32::try_from(found.total).unwrap_or(i32::MAX),
            known_films: i32::try_from(found.known).unwrap_or(i32::MAX),
        })
    }

    async fn get_keywords(&self, user: UserId) -> Result<GetPreferencesResponse, Error> {
        let counted = self.recommender.preferences(user).await?;
        let preferences = counted.into_iter().map(|(keyword, films)| Preference {
            user_id: user.0,
            keyword,
            matching_films: films.map(|films| i32::try_from(films).unwrap_or(i32::MAX)),
            is_new: None,
        });
        Ok(GetPreferencesResponse {
            preferences: preferences.collect(),
        })
    }
}

#[async_trait]
impl Recommendations for RecommendationsService {
    async fn get_recommendations(
        &self,
        request: Request<RecommendationsRequest>,
    ) -> Result<Response<RecommendationsResponse>, Status> {
        let (user, request) = admit(request)?;
        answer(self.get_page(user, request)).await
    }

    async fn create_preference(
        &self,
        request: Request<CreatePreferenceRequest>,
    ) -> Result<Response<Preference>, Status> {
        let (user, request) = admit(request)?;
        let CreatePreferenceRequest { user_id, keyword } = request;
        let create = async {
            let is_new = self
                .recommender
                .follow(user, &requests::keyword(&keyword)?)
                .await?;
            Ok(Preference {
                user_id,
                keyword,
                matching_films: None,
                is_new: Some(is_new),
            })
        };
        answer(create).await
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        let (user, _) = admit(request)?;
        answer(self.get_keywords(user)).await
    }

    async fn delete_preference(
        &self,
        request: Request<DeletePreferenceRequest>,
    ) -> Result<Response<DeletePreferenceResponse>, Status> {
        let (user, request) = admit(request)?;
        let delete = async {
            let keyword = requests::stored_keyword(&request.keyword)?;
            let success = self.recommender.stop_following(user, keyword).await?;
            Ok(DeletePreferenceResponse { success })
        };
        answer(delete).await
    }

    async fn process_film_update(
        &self,
        request: Request<FilmUpdate>,
    ) -> Result<Response<FilmUpdateResponse>, Status> {
        let film = request.into_inner();
        let process = async {
            let id = requests::film_id(&film.film_id)?;
            let version = requests::version(film.version)?;
            let facts = requests::film_facts(film)?;
            self.recommender.save_film(&id, facts, version).await?;
            Ok(FilmUpdateResponse { success: true })
        };
        answer(process).await
    }

    async fn remove_film(
        &self,
        request: Request<RemoveFilmRequest>,
    ) -> Result<Response<RemoveFilmResponse>, Status> {
        let request = request.into_inner();
        let remove = async {
            let id = requests::film_id(&request.film_id)?;
            let version = requests::version(request.version)?;
            let success = self.recommender.remove_film(&id, version).await?;
            Ok(RemoveFilmResponse { success })
        };
        answer(remove).await
    }

    async fn get_recommendation_statuses(
        &self,
        request: Request<RecommendationStatusesRequest>,
    ) -> Result<Response<RecommendationStatusesResponse>, Status> {
        let ids = request.into_inner().film_ids;
        let tell = async {
            requests::status_ids(&ids)?;
            let statuses = self.recommender.statuses(ids.clone()).await?;
            let films = ids.into_iter().map(|film_id| FilmStatus {
                is_recommended: statuses.recommended.contains(&film_id),
                is_pending: statuses.pending.contains(&film_id),
                film_id,
            });
            Ok(RecommendationStatusesResponse {
                films: films.collect(),
                version: statuses.version,
            })
        };
        answer(tell).await
    }

    async fn mark_films(
        &self,
        request: Request<MarkFilmsRequest>,
    ) -> Result<Response<MarkFilmsResponse>, Status> {
        let (user, request) = admit(request)?;
        answer(self.get_marks(user, request)).await
    }

    async fn mark_seen(
        &self,
        request: Request<MarkSeenRequest>,
    ) -> Result<Response<MarkSeenResponse>, Status> {
        let (user, _) = admit(request)?;
        let mark = async {
            self.recommender.mark_seen(user).await?;
            Ok(MarkSeenResponse {})
        };
        answer(mark).await
    }

    async fn find_films(
        &self,
        request: Request<FindFilmsRequest>,
    ) -> Result<Response<FindFilmsResponse>, Status> {
        answer(self.find(request.into_inner())).await
    }

    type WatchUsersStream = Pin<Box<dyn Stream<Item = Result<UsersChanged, Status>> + Send>>;

    async fn watch_users(
        &self,
        _: Request<WatchUsersRequest>,
    ) -> Result<Response<Self::WatchUsersStream>, Status> {
        let shutdown = self.shutdown.clone();
        let changes = users_changed(self.recommender.watch_users())
            .take_until(async move { shutdown.begun().await });
        Ok(Response::new(Box::pin(changes)))
    }

    type WatchRecommendationsStream =
        Pin<Box<dyn Stream<Item = Result<RecommendationsChanged, Status>> + Send>>;

    async fn watch_recommendations(
        &self,
        request: Request<WatchRecommendationsRequest>,
    ) -> Result<Response<Self::WatchRecommendationsStream>, Status> {
        let (user, _) = admit(request)?;
        let watch = self.recommender.watch(user).map_err(Error::from)?;
        let shutdown = self.shutdown.clone();
        let changes = changes(self.recommender.clone(), watch)
            .take_until(async move { shutdown.begun().await });
        Ok(Response::new(Box::pin(changes)))
    }
}

async fn answer<T>(work: impl Future<Output = Result<T, Error>>) -> Result<Response<T>, Status> {
    Ok(Response::new(work.await?))
}

/// One message at once, and one after each change.
fn changes(
    recommender: Recommender,
    watch: Watch,
) -> impl Stream<Item = Result<RecommendationsChanged, Status>> + Send {
    let state = Some((recommender, watch, true));
    stream::unfold(state, |state| async move {
        let (recommender, mut watch, first) = state?;
        if !first {
            watch.changed().await;
        }
        let read = recommender.fingerprint(watch.user());
        match watch.fingerprint(read).await {
            Ok(fingerprint) => {
                let total = i32::try_from(fingerprint.total).unwrap_or(i32::MAX);
                let message = RecommendationsChanged { total };
                Some((Ok(message), Some((recommender, watch, false))))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

/// One message for all users at once, and one for those of each change.
fn users_changed(
    changes: broadcast::Receiver<Arc<[UserId]>>,
) -> impl Stream<Item = Result<UsersChanged, Status>> + Send {
    let all = || UsersChanged {
        user_ids: Vec::new(),
        all: true,
    };
    let rest = stream::unfold(changes, move |mut changes| async move {
        let message = match changes.recv().await {
            Ok(users) => UsersChanged {
                user_ids: users.iter().map(|user| user.0).collect(),
                all: false,
            },
            Err(broadcast::error::RecvError::Lagged(_)) => all(),
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(message), changes))
    });
    stream::once(async move { Ok(all()) }).chain(rest)
}

fn message(recommended: Recommended) -> MovieRecommendation {
    let Recommended { film, keywords } = recommended;
    let rating = rating(film.facts.rating);
    MovieRecommendation {
        id: film.id.to_string(),
        title: film.facts.title,
        description: film.facts.description,
        genre: film.facts.genre,
        rating,
        release_year: film.facts.release_year,
        matched_keywords: keywords,
        exact_rating: film.facts.is_rated.then_some(rating),
    }
}

/// The rating as it was given: 8.7 and not 8.699999809265137, which is what the column holds.
fn rating(stored: f32) -> f64 {
    stored.to_string().parse().unwrap_or(f64::from(stored))
}

/// About how many bytes a film takes in an answer.
fn size(film: &MovieRecommendation) -> usize {
    let keywords: usize = film
        .matched_keywords
        .iter()
        .map(|word| word.len() + 4)
        .sum();
    film.title.len() + film.description.len() + film.genre.len() + keywords + 128
}
