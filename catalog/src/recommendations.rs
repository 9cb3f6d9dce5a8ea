//! The connection over which films are delivered to the recommendations service, and their flags compared.

use std::time::Duration;

use async_trait::async_trait;
use proto::recommendations::{RemoveFilmRequest, recommendations_client};
use runtime::{
    Process, ServiceAddress,
    grpc::{ServiceChannel, ServiceClient, request},
};
use tonic::{Code, Request};

use crate::{
    delivery::{Outcome, film_update},
    films::outbox::News,
};

/// The service that the courier tells of films.
#[async_trait]
pub(crate) trait Recipient: Send + Sync + 'static {
    /// Tells one film's news within `deadline`; the outcome is what the answer means.
    async fn tell(&self, news: News, deadline: Duration) -> Outcome;
}

/// The recommendations service, as the catalog calls it.
#[derive(Debug, Clone)]
pub struct RecommendationsClient {
    pub(crate) calls: recommendations_client::RecommendationsClient<ServiceChannel>,
    pub(crate) client: ServiceClient,
}

impl RecommendationsClient {
    /// Makes a client that connects when it is first needed, and again whenever it has to.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let client = ServiceClient::new(process, "recommendations", address);
        Self {
            calls: recommendations_client::RecommendationsClient::new(client.channel()),
            client,
        }
    }
}

#[async_trait]
impl Recipient for RecommendationsClient {
    async fn tell(&self, news: News, deadline: Duration) -> Outcome {
        let mut calls = self.calls.clone();
        let sent = match news {
            News::Saved(film) => {
                let call = calls.process_film_update(within(deadline, film_update(*film)));
                self.client.call(deadline, call).await.map(drop)
            }
            News::Deleted { id, version } => {
                let removal = RemoveFilmRequest {
                    film_id: id.to_string(),
                    version: Some(version),
                };
                let call = calls.remove_film(within(deadline, removal));
                let sent = self.client.call(deadline, call).await.map(drop);
                if sent
                    .as_ref()
                    .is_err_and(|status| status.code() == Code::Unimplemented)
                {
                    tracing::warn!(film_id = %id, "the recommendations service is too old to be told that film {id} is deleted");
                    return Outcome::Delivered;
                }
                sent
            }
        };
        sent.map_or_else(|status| Outcome::of(&status), |()| Outcome::Delivered)
    }
}

/// A request that tells the other side, too, when the answer is not waited for any more.
fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = request(message);
    request.set_timeout(deadline);
    request
}
