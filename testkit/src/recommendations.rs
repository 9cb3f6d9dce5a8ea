//! A recommendations service that keeps what it is told in memory and finds keywords as parts of
//! texts. Every user has keywords of their own. A test may have it refuse films, or answer late.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use proto::recommendations::{
    CreatePreferenceRequest, DeletePreferenceRequest, DeletePreferenceResponse, FilmMark,
    FilmStatus, FilmUpdate, FilmUpdateResponse, FindFilmsRequest, FindFilmsResponse,
    GetPreferencesRequest, GetPreferencesResponse, MarkFilmsRequest, MarkFilmsResponse,
    MarkSeenRequest, MarkSeenResponse, MovieRecommendation, Preference,
    RecommendationStatusesRequest, RecommendationStatusesResponse, RecommendationsChanged,
    RecommendationsRequest, RecommendationsResponse, RemoveFilmRequest, RemoveFilmResponse,
    UsersChanged, WatchRecommendationsRequest, WatchUsersRequest,
    recommendations_server::{Recommendations, RecommendationsServer},
};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::{UNPOISONED, server::FakeServer};

/// Why there is a version.
const VERSIONED: &str = "a catalog that is tested gives versions";

/// What a catalog told the service of a film.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The film was added or edited.
    Saved(FilmUpdate),
    /// The film was deleted.
    Removed(RemoveFilmRequest),
}

impl Told {
    /// The id of the film.
    pub fn film_id(&self) -> &str {
        match self {
            Self::Saved(update) => &update.film_id,
            Self::Removed(removal) => &removal.film_id,
        }
    }

    /// The version of the film, or of its deletion.
    ///
    /// # Panics
    ///
    /// If the catalog gave none, as old ones do.
    pub fn version(&self) -> i64 {
        match self {
            Self::Saved(update) => update.version.expect(VERSIONED),
            Self::Removed(removal) => removal.version.expect(VERSIONED),
        }
    }
}

/// Decides on what a catalog tells before it counts as told: an error, or how long the answer takes.
type Verdict = Box<dyn FnMut(&Told) -> Result<Duration, Code> + Send>;

/// The service, and what it was told. Clones know the same.
#[derive(Clone)]
pub struct FakeRecommendations {
    calls: Calls,
    server: FakeServer,
}

/// What answers the calls.
#[derive(Clone)]
struct Calls {
    state: Arc<Mutex<State>>,
    verdict: Arc<Mutex<Option<Verdict>>>,
    changes: watch::Sender<()>,
}

/// What the service answers about the films' recommendations. Older services answer nothing.
#[derive(Clone)]
struct Statuses {
    recommended: Vec<String>,
    pending: Vec<String>,
    version: i64,
}

#[derive(Default)]
struct State {
    keywords: Vec<Preference>,
    films: Vec<FilmUpdate>,
    /// What catalogs told by calls, in order.
    told: Vec<Told>,
    /// How many calls of catalogs are being answered, and the most that were.
    busy: usize,
    busiest: usize,
    statuses: Option<Statuses>,
    is_silent: bool,
    is_unsettled: bool,
    /// How many films each user was recommended at the last look.
    looks: BTreeMap<i32, usize>,
    /// How many calls were made, by name.
    calls: BTreeMap<&'static str, usize>,
    /// How many watches of each user are open.
    watches: BTreeMap<i32, usize>,
}

impl FakeRecommendations {
    /// Starts the service.
    pub fn start() -> Self {
        let service = Self::absent();
        service.come_back();
        service
    }

    /// A service at an address where nothing answers, until [`Self::come_back`].
    pub fn absent() -> Self {
        Self {
            calls: Calls {
                state: Arc::default(),
                verdict: Arc::default(),
                changes: watch::Sender::new(()),
            },
            server: FakeServer::new(),
        }
    }

    /// Where the service is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Ends the service, with all its connections; what it was told stays.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Starts the service where it is expected.
    pub fn come_back(&self) {
        let service = RecommendationsServer::new(self.calls.clone());
        self.server.serve(Server::builder().add_service(service));
    }

    /// From now on says that films of keywords are still being worked on.
    pub fn be_unsettled(&self) {
        self.calls.state().is_unsettled = true;
    }

    /// From now on takes every call and answers none.
    pub fn fall_silent(&self) {
        self.calls.state().is_silent = true;
    }

    /// From now on `decide` says what becomes of the films that catalogs send.
    pub fn decide_by(&self, decide: impl FnMut(&Told) -> Result<Duration, Code> + Send + 'static) {
        *self.calls.verdict.lock().expect(UNPOISONED) = Some(Box::new(decide));
    }

    /// From now on answers which films are recommended, and for which an event is pending.
    pub fn say(&self, recommended: &[&str], pending: &[&str], version: i64) {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        self.calls.state().statuses = Some(Statuses {
            recommended: owned(recommended),
            pending: owned(pending),
            version,
        });
    }

