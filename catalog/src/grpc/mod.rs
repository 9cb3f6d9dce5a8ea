//! The Catalog service on gRPC.

mod catalog_service;

use proto::recommendations::{
    FILE_DESCRIPTOR_SET,
    catalog_server::{CatalogServer, SERVICE_NAME},
};
use runtime::{Handle, grpc::GrpcService};
use tonic::service::Routes;

pub use catalog_service::CatalogService;

use crate::{actors::movie_repository::MovieRepository, system::SERVICE};

/// The largest request: the longest description, and room for the rest.
const MAX_REQUEST_BYTES: usize = 256 << 10;
/// The largest answer: a page of the longest descriptions.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The Catalog service over `movies`, for a gRPC server.
pub fn service(movies: Handle<MovieRepository>) -> GrpcService {
    let catalog = CatalogServer::new(CatalogService::new(movies))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    GrpcService {
        routes: Routes::new(catalog),
        name: SERVICE_NAME,
        descriptors: FILE_DESCRIPTOR_SET,
        served_by: SERVICE,
    }
}
