//! The data half of the catalog over every database there is: repository, courier, status events,
//! the Catalog service on gRPC, and databases of older deployments.

mod catalog_service;
mod commit_order;
mod courier;
mod legacy;
mod recommender;
mod repository;
mod status;
// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;
