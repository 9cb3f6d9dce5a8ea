//! Marquee: the Accounts gRPC service: who people are, how they sign in, and what they may do.
//!
//! Each write takes a number from one order before anything else, and leaves word of it in the table of changes: by that every
//! replica learns whose credentials are not what they were. What is secret is stored as a hash alone.
//!
//! Start reading at [`system`].

pub mod config;

pub mod system;

pub mod grpc;

pub mod actors;

mod calls;

pub mod access;

pub mod keyring;

pub mod watchers;

pub mod outbox;

pub mod fields;

pub mod figures;

pub mod picture;

mod wire;

pub mod store;

pub mod passwords;

pub mod tokens;

pub mod second_factor;

mod authorities;

pub mod mail;

pub mod providers;

pub mod error;

pub use config::Config;
pub use error::Error;
pub use system::{Listeners, SERVICE, run};
