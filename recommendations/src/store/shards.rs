//! Shards of films: ranges of a film's users that replicas have taken from the [`backlog`](super::backlog), each to recommend the
//! film to its users.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use proto::{FilmId, UserId};
use storage::DbConnection;

use super::schema::shards;

/// The owner of shards that were given up.
pub const NOBODY: &str = "";

/// Some of the users of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Unlike that of any other.
    pub id: String,
    /// The film.
    pub film: FilmId,
    /// The first of the users.
    pub first: UserId,
    /// The last of the users.
    pub last: UserId,
    /// The replica that works on it.
    pub owner: String,
}

#[derive(Queryable)]
struct Row {
    id: String,
    film: String,
    first: i32,
    last: i32,
    owner: String,
}

/// The shards that are not finished, at most `limit`.
pub fn all(conn: &mut DbConnection, limit: i64) -> QueryResult<Vec<Shard>> {
    let rows: Vec<Row> = shards::table
        .order(shards::id)
        .limit(limit)
        .select((
            shards::id,
            shards::film_id,
            shards::first_user,
            shards::last_user,
            shards::owner,
        ))
        .load(conn)?;
    let shards = rows.into_iter().map(|row| Shard {
        id: row.id,
        film: FilmId::stored(&row.film),
        first: UserId(row.first),
        last: UserId(row.last),
        owner: row.owner,
    });
    Ok(shards.collect())
}

/// Puts down a shard.
pub fn put(conn: &mut DbConnection, shard: &Shard, now: NaiveDateTime) -> QueryResult<()> {
    diesel::insert_into(shards::table)
        .values((
            shards::id.eq(&shard.id),
            shards::film_id.eq(shard.film.as_str()),
            shards::first_user.eq(shard.first.0),
            shards::last_user.eq(shard.last.0),
            shards::owner.eq(&shard.owner),
            shards::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Gives a shard to `owner` if it still has the owner that it says; tells whether it had.
pub fn take_over(conn: &mut DbConnection, shard: &Shard, owner: &str) -> QueryResult<bool> {
    let row = shards::table
        .filter(shards::id.eq(&shard.id))
        .filter(shards::owner.eq(&shard.owner));
    let taken = diesel::update(row).set(shards::owner.eq(owner));
    Ok(taken.execute(conn)? == 1)
}

/// Gives up all shards of `owner`.
pub fn release(conn: &mut DbConnection, owner: &str) -> QueryResult<()> {
    diesel::update(shards::table.filter(shards::owner.eq(owner)))
        .set(shards::owner.eq(NOBODY))
        .execute(conn)?;
    Ok(())
}

/// Whether a shard is not finished and still has the owner that it says.
pub fn is_as_it_was(conn: &mut DbConnection, shard: &Shard) -> QueryResult<bool> {
    let row: Option<String> = shards::table
        .filter(shards::id.eq(&shard.id))
        .filter(shards::owner.eq(&shard.owner))
        .select(shards::id)
        .first(conn)
        .optional()?;
    Ok(row.is_some())
}

/// Forgets a shard; tells whether it was there.
pub fn finish(conn: &mut DbConnection, id: &str) -> QueryResult<bool> {
    Ok(diesel::delete(shards::table.filter(shards::id.eq(id))).execute(conn)? == 1)
}
