//! The gateways to the services that the pages call, one actor for each.

pub mod accounts_gateway;

pub mod catalog_gateway;

pub mod recommendations_gateway;

mod service_client;

pub(crate) use service_client::ServiceClient;

/// Whether any replica of a service says that it serves.
#[derive(Debug)]
struct Serving(bool);
