//! The pages as a browser sees them, over a catalog and recommendations that a test has in its hand.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that panics has failed, which is what it is for"
)]

mod access;
mod admin;
mod api;
mod bad_requests;
mod entrance;
mod film_forms;
mod films;
mod following;
mod live;
mod me;
mod proxy;
mod recommended;
mod safety;
mod services;
mod users;

mod browser;
mod site;
