//! The service's actors, one a file.

pub mod account_repository;

pub mod password_hasher;

pub mod credential_poller;

pub mod janitor;

pub mod mail_courier;
