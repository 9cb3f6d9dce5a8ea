//! The service on the wire.

mod calls;
mod requests;
mod service;

use proto::recommendations::{
    FILE_DESCRIPTOR_SET,
    recommendations_server::{RecommendationsServer, SERVICE_NAME},
};
use runtime::grpc::GrpcService;
use tonic::service::Routes;

pub use calls::Calls;
pub use service::RecommendationsService;

use crate::system::SERVICE;

/// The longest request: a film's texts, and its words again from an old catalog.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// The longest answer; also what old clients accept.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// The Recommendations service, for a gRPC server.
pub fn service(service: RecommendationsService) -> GrpcService {
    let service = RecommendationsServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    GrpcService {
        routes: Routes::new(service),
        name: SERVICE_NAME,
        descriptors: FILE_DESCRIPTOR_SET,
        served_by: SERVICE,
    }
}
