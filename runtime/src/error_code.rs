//! The kinds of errors that callers see: one table from a kind to its HTTP and gRPC status, and
//! one place where an error is logged, at the edge where it leaves a service.

use std::error::Error;

use actix_web::http::StatusCode;
use tonic::{Code, Status};

use crate::telemetry;

/// The kind of an error, as callers learn of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is wrong, and stays wrong.
    Invalid,
    /// The request is made on behalf of a user who may not make it.
    PermissionDenied,
    /// What the request is about does not exist.
    NotFound,
    /// The caller has to change something else first.
    FailedPrecondition,
    /// What was to be made exists.
    AlreadyExists,
    /// More is asked than the service can do; nothing was done.
    Overloaded,
    /// The service, or something that it needs, is unavailable. A write may have been done.
    Unavailable,
    /// The disk is full; nothing was done.
    DiskFull,
    /// Another service that was asked failed.
    PeerFailed,
    /// The service failed.
    Internal,
}

impl ErrorCode {
    /// The status of an HTTP response.
    pub fn http_status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::FailedPrecondition | Self::AlreadyExists => StatusCode::CONFLICT,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::PeerFailed => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of a gRPC status.
    pub fn grpc_code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::NotFound => Code::NotFound,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::Overloaded => Code::ResourceExhausted,
            Self::Unavailable | Self::DiskFull => Code::Unavailable,
            Self::PeerFailed | Self::Internal => Code::Internal,
        }
    }
}

/// An error of a service. Its message is for the caller and holds nothing internal; its source is
/// for the log alone.
pub trait ServiceError: Error {
    /// The kind of the error.
    fn code(&self) -> ErrorCode;
}

/// Logs an error that leaves a service, if it is the service's own fault. Called once, where the
/// error is turned into a response.
pub fn log_error(error: &impl ServiceError) {
    let cause = error.source().map(telemetry::causes);
    let in_full = match &cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match error.code() {
        ErrorCode::Invalid
        | ErrorCode::PermissionDenied
        | ErrorCode::NotFound
        | ErrorCode::FailedPrecondition
        | ErrorCode::AlreadyExists => {}
        // The `Dependency` that is unavailable is logged once; here it would be once a request.
        ErrorCode::Unavailable | ErrorCode::DiskFull => {
            tracing::debug!(cause, "a request was refused: {in_full}");
        }
        ErrorCode::Overloaded => {
            if let Some(before) = telemetry::seldom(&error.to_string()) {
                let others = telemetry::like_others(before);
                tracing::warn!(before, "a request was refused{others}: {error}");
            }
        }
        ErrorCode::PeerFailed | ErrorCode::Internal => {
            if let Some(before) = telemetry::seldom(&in_full) {
                let others = telemetry::like_others(before);
                tracing::error!(cause, before, "a request failed{others}: {in_full}");
            }
        }
    }
}

/// Logs an error that leaves a service, and turns it into the status of a gRPC response.
pub fn status_of(error: &impl ServiceError) -> Status {
    log_error(error);
    Status::new(error.code().grpc_code(), error.to_string())
}
