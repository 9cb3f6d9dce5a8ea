//! The film catalog: its pages, its gRPC service, and the movies database.
//!
//! A film is written through the [`MovieRepository`](actors::movie_repository::MovieRepository),
//! which commits it together with an outbox row. The
//! [`FilmCourier`](actors::film_courier::FilmCourier) brings what the outbox holds to the
//! recommendations service, however long that is away. What comes back over the event bus, whether
//! anybody is recommended a film, is applied by the [status consumer](actors::status_consumer).
//!
//! [`run`] starts it all; [`system`] shows who supervises whom. Start reading there.

pub mod config;
pub mod system;

pub mod movies;

pub mod actors;

mod delivery;
mod summary;

pub mod grpc;
pub mod sample;
pub mod web;

mod error;

pub use config::Config;
pub use error::Error;
pub use proto::UserId;
pub use system::{AppState, Listeners, run};
