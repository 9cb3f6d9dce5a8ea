//! A table that a database has lost while the program runs, or a whole database that its server has lost.
//!
//! The database stays in use, because what was lost may come back, as when a dump is loaded. Until then the service is
//! not ready.

use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::{
    QueryResult, RunQueryDsl, connection::SimpleConnection, result::Error as DieselError,
    sql_query, sql_types::BigInt,
};

use crate::DbConnection;

/// What was found missing last.
#[derive(Debug, Default)]
pub(crate) struct LostTable(Mutex<Option<Lost>>);

/// What a database says it does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The table of this name.
    Table(String),
    /// The whole database, of this name. MySQL 8 says so where MariaDB and older releases name a table.
    Database(String),
}

impl LostTable {
    /// Keeps the name if the error says that there is nothing of that name.
    pub(crate) fn look_at(&self, error: &DieselError) {
        if let DieselError::DatabaseError(_, info) = error
            && let Some(lost) = named_in(info.message())
        {
            *self.lock() = Some(lost);
        }
    }

    /// What is missing, unless it is back.
    pub(crate) fn still_missing(&self, conn: &mut DbConnection) -> Option<Lost> {
        self.unless_back(|lost| find(lost, conn).is_ok())
    }

    /// The lock is not held while `is_back` asks the database: [`look_at`](Self::look_at) is called where nothing may block.
    fn unless_back(&self, is_back: impl FnOnce(&Lost) -> bool) -> Option<Lost> {
        let asked = self.lock().clone()?;
        let is_back = is_back(&asked);
        let mut lost = self.lock();
        if is_back && lost.as_ref() == Some(&asked) {
            *lost = None;
        }
        lost.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lost>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(lost: &Lost, conn: &mut DbConnection) -> QueryResult<()> {
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        #[expect(
            dead_code,
            reason = "the database has to find the table, and nothing in it"
        )]
        number: i64,
    }
    match lost {
        Lost::Table(table) => {
            let query = sql_query(format!(
                "SELECT COUNT(*) AS number FROM {table} WHERE 1 = 0"
            ));
            query.get_result::<Found>(conn).map(drop)
        }
        Lost::Database(name) => conn.batch_execute(&format!("USE `{name}`")),
    }
}

/// What a message of either database says it does not have.
fn named_in(message: &str) -> Option<Lost> {
    if let Some(name) = message.strip_prefix("Unknown database '") {
        let name = name.strip_suffix('\'')?;
        let is_quotable = !name.is_empty() && !name.contains('`');
        return is_quotable.then(|| Lost::Database(name.to_owned()));
    }
    let name = match message.strip_prefix("no such table: ") {
        Some(name) => name,
        None => message
            .strip_prefix("Table '")?
            .strip_suffix("' doesn't exist")?,
    };
    let name = name.rsplit('.').next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_plain)).then(|| Lost::Table(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use diesel::result::DatabaseErrorKind;

    use super::*;

    fn table(name: &str) -> Lost {
        Lost::Table(name.to_owned())
    }

    fn says(message: &str) -> DieselError {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
    }

    #[test]
    fn what_is_lost_is_read_from_the_message() {
        assert_eq!(named_in("no such table: movies"), Some(table("movies")));
        let with_schema = "no such table: main.movies";
        assert_eq!(named_in(with_schema), Some(table("movies")));
        let mysql = "Table 'shop.movie_outbox' doesn't exist";
        assert_eq!(named_in(mysql), Some(table("movie_outbox")));
        for name in ["shop", "my-shop.2"] {
            let mysql_8 = format!("Unknown database '{name}'");
            assert_eq!(named_in(&mysql_8), Some(Lost::Database(name.to_owned())));
        }
        for other in [
            "Table 'a.b; DROP' doesn't exist",
            "no such column: x",
            "SAVEPOINT x does not exist",
            "no such table: ",
            "unknown database main",
            "Unknown database ''",
            "Unknown database 'a`; DROP'",
        ] {
            assert_eq!(named_in(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_found_missing_while_the_database_is_asked_is_kept() {
        let lost = LostTable::default();
        assert_eq!(lost.unless_back(|_| true), None);
        lost.look_at(&says("no such table: movies"));
        assert_eq!(lost.unless_back(|_| false), Some(table("movies")));
        let left = lost.unless_back(|asked| {
            assert_eq!(*asked, table("movies"));
            lost.look_at(&says("Unknown database 'shop'"));
            true
        });
        assert_eq!(left, Some(Lost::Database("shop".into())));
        assert_eq!(lost.unless_back(|_| true), None);
        assert_eq!(lost.unless_back(|_| false), None);
    }
}
