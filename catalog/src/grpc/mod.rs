//! The Catalog service on gRPC.

mod catalog_service;

use proto::recommendations::{
    FILE_DESCRIPTOR_SET,
    catalog_server::{CatalogServer, SERVICE_NAME},
};
use runtime::{Handle, Shutdown, grpc::GrpcService};
use tonic::service::Routes;

pub use catalog_service::CatalogService;

use crate::{actors::movie_repository::MovieRepository, changes::Changes, system::SERVICE};

/// The largest request: what a form of a page can hold, so that a text that is too long is refused by
/// the field it stands in.
const MAX_REQUEST_BYTES: usize = 512 << 10;
/// The largest answer: what clients take by default.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The Catalog service over `movies`, for a gRPC server.
pub fn service(
    movies: Handle<MovieRepository>,
    changes: Changes,
    shutdown: Shutdown,
) -> GrpcService {
    let catalog = CatalogServer::new(CatalogService::new(movies, changes, shutdown))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    GrpcService {
        routes: Routes::new(catalog),
        name: SERVICE_NAME,
        descriptors: FILE_DESCRIPTOR_SET,
        served_by: SERVICE,
    }
}
