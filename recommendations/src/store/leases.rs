//! Which replica does what only one may do at a time.

use diesel::prelude::*;
use storage::DbConnection;

use super::schema::leases;

/// The lease on delivering the outbox and working off the backlog.
pub const BACKGROUND: &str = "background";

/// Who holds a lease, and how often it was renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The holder, or empty if the lease is free.
    pub holder: String,
    /// Grows with every renewal, whichever replica holds it.
    pub beat: i64,
}

/// The lease as it is now.
pub fn read(conn: &mut DbConnection) -> QueryResult<Lease> {
    let (holder, beat) = leases::table
        .filter(leases::name.eq(BACKGROUND))
        .select((leases::holder, leases::beat))
        .get_result(conn)?;
    Ok(Lease { holder, beat })
}

/// Gives the lease to `holder` if it still is as it was `seen`; tells whether it was.
pub fn replace(conn: &mut DbConnection, seen: &Lease, holder: &str) -> QueryResult<bool> {
    let changed = diesel::update(
        leases::table
            .filter(leases::name.eq(BACKGROUND))
            .filter(leases::holder.eq(&seen.holder))
            .filter(leases::beat.eq(seen.beat)),
    )
    .set((leases::holder.eq(holder), leases::beat.eq(seen.beat + 1)))
    .execute(conn)?;
    Ok(changed == 1)
}

/// Gives up the lease if `holder` has it.
pub fn release(conn: &mut DbConnection, holder: &str) -> QueryResult<()> {
    diesel::update(
        leases::table
            .filter(leases::name.eq(BACKGROUND))
            .filter(leases::holder.eq(holder)),
    )
    .set((leases::holder.eq(""), leases::beat.eq(leases::beat + 1)))
    .execute(conn)?;
    Ok(())
}
