//! What makes a process out of services: supervision, shutdown, settings, telemetry, health.
//!
//! actix restarts an actor that stops itself, but an actor that panics is gone for good, and so is
//! every address of it. [`supervision`] therefore has its own supervisors: a [`Supervisor`] holds a factory
//! for each of its children, notices a death however it comes about, and makes a new child after a
//! delay. Callers hold a [`Handle`], which survives the restart.
//!
//! A service is a function `run(config, listeners, process)`: [`process`] runs one or several of
//! them, each in an actix system of its own, until a signal or a [`Fault`] ends them. What the
//! actors report about themselves is collected on a [`ActorRegistry`] and shown by [`ops`].
//!
//! Start reading at [`Supervisor`].

mod common_settings;
mod connection_limit;
pub mod consul;
mod error_code;
mod files;
pub mod grpc;
pub mod health_check;
pub mod http;
pub mod jwt;
mod memory;
pub mod metrics;
pub mod ops;
pub mod process;
pub mod program;
pub mod request_id;
pub mod resources;
mod service_address;
pub mod settings;
pub mod supervision;
pub mod telemetry;
pub mod tls;
pub mod traces;

pub use common_settings::CommonSettings;
pub use error_code::{ErrorCode, ServiceError, log_error, status_of};
pub use process::{Fault, Process, Shutdown};
pub use program::{KeyNeed, Prepared, Program};
pub use request_id::RequestId;
pub use service_address::ServiceAddress;
pub use supervision::{
    ActorRegistry, AskError, Backoff, ChildGuard, Dependency, Group, Handle, Place, Reporter,
    RestartPolicy, Supervisor, Wake,
};

/// The version of the programs, which is one for all.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
