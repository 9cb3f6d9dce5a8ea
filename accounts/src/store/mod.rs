//! The accounts database: what is stored, and the functions that read and write it.
//!
//! Every change takes a number from the [`sequence`] before anything else; the lock on that row makes commits happen in the order of their
//! numbers, on any replica.

mod schema;

pub mod sequence;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/accounts/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/accounts/mysql");

/// The migrations of the accounts database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
        fill: None,
        needed_step: "20261201000010",
    }
}
