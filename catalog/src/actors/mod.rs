//! The catalog's actors, one a file.

pub mod film_courier;
pub mod grpc_server;
pub mod movie_repository;
pub mod recommendations_gateway;
pub mod status_consumer;
