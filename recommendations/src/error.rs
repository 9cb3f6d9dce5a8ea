//! Why calls fail. The message of an error is for callers; what caused it is for the log alone.

use runtime::{AskError, ErrorCode, ServiceError};
use thiserror::Error;
use tonic::Status;

use crate::{actors::matcher::NotReady, watchers::TooManyWatchers};

/// Why a call was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// The request is wrong; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// A user follows as many keywords as one may.
    #[error("a user can follow at most {0} keywords; stop following one first")]
    TooManyKeywords(usize),
    /// Too many clients watch.
    #[error(transparent)]
    TooManyWatchers(#[from] TooManyWatchers),
    /// The matcher has not read everything yet.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The matcher could not follow the changes of others fast enough.
    #[error("the matcher lags behind; try again later")]
    Lagging,
    /// The matcher gave no answer.
    #[error("the matcher gave no answer")]
    Matcher(#[from] AskError),
    /// The database did not do its part.
    #[error("the database did not do its part")]
    Storage(#[from] storage::Error),
}

impl ServiceError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::Invalid,
            // Asking again later does not help: the user has to do something first.
            Self::TooManyKeywords(_) => ErrorCode::FailedPrecondition,
            Self::TooManyWatchers(_) => ErrorCode::Overloaded,
            Self::NotReady(_) | Self::Lagging | Self::Matcher(_) => ErrorCode::Unavailable,
            Self::Storage(storage::Error::Full(_)) => ErrorCode::DiskFull,
            Self::Storage(error) if error.is_transient() => ErrorCode::Unavailable,
            Self::Storage(_) => ErrorCode::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        runtime::status_of(&error)
    }
}
