//! The service on the wire.

mod service;

use proto::accounts::{
    FILE_DESCRIPTOR_SET,
    accounts_server::{AccountsServer, SERVICE_NAME},
};
use runtime::grpc::{Calls, GrpcService, MAX_RESPONSE_BYTES};
use tonic::{codec::CompressionEncoding, service::Routes};

pub use service::AccountsService;

use crate::system::SERVICE;

/// The largest request: a picture of a mebibyte, with room to say that a larger one is too large.
const MAX_REQUEST_BYTES: usize = 2 << 20;

/// The Accounts service, for a gRPC server.
pub fn service(service: AccountsService, calls: Calls) -> GrpcService {
    let service = AccountsServer::new(service)
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
