//! The service on the wire.

mod requests;
mod service;
mod user_request;

use proto::recommendations::{
    FILE_DESCRIPTOR_SET,
    recommendations_server::{RecommendationsServer, SERVICE_NAME},
};
use runtime::grpc::{Calls, GrpcService, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES};
use tonic::{codec::CompressionEncoding, service::Routes};

pub use service::RecommendationsService;

use crate::system::SERVICE;

/// The Recommendations service, for a gRPC server.
pub fn service(service: RecommendationsService, calls: Calls) -> GrpcService {
    let service = RecommendationsServer::new(service)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    GrpcService {
        routes: Routes::new(service),
        name: SERVICE_NAME,
        descriptors: FILE_DESCRIPTOR_SET,
        served_by: SERVICE,
        calls,
    }
}
