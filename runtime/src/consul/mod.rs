//! Consul as a registry of services: where clients of gRPC look the replicas of a service up, and where a service registers itself.
//!
//! What is asked of it are four requests of its HTTP API ([`agent`]). A client that is given `consul://service` looks it up there
//! ([`lookup`]); a program that is told how others reach it keeps each of its gRPC services registered, by an actor ([`registrar`]).
//! Nothing waits for Consul: without it clients keep the replicas that they know, and a stop goes on after a moment.
//! `docs/adr/0009` says why this is no crate of others.

mod agent;
mod lookup;
mod registrar;
mod service;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use agent::ConsulAgent;
pub(crate) use lookup::ConsulLookup;
pub use registrar::Registration;
pub(crate) use service::ConsulService;
pub use settings::{Consul, ConsulSettings};
