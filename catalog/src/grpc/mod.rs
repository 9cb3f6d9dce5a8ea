//! The Catalog service on gRPC, with health and reflection beside it.

mod catalog_service;

use std::time::Duration;

use proto::recommendations::{FILE_DESCRIPTOR_SET, catalog_server::CatalogServer};
use runtime::Handle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

pub use catalog_service::CatalogService;

use crate::actors::movie_repository::MovieRepository;

/// The largest request: the longest description, and room for the rest.
const MAX_REQUEST_BYTES: usize = 256 << 10;
/// The largest answer: a page of the longest descriptions.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long a request may take; callers that set no deadline do not wait for ever.
const DEADLINE: Duration = Duration::from_secs(15);
/// How many requests of one connection are worked on at once.
const REQUESTS_PER_CONNECTION: usize = 256;

/// Serves until `stop`, and then answers what was asked before.
///
/// # Errors
///
/// If the service cannot be served (any more).
pub async fn serve(
    incoming: TcpListenerStream,
    movies: Handle<MovieRepository>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let catalog = CatalogServer::new(CatalogService::new(movies))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter
        .set_serving::<CatalogServer<CatalogService>>()
        .await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("recommendations.Catalog")
            .with_service_name("grpc.health.v1.Health")
    };
    let stopping = async {
        stop.await;
        health_reporter
            .set_not_serving::<CatalogServer<CatalogService>>()
            .await;
    };
    Server::builder()
        .timeout(DEADLINE)
        .concurrency_limit_per_connection(REQUESTS_PER_CONNECTION)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_service(catalog)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming, stopping)
        .await?;
    Ok(())
}
