//! The service on the wire: gRPC with health and reflection.

mod calls;
mod health;
mod requests;
mod service;

use std::{future::Future, time::Duration};

use proto::recommendations::{FILE_DESCRIPTOR_SET, recommendations_server::RecommendationsServer};
use runtime::Board;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_reflection::server::Builder;

pub use calls::Calls;
pub use service::RecommendationsService;

/// The longest request: a film's texts, and its words again from an old catalog.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// The longest answer; also what old clients accept.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// Calls and watches of one client at a time.
const MAX_STREAMS: u32 = 1_024;

/// Serves calls until `stopped`, and then those that are under way.
///
/// # Errors
///
/// If connections cannot be accepted any more.
pub async fn serve(
    incoming: TcpListenerStream,
    service: RecommendationsService,
    board: Board,
    stopped: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = RecommendationsServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    let (reporter, health) = tonic_health::server::health_reporter();
    let describe = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(health)
        .add_service(describe().build_v1()?)
        .add_service(describe().build_v1alpha()?)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stopped);
    tokio::select! {
        served = server => Ok(served?),
        () = health::follow(board, reporter) => Ok(()),
    }
}
