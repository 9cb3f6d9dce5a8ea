//! What can go wrong in the catalog, and how that is told to callers.

use actix_web::http::StatusCode;
use runtime::{AskError, telemetry};
use tonic::{Code, Status};

use crate::movies::{FieldErrors, InvalidFilmId};

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such movie.
    #[error("there is no such film; it may have been deleted")]
    NotFound,
    /// What was asked makes no sense; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// The recommendations service cannot be reached, or does not answer in time.
    #[error("recommendations are away at the moment; try again in a little while")]
    RecommendationsAway,
    /// The recommendations service answered with an error of its own.
    #[error("the recommendations service failed")]
    RecommendationsFailed(#[source] Box<Status>),
    /// More is asked of the catalog than it can do; nothing was done.
    #[error("too much is going on at the moment; try again in a little while")]
    Overloaded,
    /// A part of the catalog is down or did not answer in time. A write may have been done.
    #[error("the catalog is away at the moment; try again in a little while")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no room on the disk; nothing was done.
    #[error("there is no room on the disk; nothing was saved")]
    Full,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] storage::Error),
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Overloaded(_) => Self::Overloaded,
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Overloaded => Self::Overloaded,
            storage::Error::Full(_) => Self::Full,
            storage::Error::Unavailable(_) | storage::Error::Deadline(_) => {
                Self::Unavailable(Box::new(error))
            }
            storage::Error::Panicked | storage::Error::Query(_) => Self::Database(error),
        }
    }
}

impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors.to_string())
    }
}

impl From<InvalidFilmId> for Error {
    fn from(error: InvalidFilmId) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Error {
    /// The status by which HTTP and gRPC callers learn of the error.
    pub fn codes(&self) -> (StatusCode, Code) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, Code::NotFound),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument),
            Self::RecommendationsAway => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::RecommendationsFailed(_) => (StatusCode::BAD_GATEWAY, Code::Internal),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted),
            Self::Full => (StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::Database(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }

    /// Writes the error to the log if it is the catalog's own fault; its cause is shown to nobody
    /// else. Called once, where the error leaves the catalog.
    pub fn log(&self) {
        let cause = || match std::error::Error::source(self) {
            Some(cause) => telemetry::causes(cause),
            None => "none".into(),
        };
        match self {
            Self::NotFound | Self::Invalid(_) => {}
            // Those who need what is away tell of it once; here it would be told with each request.
            Self::RecommendationsAway | Self::Unavailable(_) | Self::Full => {
                tracing::debug!(cause = cause(), "a request was put off: {self}");
            }
            Self::RecommendationsFailed(_) | Self::Overloaded | Self::Database(_) => {
                let cause = cause();
                if let Some(before) = telemetry::seldom(&format!("{self}: {cause}")) {
                    tracing::error!(
                        cause,
                        before,
                        "a request failed{}: {self}: {cause}",
                        telemetry::like_others(before)
                    );
                }
            }
        }
    }
}
