//! What the fake recommendations service knows: keywords, films, and how it is to behave.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use proto::recommendations::{FilmUpdate, MovieRecommendation, Preference};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::Told;
use crate::UNPOISONED;

/// Decides on what a catalog tells before it counts as told: an error, or how long the answer takes.
pub(super) type Verdict = Box<dyn FnMut(&Told) -> Result<Duration, Code> + Send>;

/// What answers the calls.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) verdict: Arc<Mutex<Option<Verdict>>>,
    pub(super) changes: watch::Sender<()>,
}

/// What the service answers about the films' recommendations. Older services answer nothing.
#[derive(Clone)]
pub(super) struct Statuses {
    pub(super) recommended: Vec<String>,
    pub(super) pending: Vec<String>,
    pub(super) version: i64,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) keywords: Vec<Preference>,
    pub(super) films: Vec<FilmUpdate>,
    /// What catalogs told by calls, in order.
    pub(super) told: Vec<Told>,
    /// How many calls of catalogs are being answered, and the most that were.
    pub(super) busy: usize,
    pub(super) busiest: usize,
    pub(super) statuses: Option<Statuses>,
    pub(super) is_silent: bool,
    /// The name of the calls that are not answered.
    pub(super) silent_on: Option<&'static str>,
    pub(super) is_unsettled: bool,
    /// How many films each user was recommended at the last look.
    pub(super) looks: BTreeMap<i32, usize>,
    /// How many calls were made, by name.
    pub(super) calls: BTreeMap<&'static str, usize>,
    /// How many watches of each user are open.
    pub(super) watches: BTreeMap<i32, usize>,
}

impl Calls {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    pub(super) fn know(&self, film: FilmUpdate) -> bool {
        let mut state = self.state();
        state.films.retain(|known| known.film_id != film.film_id);
        let mut followed = state.keywords.iter();
        let wanted = followed.any(|preference| State::matches(&film, &preference.keyword));
        state.films.push(film);
        drop(state);
        self.changes.send_replace(());
        wanted
    }

    pub(super) fn forget(&self, film_id: &str) {
        let mut state = self.state();
        state.films.retain(|known| known.film_id != film_id);
        drop(state);
        self.changes.send_replace(());
    }

    /// Takes down what a catalog tells, unless it is decided to fail.
    pub(super) async fn listen(&self, told: Told) -> Result<(), Status> {
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

    /// Counts a call; never comes back if the service is silent on it.
    pub(super) async fn speak(&self, name: &'static str) {
        let is_silent = {
            let mut state = self.state();
            *state.calls.entry(name).or_default() += 1;
            state.is_silent || state.silent_on == Some(name)
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
    }
}

impl State {
    pub(super) fn matches(film: &FilmUpdate, keyword: &str) -> bool {
        format!("{} {} {}", film.title, film.description, film.genre)
            .to_lowercase()
            .contains(&keyword.to_lowercase())
    }

    pub(super) fn of(&self, user: i32) -> impl Iterator<Item = &Preference> {
        let all = self.keywords.iter();
        all.filter(move |preference| preference.user_id == user)
    }

    /// The newest first.
    pub(super) fn recommended(&self, user: i32) -> Vec<MovieRecommendation> {
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
pub(super) struct OpenWatch(Calls, i32);

impl OpenWatch {
    pub(super) fn new(calls: Calls, user: i32) -> Self {
        *calls.state().watches.entry(user).or_default() += 1;
        Self(calls, user)
    }

    /// How many films are recommended to its user now.
    pub(super) fn total(&self) -> i32 {
        self.0.state().recommended(self.1).len() as i32
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        *self.0.state().watches.entry(self.1).or_default() -= 1;
    }
}
