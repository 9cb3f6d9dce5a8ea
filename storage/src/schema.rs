//! Whether a database has the schema that this program was made for.
//!
//! The steps themselves say what that is: they run on an empty SQLite database in memory, and every
//! column that is there afterwards has to be in the real one, on either database.

use std::collections::BTreeSet;

use diesel::{
    Connection, QueryResult, RunQueryDsl, SqliteConnection,
    migration::{Migration, MigrationSource},
    mysql::Mysql,
    sql_query,
    sql_types::Text,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::{
    DbConnection, Migrations,
    migrations::{BoxedError, Steps},
};

/// Returns a step that was run on the database and that this program does not know, if there is
/// one: a newer release was here.
pub(crate) fn unknown_step(
    conn: &mut DbConnection,
    migrations: &Migrations,
) -> Result<Option<String>, BoxedError> {
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
    let applied: BTreeSet<String> = applied.iter().map(ToString::to_string).collect();
    // Without any known step there is nothing to be older than.
    Ok(applied
        .into_iter()
        .next_back()
        .filter(|last| !known.is_empty() && !known.contains(last)))
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
