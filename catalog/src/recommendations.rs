//! The connection over which films are delivered to the recommendations service, and their flags compared.

use proto::recommendations::recommendations_client;
use runtime::{Process, ServiceAddress, grpc::ServiceClient};
use tonic::transport::Channel;

/// The recommendations service, as the courier calls it.
#[derive(Debug, Clone)]
pub struct RecommendationsClient {
    pub(crate) calls: recommendations_client::RecommendationsClient<Channel>,
    pub(crate) client: ServiceClient,
}

impl RecommendationsClient {
    /// Makes a client that connects when it is first needed, and again whenever it has to.
    pub fn new(address: &ServiceAddress, process: &Process) -> Self {
        let client = ServiceClient::new(process.dependency("recommendations"), address);
        Self {
            calls: recommendations_client::RecommendationsClient::new(client.channel()),
            client,
        }
    }
}
