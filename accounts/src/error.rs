//! Why calls fail. The message of an error is for callers, and its reason for programs; what caused it is for the log alone.

use std::collections::HashMap;

use proto::reasons;
use runtime::{AskError, ErrorCode, ServiceError};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Why a call was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// The request is wrong; the sentence says what is accepted.
    #[error("{0}")]
    Invalid(String),
    /// Fields of the request are refused.
    #[error("{}", .0.iter().map(|field| field.message.as_str()).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldError>),
    /// Asking again does not help, for a reason that programs know.
    #[error("{message}")]
    Refused {
        /// The code of the status.
        code: Refusal,
        /// One of [`reasons`].
        reason: &'static str,
        /// For people.
        message: &'static str,
    },
    /// What the call is about does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// Who acts may not do this.
    #[error("this is not for the person who acts")]
    Forbidden,
    /// More is asked of the service than it can do; nothing was done.
    #[error("too much is going on at the moment; try again in a little while")]
    Overloaded,
    /// A part of the service is down or did not answer in time. A write may have been done.
    #[error("the accounts are unavailable at the moment; try again in a little while")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database did not do its part.
    #[error("the database did not do its part")]
    Storage(#[source] storage::Error),
    /// Something failed that never should.
    #[error("the service failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A field of a request, and what is accepted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// As the message has it.
    pub field: &'static str,
    /// What is accepted.
    pub message: String,
}

/// The kind of what is refused for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The credentials do not do.
    Unauthenticated,
    /// This may not be done.
    PermissionDenied,
    /// There is one already.
    AlreadyExists,
    /// Something else has to be changed first.
    FailedPrecondition,
    /// It was tried too often.
    TooMany,
}

impl Error {
    /// A refusal of that kind, with its reason and message.
    pub const fn refused(code: Refusal, reason: &'static str, message: &'static str) -> Self {
        Self::Refused {
            code,
            reason,
            message,
        }
    }

    /// A field that is refused.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Fields(vec![FieldError { field, message }])
    }
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
            storage::Error::Unavailable(_) | storage::Error::Deadline(_) => {
                Self::Unavailable(Box::new(error))
            }
            _ => Self::Storage(error),
        }
    }
}

impl ServiceError for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) | Self::Fields(_) => ErrorCode::Invalid,
            Self::Refused { code, .. } => match code {
                // The status is another one; what is logged is the same.
                Refusal::Unauthenticated | Refusal::PermissionDenied | Refusal::TooMany => {
                    ErrorCode::PermissionDenied
                }
                Refusal::AlreadyExists => ErrorCode::AlreadyExists,
                Refusal::FailedPrecondition => ErrorCode::FailedPrecondition,
            },
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Forbidden => ErrorCode::PermissionDenied,
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Storage(storage::Error::Full(_)) => ErrorCode::DiskFull,
            Self::Storage(_) | Self::Failed(_) => ErrorCode::Internal,
        }
    }
}

impl From<Error> for Status {
    /// The status that the caller gets. An error of the service's own is logged here, once; its cause is not in the status.
    fn from(error: Error) -> Self {
        runtime::log_error(&error);
        let code = match &error {
            Error::Refused { code, .. } => match code {
                Refusal::Unauthenticated => Code::Unauthenticated,
                Refusal::TooMany => Code::ResourceExhausted,
                _ => error.code().grpc_code(),
            },
            _ => error.code().grpc_code(),
        };
        let message = error.to_string();
        let info =
            |reason: &str| ErrorDetails::with_error_info(reason, reasons::DOMAIN, HashMap::new());
        let details = match &error {
            Error::Fields(fields) => {
                let violation =
                    |error: &FieldError| FieldViolation::new(error.field, &error.message);
                ErrorDetails::with_bad_request(fields.iter().map(violation).collect::<Vec<_>>())
            }
            Error::Refused { reason, .. } => info(reason),
            Error::Storage(storage::Error::Full(_)) => info(reasons::DISK_FULL),
            _ => return Self::new(code, message),
        };
        Self::with_error_details(code, message, details)
    }
}
