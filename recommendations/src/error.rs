//! Why calls fail, and what that is on the wire.

use runtime::{AskError, telemetry};
use thiserror::Error;
use tonic::{Code, Status};

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
    /// Too many calls are being worked on.
    #[error("too many calls are being worked on; try again later")]
    Overloaded,
    /// The service takes no more calls.
    #[error("the service is stopping; try again")]
    Stopping,
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

impl Error {
    /// The gRPC code that the error has on the wire.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            // Asking again later does not help: the user has to do something first.
            Self::TooManyKeywords(_) => Code::FailedPrecondition,
            Self::TooManyWatchers(_) | Self::Overloaded => Code::ResourceExhausted,
            Self::Stopping | Self::NotReady(_) | Self::Lagging | Self::Matcher(_) => {
                Code::Unavailable
            }
            Self::Storage(error) if error.is_transient() => Code::Unavailable,
            Self::Storage(_) => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = error.code();
        if code == Code::Internal {
            let cause = cause(&error);
            if let Some(before) = telemetry::seldom(&format!("{error}: {cause}")) {
                let others = telemetry::like_others(before);
                tracing::error!(cause, before, "a call failed{others}: {error}: {cause}");
            }
            return Self::internal("something went wrong; the service's log says what");
        }
        if code == Code::Unavailable {
            let cause = cause(&error);
            tracing::debug!(cause, "a call was put off: {error}: {cause}");
        }
        Self::new(code, error.to_string())
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, telemetry::causes)
}
