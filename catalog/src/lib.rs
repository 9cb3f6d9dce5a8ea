//! The film catalog: its gRPC service and the movies database.
//!
//! A film is written through the [`MovieRepository`](actors::movie_repository::MovieRepository),
//! which commits it together with an outbox row. The
//! [`FilmCourier`](actors::film_courier::FilmCourier) delivers the outbox to the recommendations
//! service, however long that service is unavailable. The [status consumer](actors::status_consumer)
//! applies what comes back over the event bus: whether a film is recommended to any user.
//!
//! The catalog has no pages: the crate `web` calls it by gRPC. [`run`] starts it all; [`system`] shows
//! the supervision tree. Start reading there.

pub mod config;
pub mod system;

pub mod films;

pub mod actors;

mod delivery;
pub mod figures;
pub mod flags;
mod recommendations;
mod summary;

pub mod changes;
pub mod grpc;
pub mod sample;

mod error;

pub use config::Config;
pub use error::Error;
pub use recommendations::RecommendationsClient;
pub use system::{Listeners, SERVICE, run};
