//! The films that the fake catalog holds, and what it refuses.

use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use proto::{
    reasons,
    recommendations::{CreateMovieRequest, ExternalId, FilmChange, FilmUpdate, Movie},
    text::title_key,
};
use tokio::sync::watch;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{FakeRecommendations, UNPOISONED};

/// What answers the calls.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) held: Arc<Mutex<Held>>,
    pub(super) changes: watch::Sender<()>,
    pub(super) recommendations: Option<FakeRecommendations>,
}

#[derive(Default)]
pub(super) struct Held {
    /// The oldest first.
    pub(super) movies: Vec<Movie>,
    pub(super) deleted: Vec<Movie>,
    pub(super) version: i64,
    /// The oldest first.
    pub(super) changes: Vec<FilmChange>,
    /// What each call says instead of an answer.
    pub(super) failure: Option<(Code, String)>,
    pub(super) is_silent: bool,
    pub(super) lists: usize,
    pub(super) writes: usize,
    pub(super) users: Vec<Option<String>>,
}

impl Calls {
    pub(super) fn edit(&self, id: &str, edit: impl FnOnce(&mut Movie)) {
        let mut held = self.held();
        held.version += 1;
        let version = held.version;
        let mut movies = held.movies.iter_mut();
        let movie = movies.find(|movie| movie.id == id);
        let movie = movie.expect("a test edits a film that is there");
        edit(movie);
        movie.version = Some(version);
        drop(held);
        self.changes.send_replace(());
    }

    pub(super) fn remove(&self, id: &str) {
        self.held().movies.retain(|movie| movie.id != id);
        self.changes.send_replace(());
    }

    pub(super) fn add(&self, title: &str, genre: &str) -> String {
        let request = CreateMovieRequest {
            title: title.into(),
            genre: genre.into(),
            ..CreateMovieRequest::default()
        };
        let movie = self.insert(request);
        self.changed(&movie);
        movie.id
    }

    pub(super) fn movies(&self) -> Vec<Movie> {
        self.held().movies.clone()
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect(UNPOISONED)
    }

    /// Fails, or never comes back, if the service is to do so.
    pub(super) async fn speak(&self) -> Result<(), Status> {
        let (is_silent, failure) = {
            let held = self.held();
            (held.is_silent, held.failure.clone())
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        match failure {
            Some((code, message)) => Err(Status::new(code, message)),
            None => Ok(()),
        }
    }

    pub(super) fn wrote<T>(&self, request: &Request<T>) {
        let user = request.metadata().get("marquee-user");
        let user = user.map(|user| {
            let user = user.to_str().expect("a user is a number");
            user.to_owned()
        });
        let mut held = self.held();
        held.writes += 1;
        held.users.push(user);
    }

    /// Refuses an id elsewhere that another movie than `id` has.
    pub(super) fn refuse_taken(&self, id: &str, ids: &[ExternalId]) -> Result<(), Status> {
        let movies = self.movies();
        let other = movies.iter().find(|movie| {
            movie.id != id && movie.external_ids.iter().any(|taken| ids.contains(taken))
        });
        match other {
            None => Ok(()),
            Some(other) => {
                let id = (reasons::FILM_ID, other.id.as_str());
                let reason = reasons::EXTERNAL_ID_IN_USE;
                Err(refusal(Code::AlreadyExists, reason, &[id]))
            }
        }
    }

    /// Refuses a title and year that another movie than `id` has.
    pub(super) fn refuse_same(&self, id: &str, title: &str, year: &str) -> Result<(), Status> {
        let is_year = |other: &str| other == year || other.is_empty() || year.is_empty();
        let movies = self.movies();
        let same = movies.iter().find(|movie| {
            movie.id != id
                && title_key(&movie.title) == title_key(title)
                && is_year(&movie.release_year)
        });
        match same {
            None => Ok(()),
            Some(same) => {
                let id = (reasons::FILM_ID, same.id.as_str());
                let reason = reasons::SAME_TITLE_AND_YEAR;
                Err(refusal(Code::AlreadyExists, reason, &[id]))
            }
        }
    }

    pub(super) fn insert(&self, request: CreateMovieRequest) -> Movie {
        let mut held = self.held();
        held.version += 1;
        // A second apart, so that the order of addition is certain.
        let added = time(Utc::now() + Duration::seconds(held.version));
        let movie = Movie {
            id: request
                .id
                .unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            title: request.title.trim().into(),
            description: request.description.replace("\r\n", "\n").trim().into(),
            genre: request.genre.trim().into(),
            rating: request.rating,
            exact_rating: request.exact_rating,
            release_year: request.release_year.trim().into(),
            created_at: added.clone(),
            updated_at: added,
            is_recommended: Some(false),
            version: Some(held.version),
            description_is_cut: None,
            external_ids: sorted(request.external_ids),
        };
        held.movies.push(movie.clone());
        held.movies.sort_by(|a, b| a.created_at.cmp(&b.created_at));
        movie
    }

    pub(super) fn changed(&self, movie: &Movie) {
        if let Some(recommendations) = &self.recommendations {
            let wanted = recommendations.know(FilmUpdate {
                film_id: movie.id.clone(),
                title: movie.title.clone(),
                description: movie.description.clone(),
                genre: movie.genre.clone(),
                rating: movie.rating,
                exact_rating: movie.exact_rating,
                release_year: movie.release_year.clone(),
                ..FilmUpdate::default()
            });
            let mut held = self.held();
            let known = held.movies.iter_mut().find(|known| known.id == movie.id);
            if let Some(known) = known {
                known.is_recommended = Some(wanted);
            }
        }
        self.changes.send_replace(());
    }
}

/// The ids in the order in which a catalog answers them.
pub(super) fn sorted(mut ids: Vec<ExternalId>) -> Vec<ExternalId> {
    ids.sort_by(|a, b| (&a.source, &a.value).cmp(&(&b.source, &b.value)));
    ids
}

/// Checks what the pages' tests get wrong.
pub(super) fn check(title: &str, year: &str, rating: Option<f64>) -> Result<(), Status> {
    let mut violations = Vec::new();
    if title.trim_matches(['\u{200b}', ' ']).is_empty() {
        violations.push(FieldViolation::new("title", "Give the film a title."));
    }
    if rating.is_some_and(|rating| !(0.0..=10.0).contains(&rating)) {
        let accepted = "A rating is a number from 0 to 10, such as 7.5, or nothing.";
        violations.push(FieldViolation::new("rating", accepted));
    }
    if !matches!(year.trim().len(), 0 | 4) {
        let accepted = "A year is four digits from 1878 to 2100, or nothing.";
        violations.push(FieldViolation::new("release_year", accepted));
    }
    if violations.is_empty() {
        return Ok(());
    }
    let details = ErrorDetails::with_bad_request(violations);
    let message = "fields are refused";
    Err(Status::with_error_details(
        Code::InvalidArgument,
        message,
        details,
    ))
}

pub(super) fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata = metadata
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let metadata: std::collections::HashMap<_, _> = metadata.collect();
    let details = ErrorDetails::with_error_info(reason, reasons::DOMAIN, metadata);
    Status::with_error_details(code, reason, details)
}

pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
