//! Queries that compare the flags of films with what recommendations says of them, and repair them.

use diesel::prelude::*;
use storage::DbConnection;

use super::schema::movies;

/// The flag of a film as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct StoredFlag {
    /// The film's id.
    pub film_id: String,
    /// Whether the film is recommended to any user.
    pub is_recommended: bool,
    /// The version of the last event that was applied.
    pub version: Option<i64>,
}

/// What recommendations says of a film, later than its flag was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// Whether the film is recommended to any user.
    pub is_recommended: bool,
    /// Every event up to this version is taken into account; later ones have a greater version.
    pub version: i64,
}

impl StoredFlag {
    /// Whether the flag has to be repaired: it is another, or its version is one that recommendations
    /// has not reached, so that no genuine event would change the flag any more.
    pub fn differs_from(&self, truth: &Truth) -> bool {
        self.is_recommended != truth.is_recommended || self.is_frozen(truth)
    }

    fn is_frozen(&self, truth: &Truth) -> bool {
        self.version.is_some_and(|version| version > truth.version)
    }
}

/// Reads the flags of up to `limit` films whose ids follow `after`, in the order of their ids.
///
/// # Errors
///
/// If the database fails.
pub fn page(conn: &mut DbConnection, after: &str, limit: i64) -> QueryResult<Vec<StoredFlag>> {
    movies::table
        .filter(movies::id.gt(after))
        .order(movies::id)
        .limit(limit)
        .select((
            movies::id,
            movies::is_recommended,
            movies::recommended_version,
        ))
        .load(conn)
}

/// Sets the flag of a film to what recommendations says, unless a newer event was applied since the
/// flag was read. Returns whether it did.
///
/// # Errors
///
/// If the database fails.
pub fn repair(conn: &mut DbConnection, read: &StoredFlag, truth: &Truth) -> QueryResult<bool> {
    // A version above that of the later answer comes from no recommendations service. It may be lowered if it is the one read.
    let foreign = read.version.filter(|_| read.is_frozen(truth));
    let replaceable = movies::recommended_version
        .is_null()
        .or(movies::recommended_version.le(truth.version))
        .or(movies::recommended_version.eq(foreign.unwrap_or(truth.version)));
    let repaired = diesel::update(movies::table.find(read.film_id.as_str()))
        .filter(replaceable)
        .set((
            movies::is_recommended.eq(truth.is_recommended),
            movies::recommended_version.eq(truth.version),
        ))
        .execute(conn)?;
    Ok(repaired > 0)
}
