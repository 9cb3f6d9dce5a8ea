//! The connection over which films are delivered to the recommendations service.

use std::{sync::Arc, time::Duration};

use proto::recommendations::recommendations_client;
use runtime::{Dependency, ServiceAddress};
use tonic::transport::Channel;

/// The recommendations service, as the courier calls it.
#[derive(Debug, Clone)]
pub struct RecommendationsClient {
    pub(crate) calls: recommendations_client::RecommendationsClient<Channel>,
    pub(crate) dependency: Arc<Dependency>,
}

impl RecommendationsClient {
    /// Makes a client that connects when it is first needed, and again whenever it has to.
    pub fn new(address: &ServiceAddress) -> Self {
        let channel = address
            .endpoint()
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            // A peer that vanished without a word is noticed, also while nothing is sent.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect_lazy();
        Self {
            calls: recommendations_client::RecommendationsClient::new(channel),
            dependency: Arc::new(Dependency::new("recommendations")),
        }
    }
}
