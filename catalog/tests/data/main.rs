//! The data half of the catalog over every database there is: repository, courier, status events,
//! the Catalog service on gRPC, and databases of older deployments.

// `cfg(test)` is always true here; it tells clippy that the panics are meant.
#[cfg(test)]
mod support;

#[cfg(test)]
mod repository;

#[cfg(test)]
mod lists;

#[cfg(test)]
mod history;

#[cfg(test)]
mod external_ids;

#[cfg(test)]
mod imports;

#[cfg(test)]
mod courier;

#[cfg(test)]
mod commit_order;

#[cfg(test)]
mod status;

#[cfg(test)]
mod catalog_service;

#[cfg(test)]
mod legacy;
