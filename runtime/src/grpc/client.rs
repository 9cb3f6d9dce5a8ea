//! A client of another service: how a call to it is made, and whether it is unavailable. Which replica a call goes to is decided in
//! `balancer`.

use std::{sync::Arc, time::Duration};

use tonic::{Code, Request, Response, Status, TimeoutExpired, metadata::MetadataValue};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Lookup, ServiceChannel, balancer::Pace, call_token::ServiceKey};
use crate::{
    Process, ServiceAddress,
    consul::{ConsulAgent, ConsulLookup},
    metrics::GrpcFigures,
    request_id::{REQUEST_ID_HEADER, RequestId},
    service_address::Source,
    supervision::Dependency,
    tls::GrpcTls,
};

/// The connections to all replicas of another service, and what is known of its availability. It connects when it is
/// first needed, and again whenever it has to. Clones share the connections.
#[derive(Debug, Clone)]
pub struct ServiceClient {
    address: ServiceAddress,
    tls: Option<GrpcTls>,
    key: Option<ServiceKey>,
    consul: ConsulAgent,
    channel: ServiceChannel,
    figures: GrpcFigures,
    dependency: Arc<Dependency>,
}

impl ServiceClient {
    /// A client of the service at `address`, which operators know as `name`.
    pub fn new(process: &Process, name: &str, address: &ServiceAddress) -> Self {
        let tls = process.grpc_tls.clone();
        Self::connecting(
            process.dependency(name),
            address,
            tls,
            process.service_key.clone(),
            process.consul.agent(),
            process.registry.metrics().grpc_made(),
        )
    }

    fn connecting(
        dependency: Arc<Dependency>,
        address: &ServiceAddress,
        tls: Option<GrpcTls>,
        key: Option<ServiceKey>,
        consul: &ConsulAgent,
        figures: &GrpcFigures,
    ) -> Self {
        let lookup: Arc<dyn Lookup> = match &address.0 {
            Source::Hosts(hosts) => Arc::new(hosts.clone()),
            Source::Consul(service) => Arc::new(ConsulLookup::new(consul, service)),
        };
        Self {
            channel: ServiceChannel::new(lookup, Pace::default(), tls.clone(), figures.clone())
                .signing(key.clone()),
            figures: figures.clone(),
            address: address.clone(),
            tls,
            key,
            consul: consul.clone(),
            dependency,
        }
    }

    /// A client of the same service on connections of its own, so that neither uses up the streams
    /// of the other.
    pub fn on_own_connections(&self) -> Self {
        Self::connecting(
            self.dependency.clone(),
            &self.address,
            self.tls.clone(),
            self.key.clone(),
            &self.consul,
            &self.figures,
        )
    }

    /// Notes that the service was needed and is available.
    pub fn available(&self) {
        self.dependency.available();
    }

    /// Notes that the service was needed and did not answer in time.
    pub fn late(&self, deadline: Duration) {
        self.dependency.unavailable(format_args!(
            "{}: no answer within {deadline:?}",
            self.address
        ));
    }

    /// Notes that the service was needed and is unavailable, as `status` says. The log names the address
    /// that was tried, and the cause.
    pub fn unavailable(&self, status: &Status) {
        self.dependency.unavailable(self.absence(status));
    }

    fn absence(&self, status: &Status) -> String {
        format!("{}: {}", self.address, reason(status))
    }

    /// The connections, for a generated client.
    pub fn channel(&self) -> ServiceChannel {
        self.channel.clone()
    }

    /// Asks the gRPC health of the service whether it serves. A service without health does, as for callers.
    ///
    /// # Errors
    ///
    /// Why it does not, in words that name its address.
    pub async fn check_health(&self, deadline: Duration) -> Result<(), String> {
        let mut health = HealthClient::new(self.channel());
        let asked = health.check(HealthCheckRequest::default());
        match self.call(deadline, asked).await {
            Ok(answer) if answer.status() == ServingStatus::Serving => Ok(()),
            Ok(_) => Err(format!("{} says that it cannot serve", self.address)),
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(self.absence(&status)),
        }
    }

    /// Waits for the answer to a call, and notes whether the service is available. A stream has to
    /// begin within the deadline.
    ///
    /// # Errors
    ///
    /// What the service answered; `DEADLINE_EXCEEDED` if it did not answer in time.
    pub async fn call<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        let answer = match tokio::time::timeout(deadline, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded(format!(
                "no answer within {deadline:?}"
            ))),
        };
        match &answer {
            Err(status) if is_unavailable(status) => self.unavailable(status),
            _ => self.dependency.available(),
        }
        answer.map(Response::into_inner)
    }
}

/// A request with the id of the current request, for a call to another service.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(id) = RequestId::current()
        && let Ok(value) = MetadataValue::try_from(id.to_string())
    {
        request.metadata_mut().insert(REQUEST_ID_HEADER, value);
    }
    request
}

/// What a status says, and the first cause of it, which the status leaves out: of "tcp connect error" that the
/// connection was refused.
pub(super) fn reason(status: &Status) -> String {
    let mut cause = std::error::Error::source(status);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    let said = status.message();
    match cause.map(ToString::to_string) {
        Some(cause) if !said.contains(&cause) => format!("{said}: {cause}"),
        _ => said.to_owned(),
    }
}

/// Whether a status says that the service was not there to do what was asked, or had no room for
/// it: the same call may succeed later, and so may any other only then.
pub fn is_unavailable(status: &Status) -> bool {
    match status.code() {
        _ if is_timeout(status) => true,
        Code::Unavailable | Code::ResourceExhausted => true,
        // A status from the wire has no source: one with a source comes from a connection that broke.
        Code::Unknown | Code::Cancelled => std::error::Error::source(status).is_some(),
        _ => false,
    }
}

/// Whether a status says that the deadline of the call has passed. tonic's clients and servers tell it
/// as a cancelled call of these words.
pub fn is_timeout(status: &Status) -> bool {
    match status.code() {
        Code::DeadlineExceeded => true,
        Code::Cancelled => status.message() == TimeoutExpired(()).to_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_address_of_a_service_that_is_unavailable_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = ServiceClient::new(&Process::new(), "films", &address.into());
        let mut health = HealthClient::new(client.channel());
        let status = health.check(HealthCheckRequest::default()).await;
        let status = status.unwrap_err();
        assert!(is_unavailable(&status), "{status:?}");
        let words = client.absence(&status);
        assert!(words.starts_with(&format!("{address}: ")), "{words}");
        assert!(words.contains("refused"), "{words}");
        assert_eq!(
            client.absence(&Status::unavailable("busy")),
            format!("{address}: busy")
        );
    }

    #[test]
    fn what_a_service_answers_is_told_from_its_absence() {
        let broken = Status::from_error("broken pipe".into());
        for status in [
            Status::unavailable(""),
            Status::deadline_exceeded(""),
            Status::resource_exhausted(""),
            Status::cancelled("Timeout expired"),
            broken,
        ] {
            assert!(is_unavailable(&status), "{status}");
        }
        for status in [
            Status::unknown("a peer's own error"),
            Status::cancelled("by the peer"),
            Status::internal(""),
            Status::not_found(""),
            Status::unimplemented(""),
        ] {
            assert!(!is_unavailable(&status), "{status}");
        }
    }
}
