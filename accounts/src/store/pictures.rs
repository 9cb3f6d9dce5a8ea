//! Pictures of people: PNGs, ready to be shown.

use diesel::prelude::*;
use proto::UserId;
use storage::DbConnection;

use super::schema::pictures;

/// Stores the picture of a person instead of an earlier one.
pub fn replace(
    conn: &mut DbConnection,
    user: UserId,
    image: &[u8],
    version: i64,
) -> QueryResult<()> {
    remove(conn, user)?;
    let row = (
        pictures::user_id.eq(user.0),
        pictures::image.eq(image),
        pictures::version.eq(version),
    );
    diesel::insert_into(pictures::table)
        .values(row)
        .execute(conn)?;
    Ok(())
}

/// Deletes the picture of a person.
pub fn remove(conn: &mut DbConnection, user: UserId) -> QueryResult<()> {
    diesel::delete(pictures::table.find(user.0)).execute(conn)?;
    Ok(())
}

/// Returns the picture of a person, and its version.
pub fn find(conn: &mut DbConnection, user: UserId) -> QueryResult<Option<(Vec<u8>, i64)>> {
    pictures::table
        .find(user.0)
        .select((pictures::image, pictures::version))
        .first(conn)
        .optional()
}
