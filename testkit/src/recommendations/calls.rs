//! What the fake recommendations service answers to each call.

use futures::{StreamExt, stream::BoxStream};
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
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use super::{
    Told,
    state::{Calls, OpenWatch, State, Statuses},
};

#[tonic::async_trait]
impl Recommendations for Calls {
    async fn get_recommendations(
        &self,
        request: Request<RecommendationsRequest>,
    ) -> Result<Response<RecommendationsResponse>, Status> {
        self.speak("GetRecommendations").await;
        let RecommendationsRequest {
            user_id,
            max_results,
            offset,
            ..
        } = request.into_inner();
        let user = user_id.parse();
        let user = user.map_err(|_| Status::invalid_argument("a user is a number"))?;
        let all = self.state().recommended(user);
        let total = all.len() as i32;
        let page = all
            .into_iter()
            .skip(offset as usize)
            .take(max_results as usize);
        Ok(Response::new(RecommendationsResponse {
            recommendations: page.collect(),
            total,
        }))
    }

    async fn create_preference(
        &self,
        request: Request<CreatePreferenceRequest>,
    ) -> Result<Response<Preference>, Status> {
        self.speak("CreatePreference").await;
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
            is_new: None,
        };
        let mut state = self.state();
        let known = state
            .of(user_id)
            .any(|followed| followed.keyword.to_lowercase() == preference.keyword.to_lowercase());
        if !known {
            state.keywords.push(preference.clone());
        }
        drop(state);
        self.changes.send_replace(());
        Ok(Response::new(Preference {
            is_new: Some(!known),
            ..preference
        }))
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        self.speak("GetPreferences").await;
        let user = request.into_inner().user_id;
        let state = self.state();
        let counted = state.of(user).map(|preference| {
            let matching = state
                .films
                .iter()
                .filter(|film| State::matches(film, &preference.keyword))
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
        self.speak("DeletePreference").await;
        let DeletePreferenceRequest { user_id, keyword } = request.into_inner();
        let mut state = self.state();
        let before = state.keywords.len();
        state
            .keywords
            .retain(|preference| preference.user_id != user_id || preference.keyword != keyword);
        let success = state.keywords.len() < before;
        drop(state);
        self.changes.send_replace(());
        Ok(Response::new(DeletePreferenceResponse { success }))
    }

    async fn process_film_update(
        &self,
        request: Request<FilmUpdate>,
    ) -> Result<Response<FilmUpdateResponse>, Status> {
        self.speak("ProcessFilmUpdate").await;
        let film = request.into_inner();
        self.listen(Told::Saved(film.clone())).await?;
        self.know(film);
        Ok(Response::new(FilmUpdateResponse { success: true }))
    }

    async fn remove_film(
        &self,
        request: Request<RemoveFilmRequest>,
    ) -> Result<Response<RemoveFilmResponse>, Status> {
        self.speak("RemoveFilm").await;
        let removal = request.into_inner();
        self.listen(Told::Removed(removal.clone())).await?;
        self.forget(&removal.film_id);
        Ok(Response::new(RemoveFilmResponse { success: true }))
    }

    async fn get_recommendation_statuses(
        &self,
        request: Request<RecommendationStatusesRequest>,
    ) -> Result<Response<RecommendationStatusesResponse>, Status> {
        self.speak("GetRecommendationStatuses").await;
        let statuses = self.state().statuses.clone();
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

    async fn mark_films(
        &self,
        request: Request<MarkFilmsRequest>,
    ) -> Result<Response<MarkFilmsResponse>, Status> {
        self.speak("MarkFilms").await;
        let MarkFilmsRequest {
            user_id,
            film_ids,
            keyword,
        } = request.into_inner();
        let state = self.state();
        let same = |followed: &&Preference| {
            followed.keyword.to_lowercase() == keyword.trim().to_lowercase()
        };
        let followed_keyword = state.of(user_id).find(same);
        let followed_keyword = followed_keyword.map(|followed| followed.keyword.clone());
        let seen = state.looks.get(&user_id).copied().unwrap_or_default();
        let all = state.recommended(user_id);
        let total = all.len() as i32;
        let new = all.len().saturating_sub(seen) as i32;
        let asked = all.into_iter().filter(|film| film_ids.contains(&film.id));
        let mark = |film: MovieRecommendation| FilmMark {
            film_id: film.id,
            matched_keywords: film.matched_keywords,
        };
        Ok(Response::new(MarkFilmsResponse {
            marks: asked.map(mark).collect(),
            total,
            new: Some(new),
            is_unsettled: state.is_unsettled,
            followed_keyword,
        }))
    }

    async fn mark_seen(
        &self,
        request: Request<MarkSeenRequest>,
    ) -> Result<Response<MarkSeenResponse>, Status> {
        self.speak("MarkSeen").await;
        let user = request.into_inner().user_id;
        let mut state = self.state();
        let seen = state.recommended(user).len();
        state.looks.insert(user, seen);
        Ok(Response::new(MarkSeenResponse {}))
    }

    async fn find_films(
        &self,
        request: Request<FindFilmsRequest>,
    ) -> Result<Response<FindFilmsResponse>, Status> {
        self.speak("FindFilms").await;
        let FindFilmsRequest {
            keyword,
            max_results,
            offset,
        } = request.into_inner();
        if keyword.contains('!') {
            return Err(Status::invalid_argument("a keyword holds no `!`"));
        }
        let state = self.state();
        let newest_first = state.films.iter().rev();
        let found: Vec<_> = newest_first
            .filter(|film| State::matches(film, &keyword))
            .map(|film| MovieRecommendation {
                id: film.film_id.clone(),
                title: film.title.clone(),
                description: String::new(),
                genre: film.genre.clone(),
                rating: film.rating,
                exact_rating: film.exact_rating,
                release_year: film.release_year.clone(),
                matched_keywords: Vec::new(),
            })
            .collect();
        let total = found.len() as i32;
        let page = found.into_iter().skip(offset as usize);
        Ok(Response::new(FindFilmsResponse {
            films: page.take(max_results as usize).collect(),
            total,
            known_films: state.films.len() as i32,
        }))
    }

    type WatchUsersStream = BoxStream<'static, Result<UsersChanged, Status>>;

    async fn watch_users(
        &self,
        _: Request<WatchUsersRequest>,
    ) -> Result<Response<Self::WatchUsersStream>, Status> {
        let changes = WatchStream::new(self.changes.subscribe()).map(|()| {
            Ok(UsersChanged {
                user_ids: Vec::new(),
                all: true,
            })
        });
        Ok(Response::new(changes.boxed()))
    }

    type WatchRecommendationsStream = BoxStream<'static, Result<RecommendationsChanged, Status>>;

    async fn watch_recommendations(
        &self,
        request: Request<WatchRecommendationsRequest>,
    ) -> Result<Response<Self::WatchRecommendationsStream>, Status> {
        self.speak("WatchRecommendations").await;
        let user = request.into_inner().user_id;
        let watch = OpenWatch::new(self.clone(), user);
        let changes = WatchStream::new(self.changes.subscribe()).map(move |()| {
            let total = watch.total();
            Ok(RecommendationsChanged { total })
        });
        Ok(Response::new(changes.boxed()))
    }
}
