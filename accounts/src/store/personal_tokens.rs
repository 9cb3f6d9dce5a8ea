//! Personal tokens: what people give to their programs.

use chrono::NaiveDateTime;
use diesel::{dsl::count_star, prelude::*};
use proto::{UserId, accounts::Scope};
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::personal_tokens};

/// A personal token.
#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = personal_tokens)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct PersonalToken {
    pub id: String,
    pub user_id: i32,
    pub name: String,
    pub secret: String,
    pub prefix: String,
    /// One bit each, by the number of the scope.
    pub scopes: i32,
    pub created_at: NaiveDateTime,
    pub last_used_at: Option<NaiveDateTime>,
    pub expires_at: Option<NaiveDateTime>,
}

/// The scopes as a column has them.
pub fn to_bits(scopes: &[Scope]) -> i32 {
    let bit = |scope: &Scope| 1 << i32::from(*scope);
    scopes.iter().map(bit).fold(0, |bits, bit| bits | bit)
}

/// The scopes of a column.
pub fn from_bits(bits: i32) -> Vec<Scope> {
    let all = [Scope::Read, Scope::Write, Scope::Edit, Scope::Manage];
    let has = |scope: &Scope| bits & (1 << i32::from(*scope)) != 0;
    all.into_iter().filter(has).collect()
}

/// Adds a token.
pub fn insert(conn: &mut DbConnection, token: &PersonalToken) -> QueryResult<()> {
    diesel::insert_into(personal_tokens::table)
        .values(token)
        .execute(conn)?;
    Ok(())
}

/// How many a person has.
pub fn count(conn: &mut DbConnection, user: UserId) -> QueryResult<i64> {
    personal_tokens::table
        .filter(personal_tokens::user_id.eq(user.0))
        .select(count_star())
        .first(conn)
}

/// Returns the token that has this hash.
pub fn by_secret(conn: &mut DbConnection, hash: &str) -> QueryResult<Option<PersonalToken>> {
    personal_tokens::table
        .filter(personal_tokens::secret.eq(hash))
        .select(PersonalToken::as_select())
        .first(conn)
        .optional()
}

/// Returns the tokens of a person, the newest first.
pub fn of_user(conn: &mut DbConnection, user: UserId) -> QueryResult<Vec<PersonalToken>> {
    personal_tokens::table
        .filter(personal_tokens::user_id.eq(user.0))
        .order(personal_tokens::created_at.desc())
        .select(PersonalToken::as_select())
        .load(conn)
}

/// Revokes a token of a person; tells whether there was one.
pub fn revoke(conn: &mut DbConnection, user: UserId, id: &str) -> QueryResult<bool> {
    let one = personal_tokens::table
        .filter(personal_tokens::user_id.eq(user.0))
        .filter(personal_tokens::id.eq(id));
    Ok(diesel::delete(one).execute(conn)? > 0)
}

/// Stores when tokens were used last.
pub fn touch(conn: &mut DbConnection, id: &str, at: NaiveDateTime) -> QueryResult<Option<i32>> {
    let user: Option<i32> = personal_tokens::table
        .find(id)
        .select(personal_tokens::user_id)
        .first(conn)
        .optional()?;
    if user.is_some() {
        diesel::update(personal_tokens::table.find(id))
            .set(personal_tokens::last_used_at.eq(at))
            .execute(conn)?;
    }
    Ok(user)
}

/// Deletes tokens that ended before that time; returns how many.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    let ended: Vec<String> = personal_tokens::table
        .filter(personal_tokens::expires_at.lt(before))
        .limit(CLEANED_AT_ONCE)
        .select(personal_tokens::id)
        .load(conn)?;
    diesel::delete(personal_tokens::table.filter(personal_tokens::id.eq_any(ended))).execute(conn)
}
