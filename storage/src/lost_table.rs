//! A table that a database has lost while the program runs.
//!
//! The database stays in use, because the table may come back, as when a dump is loaded. Until then the service is
//! not ready.

use std::sync::{Mutex, PoisonError};

use diesel::{
    QueryResult, RunQueryDsl, result::Error as DieselError, sql_query, sql_types::BigInt,
};

use crate::DbConnection;

/// The table that was found missing last.
#[derive(Debug, Default)]
pub(crate) struct LostTable(Mutex<Option<String>>);

impl LostTable {
    /// Keeps the name of the table if the error says that there is none of that name.
    pub(crate) fn look_at(&self, error: &DieselError) {
        if let Some(table) = missing_table(error) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
        }
    }

    /// The table, unless it is back.
    pub(crate) fn still_missing(&self, conn: &mut DbConnection) -> Option<String> {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = lost.as_ref()
            && find(table, conn).is_ok()
        {
            *lost = None;
        }
        lost.clone()
    }
}

fn find(table: &str, conn: &mut DbConnection) -> QueryResult<()> {
    #[derive(diesel::QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        #[expect(
            dead_code,
            reason = "the database has to find the table, and nothing in it"
        )]
        number: i64,
    }
    let query = sql_query(format!(
        "SELECT COUNT(*) AS number FROM {table} WHERE 1 = 0"
    ));
    query.get_result::<Found>(conn).map(drop)
}

fn missing_table(error: &DieselError) -> Option<String> {
    let DieselError::DatabaseError(_, info) = error else {
        return None;
    };
    named_in(info.message()).map(ToOwned::to_owned)
}

/// The table that a message of either database says it does not have.
fn named_in(message: &str) -> Option<&str> {
    let name = match message.strip_prefix("no such table: ") {
        Some(name) => name,
        None => message
            .strip_prefix("Table '")?
            .strip_suffix("' doesn't exist")?,
    };
    let name = name.rsplit('.').next()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_from_the_message() {
        assert_eq!(named_in("no such table: movies"), Some("movies"));
        assert_eq!(named_in("no such table: main.movies"), Some("movies"));
        let mysql = "Table 'shop.movie_outbox' doesn't exist";
        assert_eq!(named_in(mysql), Some("movie_outbox"));
        for other in [
            "Table 'a.b; DROP' doesn't exist",
            "no such column: x",
            "SAVEPOINT x does not exist",
            "no such table: ",
        ] {
            assert_eq!(named_in(other), None, "{other}");
        }
    }
}
