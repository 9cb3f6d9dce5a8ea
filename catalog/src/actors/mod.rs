//! The catalog's actors, one a file.

pub mod movie_repository;

pub mod film_courier;

pub mod status_consumer;

pub mod flag_reconciler;

pub mod genre_lister;

pub mod history_trimmer;
