//! What can go wrong behind a page: the answers of the services that it calls.

use std::{collections::HashMap, fmt};

use actix_web::http::StatusCode;
use proto::FilmId;
use runtime::{AskError, ErrorCode, ServiceError};
use tonic::Status;

/// A service that the pages call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The film catalog.
    Catalog,
    /// The recommendations service.
    Recommendations,
    /// The accounts service.
    Accounts,
}

impl Service {
    /// The service's name, as operators know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "the catalog",
            Self::Recommendations => "recommendations",
            Self::Accounts => "the accounts service",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a service did not do what a page asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such film.
    #[error("there is no such film; it may have been deleted")]
    NotFound,
    /// What was asked makes no sense; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// Fields of a film are refused.
    #[error("the film's fields are refused")]
    Fields(FieldErrors),
    /// The film was edited since it was read.
    #[error("the film was edited meanwhile")]
    VersionDiffers,
    /// Another film, this one, has the same title and year.
    #[error("there is a film of this title and year")]
    SameTitleAndYear(FilmId),
    /// The form has added a film already that says something else now, or is deleted.
    #[error("the form has added another film already")]
    FormUsed,
    /// The service cannot be reached, or does not answer in time. A write may have been done.
    #[error("{0} is unavailable at the moment; try again in a little while")]
    ServiceUnavailable(Service),
    /// The service answered with an error of its own.
    #[error("{0} failed")]
    ServiceFailed(Service, #[source] Box<Status>),
    /// More is asked than can be done; nothing was done.
    #[error("too much is going on at the moment; try again in a little while")]
    Overloaded,
    /// An actor is down or did not answer in time. A write may have been done.
    #[error("a part of the pages is unavailable at the moment; try again in a little while")]
    Unavailable(#[source] AskError),
    /// A service refuses it to who asks, or as things are.
    #[error("{message}")]
    Denied {
        /// How it is answered.
        code: tonic::Code,
        /// For programs: one of [`proto::reasons`], or nothing.
        reason: String,
        /// What the user can do.
        message: String,
        /// What else the service says, by name.
        metadata: HashMap<String, String>,
    },
    /// There is no room on the disk; nothing was done.
    #[error("there is no room on the disk; nothing was saved")]
    Full,
}

/// Why a field of a film is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name in the form.
    pub field: String,
    /// A sentence that says what is accepted.
    pub message: String,
}

/// Why fields of a film are refused: one error for each bad field, in the form's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// What is wrong with that field.
    pub fn get(&self, field: &str) -> Option<&str> {
        let error = self.0.iter().find(|error| error.field == field)?;
        Some(&error.message)
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Overloaded(_) => Self::Overloaded,
            _ => Self::Unavailable(error),
        }
    }
}

impl ServiceError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Invalid(_) | Self::Fields(_) => ErrorCode::Invalid,
            Self::VersionDiffers => ErrorCode::FailedPrecondition,
            Self::SameTitleAndYear(_) | Self::FormUsed => ErrorCode::AlreadyExists,
            Self::ServiceFailed(..) => ErrorCode::PeerFailed,
            Self::ServiceUnavailable(_) | Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Denied { code, .. } => match code {
                tonic::Code::AlreadyExists => ErrorCode::AlreadyExists,
                tonic::Code::FailedPrecondition => ErrorCode::FailedPrecondition,
                _ => ErrorCode::PermissionDenied,
            },
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Full => ErrorCode::DiskFull,
        }
    }
}

impl Error {
    /// The status by which a browser learns of the error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Denied {
                code: tonic::Code::Unauthenticated,
                ..
            } => StatusCode::UNAUTHORIZED,
            Self::Denied {
                code: tonic::Code::ResourceExhausted,
                ..
            } => StatusCode::TOO_MANY_REQUESTS,
            _ => self.code().http_status(),
        }
    }

    /// Writes the error to the log if something failed. Called once, where the error becomes a page.
    pub fn log(&self) {
        runtime::log_error(self);
    }
}
