//! What can go wrong in the catalog, and how callers learn of it.
//!
//! Callers that are programs of ours find the reason in the status details (`google.rpc.BadRequest`,
//! `google.rpc.ErrorInfo`); older ones read the message.

use std::collections::HashMap;

use proto::reasons;
use runtime::{AskError, ErrorCode, ServiceError};
use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::films::{ExternalId, FieldErrors, FilmId, InvalidFilmId};

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such film.
    #[error("there is no such film; it may have been deleted")]
    NotFound,
    /// What was asked makes no sense; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// Fields of a film are refused.
    #[error(transparent)]
    Fields(#[from] FieldErrors),
    /// The film has another version than the one that the editor saw.
    #[error("the film was edited meanwhile; read it again")]
    VersionDiffers,
    /// Another film has the same title and year.
    #[error("there is a film of this title and year: `{0}`")]
    SameTitleAndYear(FilmId),
    /// Another film has one of the ids elsewhere.
    #[error("another film has the id {0}: `{1}`")]
    ExternalIdInUse(ExternalId, FilmId),
    /// The id for a new film is that of a film which says something else, or which was deleted.
    #[error("the id is that of another film; use a new one")]
    IdInUse,
    /// A change of a film cannot be undone, because the film is no longer as the change left it.
    #[error("the film was changed since; undo its last change, or edit the film")]
    ChangedSince,
    /// The deletion of a film cannot be undone any more.
    #[error("the film was deleted too long ago; add it again")]
    DeletedTooLongAgo,
    /// There is no change of that number.
    #[error("there is no such change; it may be too old")]
    NoSuchChange,
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

impl ServiceError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound | Self::NoSuchChange => ErrorCode::NotFound,
            Self::Invalid(_) | Self::Fields(_) => ErrorCode::Invalid,
            Self::VersionDiffers | Self::ChangedSince | Self::DeletedTooLongAgo => {
                ErrorCode::FailedPrecondition
            }
            Self::SameTitleAndYear(_) | Self::ExternalIdInUse(..) | Self::IdInUse => {
                ErrorCode::AlreadyExists
            }
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Full => ErrorCode::DiskFull,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Database(_) => ErrorCode::Internal,
        }
    }
}

impl Error {
    /// The status that the caller gets. An error of the catalog's own is logged here, once; its cause
    /// is not in the status.
    pub fn into_status(self) -> Status {
        runtime::log_error(&self);
        let (code, message) = (self.code().grpc_code(), self.to_string());
        let info = |reason: &str| {
            let none = HashMap::new();
            ErrorDetails::with_error_info(reason, reasons::DOMAIN, none)
        };
        let of_film = |reason: &str, id: &FilmId| {
            let id = (reasons::FILM_ID.to_owned(), id.to_string());
            ErrorDetails::with_error_info(reason, reasons::DOMAIN, HashMap::from([id]))
        };
        let details = match &self {
            Self::Fields(FieldErrors(errors)) => {
                let violation = |error: &crate::films::FieldError| {
                    FieldViolation::new(error.field, &error.message)
                };
                ErrorDetails::with_bad_request(errors.iter().map(violation).collect::<Vec<_>>())
            }
            Self::VersionDiffers => info(reasons::VERSION_DIFFERS),
            Self::ChangedSince => info(reasons::FILM_CHANGED_SINCE),
            Self::DeletedTooLongAgo => info(reasons::DELETED_TOO_LONG_AGO),
            Self::IdInUse => info(reasons::ID_IN_USE),
            Self::SameTitleAndYear(id) => of_film(reasons::SAME_TITLE_AND_YEAR, id),
            Self::ExternalIdInUse(_, id) => of_film(reasons::EXTERNAL_ID_IN_USE, id),
            Self::Full => info(reasons::DISK_FULL),
            _ => return Status::new(code, message),
        };
        Status::with_error_details(code, message, details)
    }
}
