//! What access tokens are signed with.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use storage::DbConnection;

use super::schema::signing_keys;

/// A key.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct StoredKey {
    pub kid: String,
    /// PKCS#8 in PEM.
    pub secret: String,
    pub created_at: NaiveDateTime,
}

/// Returns all keys, the newest first.
pub fn all(conn: &mut DbConnection) -> QueryResult<Vec<StoredKey>> {
    signing_keys::table
        .order((signing_keys::created_at.desc(), signing_keys::kid))
        .select(StoredKey::as_select())
        .load(conn)
}

/// Adds a key.
pub fn insert(conn: &mut DbConnection, key: &StoredKey) -> QueryResult<()> {
    diesel::insert_into(signing_keys::table)
        .values(key)
        .execute(conn)?;
    Ok(())
}

/// Deletes the keys that were made before that time.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    diesel::delete(signing_keys::table.filter(signing_keys::created_at.lt(before))).execute(conn)
}
