//! Whether a database has the schema that this program was made for.
//!
//! The steps themselves say what that is: they run on an empty SQLite database in memory, and every
//! column that is there afterwards has to be in the real one, on either database.

use std::collections::BTreeSet;

use diesel::{
    Connection, OptionalExtension, QueryResult, RunQueryDsl, SqliteConnection,
    migration::{Migration, MigrationSource},
    mysql::Mysql,
    sql_query,
    sql_types::Text,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::{
    DbConnection, Migrations, each_backend,
    migrations::{BoxedError, Steps},
};

/// The versions of the steps that this program knows, and that of the last one that was run on the database.
pub(crate) fn steps(
    conn: &mut DbConnection,
    migrations: &Migrations,
) -> Result<(BTreeSet<String>, Option<String>), BoxedError> {
    let (known, applied) = match conn {
        DbConnection::Sqlite(conn) => (
            versions::<Sqlite>(&migrations.sqlite)?,
            conn.applied_migrations()?,
        ),
        DbConnection::Mysql(conn) => (
            versions::<Mysql>(&migrations.mysql)?,
            conn.applied_migrations()?,
        ),
    };
    let last = applied.iter().map(ToString::to_string).max();
    Ok((known, last))
}

/// Whether the database has a table of this name.
pub(crate) fn has_table(conn: &mut DbConnection, name: &str) -> QueryResult<bool> {
    let named = match conn {
        DbConnection::Sqlite(_) => {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?"
        }
        DbConnection::Mysql(_) => {
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
        }
    };
    let named = sql_query(named).bind::<Text, _>(name);
    let found: Option<Name> = each_backend!(conn, |c| named.get_result(c)).optional()?;
    Ok(found.is_some())
}

fn versions<DB: diesel::backend::Backend>(
    steps: &EmbeddedMigrations,
) -> Result<BTreeSet<String>, BoxedError> {
    let steps: Vec<Box<dyn Migration<DB>>> = steps.migrations()?;
    let versions = steps.iter().map(|step| step.name().version().to_string());
    Ok(versions.collect())
}

/// What a database lacks after the steps.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    /// The name of a table.
    #[error("no table `{0}`, which its steps have made: give the table its name back")]
    Table(String),
    /// `table.column`.
    #[error("no column `{0}`, which its steps have made: give the column its name back")]
    Column(String),
}

/// Returns the first table or column that the database lacks after the steps, if there is one.
pub(crate) fn missing(
    conn: &mut DbConnection,
    steps: &EmbeddedMigrations,
) -> Result<Option<Missing>, BoxedError> {
    let mut model = SqliteConnection::establish(":memory:")?;
    model.run_pending_migrations(Steps(steps))?;
    let expected = columns(sql_query(SQLITE_COLUMNS).load(&mut model)?);
    let found = match conn {
        DbConnection::Sqlite(conn) => columns(sql_query(SQLITE_COLUMNS).load(conn)?),
        DbConnection::Mysql(conn) => columns(sql_query(MYSQL_COLUMNS).load(conn)?),
    };
    Ok(first_missing(&expected, &found))
}

fn first_missing(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> Option<Missing> {
    let column = expected.difference(found).next()?;
    let table = column.split('.').next().unwrap_or(column);
    let has_table = found
        .iter()
        .any(|found| found.split('.').next() == Some(table));
    Some(match has_table {
        true => Missing::Column(column.clone()),
        false => Missing::Table(table.to_owned()),
    })
}

/// Reads one row of each table of a SQLite database, so that damage to its first pages shows.
pub(crate) fn read_tables(conn: &mut SqliteConnection) -> QueryResult<()> {
    let tables: Vec<Name> = sql_query(
        "SELECT replace(name, '\"', '\"\"') AS name FROM sqlite_schema WHERE type = 'table'",
    )
    .load(conn)?;
    for table in tables {
        sql_query(format!("SELECT * FROM \"{}\" LIMIT 1", table.name)).execute(conn)?;
    }
    Ok(())
}

const SQLITE_COLUMNS: &str = "SELECT t.name || '.' || c.name AS name \
    FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";

const MYSQL_COLUMNS: &str = "SELECT CONCAT(table_name, '.', column_name) AS name \
    FROM information_schema.columns WHERE table_schema = DATABASE()";

#[derive(diesel::QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Both databases take names in any case.
fn columns(names: Vec<Name>) -> BTreeSet<String> {
    let lower = names.into_iter().map(|column| column.name.to_lowercase());
    // SQLite's own tables are there or not, as it needs them.
    lower.filter(|name| !name.starts_with("sqlite_")).collect()
}
