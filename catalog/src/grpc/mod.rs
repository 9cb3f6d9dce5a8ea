//! The Catalog service on gRPC.

mod catalog_service;
mod film_changes;
mod imports;

use proto::recommendations::{
    FILE_DESCRIPTOR_SET,
    catalog_server::{CatalogServer, SERVICE_NAME},
};
use runtime::{
    Handle, Shutdown,
    grpc::{Calls, GrpcService, MAX_RESPONSE_BYTES},
};
use tonic::{codec::CompressionEncoding, service::Routes};

pub use catalog_service::CatalogService;

use crate::{actors::movie_repository::MovieRepository, changes::Changes, system::SERVICE};

/// The largest request: an import of 500 movies whose descriptions have 4,000 bytes. It is more than a form of a page can hold, so that a
/// text that is too long is refused by the field it stands in.
const MAX_REQUEST_BYTES: usize = 2 << 20;

/// The Catalog service over `films`, for a gRPC server.
pub fn service(
    films: Handle<MovieRepository>,
    changes: Changes,
    shutdown: Shutdown,
    calls: Calls,
) -> GrpcService {
    let catalog = CatalogServer::new(CatalogService::new(films, changes, shutdown))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_RESPONSE_BYTES);
    GrpcService {
        routes: Routes::new(catalog),
        name: SERVICE_NAME,
        descriptors: FILE_DESCRIPTOR_SET,
        served_by: SERVICE,
        calls,
    }
}
