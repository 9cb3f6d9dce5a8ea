//! The gRPC edges of a process: servers with limits, deadlines and drain, and clients that share
//! one answer to the question whether a service is unavailable.
//!
//! Generated servers set message sizes and encodings themselves: [`MAX_REQUEST_BYTES`] and
//! [`MAX_RESPONSE_BYTES`] are for them.

mod acting;
mod answer_body;
mod balancer;
mod call_token;
mod calls;
mod client;
mod connection;
mod server;

pub use acting::{acting_as, acting_user};
pub(crate) use balancer::Lookup;
pub use balancer::ServiceChannel;
pub use call_token::{Caller, Person, ServiceKey};
pub use calls::Calls;
pub use client::{ServiceClient, is_timeout, is_unavailable, request};
pub use server::{GrpcServer, GrpcService};

use std::time::Duration;

use crate::resources::Share;

/// The largest request that a service takes unless it has a smaller limit of its own. The limit
/// holds for what a compressed request expands to, too.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// The largest response: what gRPC clients accept by default.
pub const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// How much a gRPC server takes on at once, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct GrpcLimits {
    /// How many connections there are. When there is one more, the one that has been without calls for longest ends; if none is,
    /// the new one waits.
    pub connections: usize,
    /// How long a client may take until it has sent the HTTP/2 preface.
    pub preface_deadline: Duration,
    /// How many calls one connection may have open, streams and waiting calls included.
    pub streams_per_connection: u32,
    /// How many calls of one connection are worked on; further ones of it wait.
    pub calls_per_connection: usize,
    /// How many calls are worked on; further ones are refused.
    pub calls: u32,
    /// How long a call may take until it begins to answer; old clients set no deadline.
    pub deadline: Duration,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            connections: Share::Grpc.connections().min(512),
            preface_deadline: Duration::from_secs(5),
            streams_per_connection: 1_024,
            calls_per_connection: 256,
            calls: 512,
            deadline: Duration::from_secs(20),
        }
    }
}
