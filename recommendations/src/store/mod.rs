//! The recommendations database: what is stored, and the functions that read and write it.
//!
//! Every change of preferences, films or recommendations takes a number from the [`sequence`] before anything else, but that of a shard,
//! which takes it last; the lock on that row makes commits happen in the order of their numbers, on any replica. What a change leads to is
//! in [`reconcile`].

/// Inserts `rows`: on MySQL, where each statement is a round trip, in as few statements as hold them;
/// on SQLite one by one, by a statement that is prepared only once. A statement of many rows would be
/// prepared each time, which costs more than it saves there.
macro_rules! insert_rows {
    ($conn:expr, $table:expr, $rows:expr) => {{
        let rows = $rows;
        match $conn {
            storage::DbConnection::Sqlite(conn) => {
                for row in rows {
                    diesel::insert_into($table).values(row).execute(conn)?;
                }
            }
            storage::DbConnection::Mysql(conn) => {
                for rows in $crate::store::statements(rows) {
                    diesel::insert_into($table).values(rows).execute(conn)?;
                }
            }
        }
    }};
}

mod schema;

pub mod sequence;

pub mod changes;

pub mod films;

mod film_rows;

pub mod versions;

pub mod preferences;

mod rules;

pub mod recommendations;

pub mod looks;

pub mod backlog;

pub mod shards;

pub mod outbox;

pub mod secrets;

pub mod leases;

pub mod reconcile;

pub mod news;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use proto::{FilmId, UserId};
use storage::Migrations;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/recommendations/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/recommendations/mysql");

/// How many values one statement binds at most; also SQLite and long texts stay within bounds.
const BATCH: usize = 500;

/// The ids as the database holds them.
fn texts(films: &[FilmId]) -> Vec<&str> {
    films.iter().map(FilmId::as_str).collect()
}

/// The ids as the database holds them.
fn numbers(users: &[UserId]) -> Vec<i32> {
    users.iter().map(|user| user.0).collect()
}

/// How many bytes of rows one statement carries at most; servers refuse huge statements.
const STATEMENT_BYTES: usize = 2 * 1024 * 1024;

/// A row to be inserted.
trait NewRow {
    /// About how many bytes it takes in a statement.
    fn size(&self) -> usize;
}

/// Cuts `rows` into parts that are not too much for one statement each.
fn statements<T: NewRow>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&T| {
            bytes += row.size();
            bytes <= STATEMENT_BYTES
        };
        let count = rows.iter().take(BATCH).take_while(fits).count();
        let (part, rest) = rows.split_at_checked(count.max(1))?;
        rows = rest;
        Some(part)
    })
}

/// The migrations of the recommendations database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: SQLITE,
        mysql: MYSQL,
        fill: Some(sequence::reach_clock),
        needed_step: "20261130000030",
    }
}

#[cfg(test)]
mod tests {
    use super::migrations;
    use crate::matching::RULES;

    /// Whoever raises the rules names here the step that came with them.
    #[test]
    fn programs_with_older_rules_refuse_the_database() {
        let (rules, step) = (3, "20261130000010");
        assert_eq!(RULES, rules);
        assert!(migrations().needed_step >= step);
    }
}
