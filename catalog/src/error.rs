//! What can go wrong in the catalog, and how callers learn of it.
//!
//! Callers that are programs of ours find the reason in the status details (`google.rpc.BadRequest`,
//! `google.rpc.ErrorInfo`); older ones read the message.

use std::collections::HashMap;

use proto::reasons;
use runtime::{AskError, telemetry};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::movies::{FieldErrors, FilmId, InvalidFilmId};

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such movie.
    #[error("there is no such film; it may have been deleted")]
    NotFound,
    /// What was asked makes no sense; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// Fields of a movie are refused.
    #[error(transparent)]
    Fields(#[from] FieldErrors),
    /// The movie has another version than the one that the editor saw.
    #[error("the film was edited meanwhile; read it again")]
    VersionDiffers,
    /// Another movie has the same title and year.
    #[error("there is a film of this title and year: `{0}`")]
    SameTitleAndYear(FilmId),
    /// More is asked of the catalog than it can do; nothing was done.
    #[error("too much is going on at the moment; try again in a little while")]
    Overloaded,
    /// A part of the catalog is down or did not answer in time. A write may have been done.
    #[error("the catalog is unavailable at the moment; try again in a little while")]
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

impl From<InvalidFilmId> for Error {
    fn from(error: InvalidFilmId) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Error {
    /// The gRPC code of the error.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::Invalid(_) | Self::Fields(_) => Code::InvalidArgument,
            Self::VersionDiffers => Code::FailedPrecondition,
            Self::SameTitleAndYear(_) => Code::AlreadyExists,
            Self::Overloaded => Code::ResourceExhausted,
            Self::Full | Self::Unavailable(_) => Code::Unavailable,
            Self::Database(_) => Code::Internal,
        }
    }

    /// The status that the caller gets. An error of the catalog's own is logged here, once; its cause
    /// is not in the status.
    pub fn into_status(self) -> Status {
        self.log();
        let (code, message) = (self.code(), self.to_string());
        let info = |reason: &str| {
            let none = HashMap::new();
            ErrorDetails::with_error_info(reason, reasons::DOMAIN, none)
        };
        let details = match &self {
            Self::Fields(FieldErrors(errors)) => {
                let violation = |error: &crate::movies::FieldError| {
                    FieldViolation::new(error.field, &error.message)
                };
                ErrorDetails::with_bad_request(errors.iter().map(violation).collect::<Vec<_>>())
            }
            Self::VersionDiffers => info(reasons::VERSION_DIFFERS),
            Self::SameTitleAndYear(id) => {
                let id = (reasons::FILM_ID.to_owned(), id.to_string());
                ErrorDetails::with_error_info(
                    reasons::SAME_TITLE_AND_YEAR,
                    reasons::DOMAIN,
                    HashMap::from([id]),
                )
            }
            Self::Full => info(reasons::DISK_FULL),
            _ => return Status::new(code, message),
        };
        Status::with_error_details(code, message, details)
    }

    fn log(&self) {
        let cause = || match std::error::Error::source(self) {
            Some(cause) => telemetry::causes(cause),
            None => "none".into(),
        };
        match self {
            Self::NotFound
            | Self::Invalid(_)
            | Self::Fields(_)
            | Self::VersionDiffers
            | Self::SameTitleAndYear(_) => {}
            // The database and the actors log once what is unavailable, not with each request.
            Self::Unavailable(_) | Self::Full => {
                tracing::debug!(cause = cause(), "a request was put off: {self}");
            }
            Self::Overloaded | Self::Database(_) => {
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
