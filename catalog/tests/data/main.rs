//! The data half of the catalog over every database there is: repository, courier, status events,
//! the Catalog service on gRPC, and databases of older deployments.

mod support;
mod recommender;
mod repository;
mod courier;
mod commit_order;
mod status;
mod catalog_service;
mod legacy;
