//! The accounts database: what is stored, and the functions that read and write it.
//!
//! Every change takes a number from the [`sequence`] before anything else; the lock on that row makes commits happen in the order of their
//! numbers, on any replica.

mod schema;

pub mod sequence;

pub mod changes;

pub mod users;

pub mod sessions;

pub mod personal_tokens;

pub mod codes;

pub mod invitations;

pub mod audit;

pub mod pictures;

pub mod recovery_codes;

pub mod identities;

pub mod signing_keys;

pub mod secrets;

pub mod mails;

pub mod outbox;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/accounts/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/accounts/mysql");

/// How many rows of a table are cleaned away in one transaction, which others wait for.
const CLEANED_AT_ONCE: i64 = 500;

/// The migrations of the accounts database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
        fill: None,
        needed_step: "20261201000010",
    }
}
