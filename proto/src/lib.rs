//! What Marquee's services say to each other, and to the world, on the wire.
//!
//! [`recommendations`] and [`accounts`] are generated from the `.proto` files; [`events`] holds what
//! travels over the event bus. All are a contract with programs that we do not control: they are
//! added to, never changed. How the text of a field is read and compared is here too ([`genres`],
//! [`text`]), so that all services do it alike.

/// Messages, clients and servers of the gRPC package `recommendations`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code; the .proto file holds its documentation"
)]
pub mod recommendations {
    tonic::include_proto!("recommendations");

    /// The compiled descriptors of the package, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/recommendations.bin"));
}

/// Messages, clients and servers of the gRPC package `accounts`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated code; the .proto file holds its documentation"
)]
pub mod accounts {
    tonic::include_proto!("accounts");

    /// The compiled descriptors of the package, for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/accounts.bin"));
}

pub mod access;
pub mod events;
pub mod genres;
pub mod ids;
pub mod reasons;
pub mod text;

/// The paths of all gRPC calls of the `.proto` files.
pub const CALLS: &[&str] = include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// The paths of the gRPC calls that have the same effect when they are made twice: those with an `idempotency_level` in the `.proto`
/// file. A client may repeat one of them when it does not know whether the first was executed.
pub const REPEATABLE_CALLS: &[&str] = include!(concat!(env!("OUT_DIR"), "/repeatable_calls.rs"));

/// The paths of the calls that change nothing, so that it does no harm if one is made twice at once.
pub const READING_CALLS: &[&str] = include!(concat!(env!("OUT_DIR"), "/reading_calls.rs"));

pub use access::{Access, Role, Scope, Scopes};
pub use ids::{FilmId, InvalidFilmId, UserId};
