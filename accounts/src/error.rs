//! Why calls fail. The message of an error is for callers, and its reason for programs; what caused it is for the log alone.

use std::{collections::HashMap, fmt};

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
    /// A sign-in goes on with a code of the second factor.
    #[error("{message}")]
    GoesOn {
        /// One of [`reasons`].
        reason: &'static str,
        /// For people.
        message: &'static str,
        /// By what it goes on.
        continuation: Continuation,
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

/// The secret by which a sign-in goes on. `Debug` does not show it.
#[derive(Clone)]
pub struct Continuation(pub String);

impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Continuation(…)")
    }
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
            Self::GoesOn { .. } | Self::Forbidden => ErrorCode::PermissionDenied,
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
            Error::GoesOn { .. } => Code::Unauthenticated,
            _ => error.code().grpc_code(),
        };
        let message = error.to_string();
        let told = |reason: &str, metadata: HashMap<String, String>| {
            ErrorDetails::with_error_info(reason, reasons::DOMAIN, metadata)
        };
        let info = |reason: &str| told(reason, HashMap::new());
        let details = match &error {
            Error::Fields(fields) => {
                let violation =
                    |error: &FieldError| FieldViolation::new(error.field, &error.message);
                ErrorDetails::with_bad_request(fields.iter().map(violation).collect::<Vec<_>>())
            }
            Error::Refused { reason, .. } => info(reason),
            Error::GoesOn {
                reason,
                continuation,
                ..
            } => {
                let key = reasons::CONTINUATION.to_owned();
                told(reason, HashMap::from([(key, continuation.0.clone())]))
            }
            Error::Storage(storage::Error::Full(_)) => info(reasons::DISK_FULL),
            _ => return Self::new(code, message),
        };
        Self::with_error_details(code, message, details)
    }
}

/// Why a transaction ends: the database failed, or what it was for is refused. What was written before a refusal is kept.
#[derive(Debug)]
pub enum Stop {
    /// The database failed; nothing is kept.
    Query(diesel::result::Error),
    /// Refused.
    Refused(Error),
}

impl From<diesel::result::Error> for Stop {
    fn from(error: diesel::result::Error) -> Self {
        Self::Query(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What is refused for a reason that programs know.
pub mod refusals {
    use proto::reasons;

    use super::{Error, Refusal};

    /// Whoever asks cannot learn whether the account exists.
    pub const WRONG_CREDENTIALS: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::WRONG_CREDENTIALS,
        "name or password is wrong",
    );
    /// A credential that is not valid.
    pub const WRONG_TOKEN: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::WRONG_TOKEN,
        "the credential is not valid; sign in again",
    );
    /// A refresh token that was used.
    pub const TOKEN_REUSED: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::TOKEN_REUSED,
        "the refresh token was used before, so that its session is ended; sign in again",
    );
    /// A barred account.
    pub const ACCOUNT_DISABLED: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::ACCOUNT_DISABLED,
        "an admin has barred this account",
    );
    /// An address that is not confirmed.
    pub const EMAIL_UNCONFIRMED: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::EMAIL_UNCONFIRMED,
        "confirm the e-mail address first, by the code of the mail",
    );
    /// A second factor is needed.
    pub const SECOND_FACTOR_NEEDED: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::SECOND_FACTOR_NEEDED,
        "a code of the authenticator is needed",
    );
    /// A second factor is wrong.
    pub const WRONG_SECOND_FACTOR: Error = Error::refused(
        Refusal::Unauthenticated,
        reasons::WRONG_SECOND_FACTOR,
        "the code is not right, or was used before",
    );
    /// A code for setting a second factor up is wrong.
    pub const WRONG_NEW_FACTOR: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::WRONG_SECOND_FACTOR,
        "the code is not right; scan the picture again and take the next one",
    );
    /// Too many tries.
    pub const TOO_MANY_TRIES: Error = Error::refused(
        Refusal::TooMany,
        reasons::TOO_MANY_TRIES,
        "too many tries; wait a few minutes",
    );
    /// Registration is closed.
    pub const REGISTRATION_CLOSED: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::REGISTRATION_CLOSED,
        "registering needs an invitation, if it is possible at all",
    );
    /// Not the code of the log.
    pub const WRONG_SETUP_CODE: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::WRONG_SETUP_CODE,
        "the first account needs the code from the log of the accounts service",
    );
    /// An invitation that does not do.
    pub const WRONG_INVITATION: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::WRONG_INVITATION,
        "the invitation was used or has ended; ask for another one",
    );
    /// A username that somebody has.
    pub const USERNAME_TAKEN: Error = Error::refused(
        Refusal::AlreadyExists,
        reasons::USERNAME_TAKEN,
        "somebody has this name; choose another one",
    );
    /// An address that somebody has.
    pub const EMAIL_TAKEN: Error = Error::refused(
        Refusal::AlreadyExists,
        reasons::EMAIL_TAKEN,
        "there is an account of this e-mail address; sign in, or set a new password",
    );
    /// A code of a mail that does not do.
    pub const WRONG_CODE: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::WRONG_CODE,
        "the code was used or has ended; ask for another one",
    );
    /// The present password is another one.
    pub const WRONG_PASSWORD: Error = Error::refused(
        Refusal::PermissionDenied,
        reasons::WRONG_PASSWORD,
        "the present password is another one",
    );
    /// The account was edited meanwhile.
    pub const VERSION_DIFFERS: Error = Error::refused(
        Refusal::FailedPrecondition,
        reasons::VERSION_DIFFERS,
        "the account was edited meanwhile; read it again",
    );
    /// It is the owner's account.
    pub const IS_OWNER: Error = Error::refused(
        Refusal::FailedPrecondition,
        reasons::IS_OWNER,
        "this cannot be done with the owner's account",
    );
    /// There is no mail.
    pub const NO_MAIL: Error = Error::refused(
        Refusal::FailedPrecondition,
        reasons::NO_MAIL,
        "mail is not configured; ask an admin",
    );
    /// There is no such account.
    pub const NO_ACCOUNT: Error = Error::NotFound("there is no such account");
    /// There is no such profile, or it is not public.
    pub const NO_PROFILE: Error = Error::NotFound("there is no such profile, or it is not public");
}
