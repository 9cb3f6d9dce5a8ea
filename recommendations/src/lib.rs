//! Marquee: the Recommendations gRPC service: preferences, the matcher, the stored recommendations.
//!
//! A [`Recommender`] does what the calls ask for. It asks the matcher, which has all preferences
//! and all films in memory, what a film or a keyword matches; then, in one transaction, it stores
//! the film or the preference, corrects the matcher's answer for what was committed since, makes the
//! stored recommendations what they should be, and writes the status events to the outbox. A
//! courier of the bus publishes these; a worker finishes what was too much for one transaction.
//!
//! Start reading at [`system`], then [`store::reconcile`].

pub mod config;

pub mod system;

pub mod grpc;

mod recommender;

pub mod matching;

pub mod store;

pub mod actors;

pub mod error;

pub mod figures;
pub mod lease;
mod outbox;
mod signals;
pub mod watchers;

pub use config::Config;
pub use error::Error;
pub use recommender::{Recommended, Recommender};
pub use system::{Listeners, run};
