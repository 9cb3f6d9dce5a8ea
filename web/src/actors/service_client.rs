//! The connections to one service, and what its answers mean. Every call has a deadline, which the
//! service learns of, and says who acts.

use std::{future::Future, time::Duration};

use proto::{FilmId, reasons};
use runtime::{
    Process, ServiceAddress,
    grpc::{self, Person, ServiceChannel, acting_as, is_timeout, is_unavailable},
};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use crate::error::{Error, FieldError, FieldErrors, Service};

/// Calls one service. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct ServiceClient {
    service: Service,
    client: grpc::ServiceClient,
}

impl ServiceClient {
    /// Makes a client that connects when it is first needed, and again whenever it has to.
    pub(crate) fn new(service: Service, address: &ServiceAddress, process: &Process) -> Self {
        Self {
            service,
            client: grpc::ServiceClient::new(process, service.name(), address),
        }
    }

    /// Makes a client with connections of its own; both tell of the same absence.
    pub(crate) fn separate(&self) -> Self {
        Self {
            service: self.service,
            client: self.client.on_own_connections(),
        }
    }

    pub(crate) fn channel(&self) -> ServiceChannel {
        self.client.channel()
    }

    /// Makes a request on behalf of a person, with a deadline.
    pub(crate) fn request<T>(message: T, person: Option<Person>, deadline: Duration) -> Request<T> {
        let mut request = Self::unbounded_request(message, person);
        request.set_timeout(deadline);
        request
    }

    /// Makes a request on behalf of a person, for a call that goes on.
    pub(crate) fn unbounded_request<T>(message: T, person: Option<Person>) -> Request<T> {
        let request = grpc::request(message);
        match person {
            Some(person) => acting_as(request, person),
            None => request,
        }
    }

    /// Waits for the answer of one call.
    pub(crate) async fn call<T>(
        &self,
        name: &'static str,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(deadline, call).await {
            Ok(Ok(response)) => {
                self.client.available();
                Ok(response.into_inner())
            }
            Ok(Err(status)) => {
                if self.service == Service::Recommendations || is_unreachable(&status) {
                    self.note(&status);
                }
                Err(self.error(name, status))
            }
            Err(_) => {
                if self.service == Service::Recommendations {
                    self.client.late(deadline);
                }
                tracing::debug!(call = name, "{name} was not answered in time");
                Err(Error::ServiceUnavailable(self.service))
            }
        }
    }

    /// Like [`Self::call`]; `None` if the service is too old to know the call.
    pub(crate) async fn call_or_unimplemented<T>(
        &self,
        name: &'static str,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, Error> {
        let call = async {
            match call.await {
                Ok(response) => Ok(response.map(Some)),
                Err(status) if status.code() == Code::Unimplemented => Ok(Response::new(None)),
                Err(status) => Err(status),
            }
        };
        self.call(name, deadline, call).await
    }

    /// The error that a status means.
    pub(crate) fn error(&self, call: &'static str, status: Status) -> Error {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.as_str());
        match status.code() {
            Code::NotFound => Error::NotFound,
            Code::InvalidArgument => match details.bad_request() {
                Some(bad) => Error::Fields(FieldErrors(
                    bad.field_violations
                        .iter()
                        .map(|violation| FieldError {
                            field: violation.field.clone(),
                            message: violation.description.clone(),
                        })
                        .collect(),
                )),
                None => Error::Invalid(status.message().to_owned()),
            },
            Code::FailedPrecondition if reason == Some(reasons::VERSION_DIFFERS) => {
                Error::VersionDiffers
            }
            // As things are it cannot be done: the user has to do something first.
            Code::FailedPrecondition if self.service != Service::Accounts => {
                Error::Invalid(status.message().to_owned())
            }
            Code::AlreadyExists if reason == Some(reasons::SAME_TITLE_AND_YEAR) => {
                let info = details.error_info();
                let id = info.and_then(|info| info.metadata.get(reasons::FILM_ID));
                let id: Option<FilmId> = id.and_then(|id| id.parse().ok());
                id.map_or(Error::NotFound, Error::SameTitleAndYear)
            }
            Code::AlreadyExists if reason == Some(reasons::ID_IN_USE) => Error::FormUsed,
            _ if reason == Some(reasons::DISK_FULL) => Error::Full,
            code if is_denied(code) && (reason.is_some() || code == Code::PermissionDenied) => {
                let info = details.error_info();
                Error::Denied {
                    code,
                    reason: reason.unwrap_or_default().to_owned(),
                    message: status.message().to_owned(),
                    metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
                }
            }
            // Older services do not know our additions; for the caller that is the same.
            code if code == Code::Unimplemented || is_unavailable(&status) => {
                tracing::debug!(call, %status, "{call} was not answered: {status}");
                Error::ServiceUnavailable(self.service)
            }
            _ => Error::ServiceFailed(self.service, Box::new(status)),
        }
    }

    /// Tells the log, in the end, that the service is there.
    pub(crate) fn reached(&self) {
        self.client.available();
    }

    /// Tells the log, in the end, whether the service can be reached.
    pub(crate) fn note(&self, status: &Status) {
        if is_unavailable(status) {
            self.client.unavailable(status);
        } else {
            self.client.available();
        }
    }
}

/// Whether an answer refuses something for a reason that the user is told.
fn is_denied(code: Code) -> bool {
    [
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::AlreadyExists,
        Code::FailedPrecondition,
    ]
    .contains(&code)
}

/// Whether the service was not reached: its own answers have no cause. One that takes too long was.
fn is_unreachable(status: &Status) -> bool {
    std::error::Error::source(status).is_some() && !is_timeout(status)
}
