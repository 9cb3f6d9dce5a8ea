//! The storage of a service: one query path over SQLite and MySQL.
//!
//! A service opens its [`Database`] from a [`DatabaseUrl`], which migrates it, and then runs
//! closures over a [`DbConnection`]: [`Database::read`] on one of several reader threads,
//! [`Database::write`] on the one writer thread, which commits all the writes that wait in a single
//! transaction, so that durability costs one sync a group and not one a write.
//!
//! The connections are blocking, and a pooled MySQL connection must not be used inside async code.
//! So only the executor actors of this crate touch the pool; `clippy.toml` bans it elsewhere.
//!
//! Start reading at [`Database`].

mod commits;
mod compatibility;
mod connection;
mod damage_check;
mod damage_checker;
mod database;
mod error;
mod examination;
mod executor;
mod figures;
mod file_copy;
mod group_commit;
mod identity;
mod lost_table;
mod marker;
mod migrations;
mod mysql;
mod pool;
mod probe;
mod sampler;
mod schema;
mod spans;
mod sqlite_file;
mod sqlite_log;
pub mod testing;
mod url;

pub use connection::{DbConnection, MultiBackend};
pub use database::Database;
pub use error::Error;
pub use examination::{Examined, examine};
pub use file_copy::{change_unused, copy_database, files_of};
pub use group_commit::Command;
pub use migrations::Migrations;
pub use mysql::{PureMysqlConnection, Rows};
pub use probe::probe;
pub use sampler::{count_rows, outbox_gauges};
pub use url::{DatabaseUrl, DatabaseUrlError};