    /// What catalogs told by calls, in order.
    pub fn told(&self) -> Vec<Told> {
        self.calls.state().told.clone()
    }

    /// What catalogs told of a film, in order.
    pub fn told_of(&self, film_id: &str) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|told| told.film_id() == film_id);
        told
    }

    /// The most calls of catalogs that were answered at a time.
    pub fn busiest(&self) -> usize {
        self.calls.state().busiest
    }

    /// The keywords that a user follows.
    pub fn keywords(&self, user: i32) -> Vec<String> {
        let state = self.calls.state();
        let own = state.of(user);
        own.map(|preference| preference.keyword.clone()).collect()
    }

    /// Follows a keyword without the pages, as another client would.
    pub fn follow(&self, user: i32, keyword: &str) {
        self.calls.state().keywords.push(Preference {
            user_id: user,
            keyword: keyword.into(),
            matching_films: None,
            is_new: None,
        });
        self.calls.changes.send_replace(());
    }

    /// Learns of a film; answers whether it is recommended to any user.
    pub fn know(&self, film: FilmUpdate) -> bool {
        self.calls.know(film)
    }

    /// Forgets a film.
    pub fn forget(&self, film_id: &str) {
        self.calls.forget(film_id);
    }

    /// How many calls of this name were made.
    pub fn calls(&self, name: &str) -> usize {
        self.calls
            .state()
            .calls
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// How many watches of a user are open.
    pub fn watches(&self, user: i32) -> usize {
        self.calls
            .state()
            .watches
            .get(&user)
            .copied()
            .unwrap_or_default()
    }
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    fn know(&self, film: FilmUpdate) -> bool {
        let mut state = self.state();
        state.films.retain(|known| known.film_id != film.film_id);
        let mut followed = state.keywords.iter();
        let wanted = followed.any(|preference| State::matches(&film, &preference.keyword));
        state.films.push(film);
        drop(state);
        self.changes.send_replace(());
        wanted
    }

    fn forget(&self, film_id: &str) {
        let mut state = self.state();
        state.films.retain(|known| known.film_id != film_id);
        drop(state);
        self.changes.send_replace(());
    }

    /// Takes down what a catalog tells, unless it is decided to fail.
    async fn listen(&self, told: Told) -> Result<(), Status> {
        {
            let mut state = self.state();
            state.busy += 1;
            state.busiest = state.busiest.max(state.busy);
        }
        let decide = |verdict: &mut Verdict| verdict(&told);
        let verdict = self.verdict.lock().expect(UNPOISONED).as_mut().map(decide);
        if let Some(Ok(delay)) = verdict {
            // The answer takes as long as the test decided.
            tokio::time::sleep(delay).await;
        }
        let mut state = self.state();
        state.busy -= 1;
        match verdict {
            Some(Err(code)) => Err(Status::new(code, "as decided")),
            _ => {
                state.told.push(told);
                Ok(())
            }
        }
    }

    /// Counts a call; never comes back if the service is silent.
    async fn speak(&self, name: &'static str) {
        let is_silent = {
            let mut state = self.state();
            *state.calls.entry(name).or_default() += 1;
            state.is_silent
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
}

impl State {
    fn matches(film: &FilmUpdate, keyword: &str) -> bool {
        format!("{} {} {}", film.title, film.description, film.genre)
            .to_lowercase()
            .contains(&keyword.to_lowercase())
    }

    fn of(&self, user: i32) -> impl Iterator<Item = &Preference> {
        let all = self.keywords.iter();
        all.filter(move |preference| preference.user_id == user)
    }

    /// The newest first.
    fn recommended(&self, user: i32) -> Vec<MovieRecommendation> {
        let recommend = |film: &FilmUpdate| {
            let matched = self
                .of(user)
                .map(|preference| preference.keyword.clone())
                .filter(|keyword| Self::matches(film, keyword));
            MovieRecommendation {
                id: film.film_id.clone(),
                title: film.title.clone(),
                description: film.description.clone(),
                genre: film.genre.clone(),
                rating: film.rating,
                exact_rating: film.exact_rating,
                release_year: film.release_year.clone(),
                matched_keywords: matched.collect(),
            }
        };
        let all = self.films.iter().rev().map(recommend);
        all.filter(|film| !film.matched_keywords.is_empty())
            .collect()
    }
}

/// That a watch is open.
struct OpenWatch(Calls, i32);

impl OpenWatch {
    fn new(calls: Calls, user: i32) -> Self {
        *calls.state().watches.entry(user).or_default() += 1;
        Self(calls, user)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        *self.0.state().watches.entry(self.1).or_default() -= 1;
    }
}

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
            let total = watch.0.state().recommended(watch.1).len() as i32;
            Ok(RecommendationsChanged { total })
        });
        Ok(Response::new(changes.boxed()))
    }
}
