//! How the services behind the API are.

use actix_web::{HttpResponse, http::StatusCode};
use runtime::supervision::{ActorState, Health};
use serde::Serialize;
use utoipa::ToSchema;

use super::{context::ApiContext, problem::ApiError};
use crate::{SERVICE, VisitorSource};

/// The gateways to the services, and what the API calls those.
const SERVICES: [(&str, &str); 3] = [
    ("catalog-gateway", "catalog"),
    ("recommendations-gateway", "recommendations"),
    (ACCOUNTS, "accounts"),
];
/// The gateway that is needed only where people sign in.
const ACCOUNTS: &str = "accounts-gateway";

/// How all services are.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "status": "up",
    "services": [{"service": "catalog", "status": "up"}, {"service": "recommendations", "status": "up"}]
}))]
pub(super) struct HealthReport {
    /// That of the service that is worst.
    status: Status,
    services: Vec<ServiceHealth>,
}

/// How a service is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ServiceHealth {
    /// Its name.
    service: &'static str,
    status: Status,
}

/// How well a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// It answers.
    Up,
    /// It may not answer; what needs it may fail, and the rest does not.
    Degraded,
    /// It does not answer, and nothing works without it.
    Down,
}

/// Returns how each service is. Also without credentials; the reasons are for operators, at `/system`.
#[utoipa::path(
    get,
    path = "/api/v1/health",
    tag = "health",
    operation_id = "get_health",
    responses(
        (status = 200, description = "The API can be used; a part of it may be degraded", body = HealthReport),
        (status = 503, description = "It cannot", body = HealthReport),
    )
)]
pub(super) async fn health(context: ApiContext) -> Result<HttpResponse, ApiError> {
    let actors = context.app().registry.actors();
    let state = |gateway: &str| {
        let mut own = actors.iter().filter(|actor| actor.service == SERVICE);
        let Some(actor) = own.find(|actor| actor.name == gateway) else {
            return Status::Down;
        };
        match (&actor.state, &actor.health) {
            (ActorState::Restarting | ActorState::Stopped, _)
            | (_, Health::Starting(_) | Health::NotReady(_)) => Status::Down,
            (_, Health::Degraded(_)) => Status::Degraded,
            (_, Health::Ready) => Status::Up,
        }
    };
    let has_accounts = matches!(context.app().visitors, VisitorSource::Accounts { .. });
    let needed = SERVICES
        .iter()
        .filter(|(gateway, _)| has_accounts || *gateway != ACCOUNTS);
    let services: Vec<ServiceHealth> = needed
        .map(|(gateway, service)| ServiceHealth {
            service,
            status: state(gateway),
        })
        .collect();
    let worst = services.iter().map(|service| service.status).max();
    let report = HealthReport {
        status: worst.unwrap_or(Status::Down),
        services,
    };
    let status = match report.status {
        Status::Down => StatusCode::SERVICE_UNAVAILABLE,
        Status::Up | Status::Degraded => StatusCode::OK,
    };
    Ok(context.answer(status).json(report))
}
