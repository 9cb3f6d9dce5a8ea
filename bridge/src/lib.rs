//! The NATS-compatible broker.
//!
//! [`broker`] is the server: the NATS protocol with JetStream streams on disk. Services reach it
//! through the crate `bus` over a socket, as they reach a real NATS server. [`relay`] carries records between topics of
//! Kafka and streams of NATS.
//!
//! [`run`] is the program `bridge`; [`system`] holds the supervision tree. Start reading there.

pub mod broker;
pub mod cli;
pub mod config;
pub mod relay;
pub mod system;

mod monitor;
mod nats_config;

pub use config::Config;
pub use system::{Listeners, run};
