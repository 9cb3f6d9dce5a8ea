//! Messaging: the NATS-compatible broker, and the event bus that the services publish to and
//! consume from.
//!
//! [`broker`] is the server: the NATS protocol with JetStream streams on disk. [`bus`] is the
//! client side: events, producers and consumers over NATS or Kafka. The services reach the embedded
//! broker through the bus as they reach a real one, over a socket.
//!
//! [`run`] is the program `bridge`; [`system`] shows who supervises whom. Start reading there.

pub mod broker;
pub mod bus;
pub mod config;
pub mod system;

pub use config::Config;
pub use system::{Listeners, run};
