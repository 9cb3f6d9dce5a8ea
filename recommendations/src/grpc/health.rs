use std::time::Duration;

use proto::recommendations::recommendations_server::SERVICE_NAME;
use runtime::Board;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::system::SERVICE;

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Keeps what gRPC health says the same as what the service's actors say of themselves.
pub(super) async fn follow(board: Board, reporter: HealthReporter) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    let mut told = None;
    loop {
        ticks.tick().await;
        let ready = board
            .actors()
            .iter()
            .filter(|actor| actor.service == SERVICE)
            .all(|actor| actor.not_ready_reason().is_none());
        if told.replace(ready) == Some(ready) {
            continue;
        }
        let status = match ready {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, status).await;
        }
    }
}
