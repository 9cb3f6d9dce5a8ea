//! The recommendations database: what is stored, and the functions that read and write it.
//!
//! Every change takes a number from the [`sequence`] before anything else; the lock on that row
//! makes commits happen in the order of their numbers, on any replica. What a change leads to is
//! in [`reconcile`].

mod schema;

pub mod sequence;

pub mod changes;

pub mod films;

pub mod preferences;

pub mod recommendations;

pub mod backlog;

pub mod outbox;

pub mod leases;

pub mod reconcile;

pub mod news;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/recommendations/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/recommendations/mysql");

/// How many values one statement binds at most; also SQLite and long texts stay within bounds.
const BATCH: usize = 500;

/// The migrations of the recommendations database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
    }
}
