//! Mails that were not sent yet. Their texts may hold codes, so that a row is deleted once it is sent.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use runtime::traces::Origin;
use storage::DbConnection;

use super::{CLEANED_AT_ONCE, schema::mails, sequence};

/// A mail.
#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = mails)]
#[expect(missing_docs, reason = "the columns are described where they are made")]
pub struct Waiting {
    pub seq: i64,
    pub recipient: String,
    pub subject: String,
    pub body: String,
    pub created_at: NaiveDateTime,
    pub attempts: i32,
    pub next_try: NaiveDateTime,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
}

impl Waiting {
    /// The request that led to it.
    pub fn origin(&self) -> Origin {
        Origin::read(self.request_id.as_deref(), self.traceparent.as_deref())
    }
}

/// Adds a mail, which is sent once the transaction is committed.
pub fn put(
    conn: &mut DbConnection,
    recipient: &str,
    subject: &str,
    body: &str,
    now: NaiveDateTime,
) -> QueryResult<()> {
    let origin = Origin::current();
    let mail = Waiting {
        // A number of its own: one change may lead to several mails.
        seq: sequence::take(conn, now)?,
        recipient: recipient.to_owned(),
        subject: subject.to_owned(),
        body: body.to_owned(),
        created_at: now,
        attempts: 0,
        next_try: now,
        request_id: origin.request_id(),
        traceparent: origin.traceparent(),
    };
    diesel::insert_into(mails::table)
        .values(&mail)
        .execute(conn)?;
    Ok(())
}

/// Whether a mail is due.
pub fn is_any_due(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<bool> {
    let due: Option<i64> = mails::table
        .filter(mails::next_try.le(now))
        .select(mails::seq)
        .first(conn)
        .optional()?;
    Ok(due.is_some())
}

/// Takes the oldest mail that is due, so that no other replica sends it before `until`.
pub fn claim(
    conn: &mut DbConnection,
    now: NaiveDateTime,
    until: NaiveDateTime,
) -> QueryResult<Option<Waiting>> {
    sequence::take(conn, now)?;
    let due: Option<Waiting> = mails::table
        .filter(mails::next_try.le(now))
        .order(mails::next_try)
        .select(Waiting::as_select())
        .first(conn)
        .optional()?;
    if let Some(mail) = &due {
        diesel::update(mails::table.find(mail.seq))
            .set((
                mails::next_try.eq(until),
                mails::attempts.eq(mail.attempts + 1),
            ))
            .execute(conn)?;
    }
    Ok(due)
}

/// Has a mail tried again at that time.
pub fn postpone(conn: &mut DbConnection, seq: i64, until: NaiveDateTime) -> QueryResult<()> {
    diesel::update(mails::table.find(seq))
        .set(mails::next_try.eq(until))
        .execute(conn)?;
    Ok(())
}

/// Deletes a mail that was sent, or never can be.
pub fn delete(conn: &mut DbConnection, seq: i64) -> QueryResult<()> {
    diesel::delete(mails::table.find(seq)).execute(conn)?;
    Ok(())
}

/// Deletes mails that could not be sent since that time: what they say has ended. Returns how many.
pub fn clean(conn: &mut DbConnection, before: NaiveDateTime) -> QueryResult<usize> {
    let old: Vec<i64> = mails::table
        .filter(mails::created_at.lt(before))
        .limit(CLEANED_AT_ONCE)
        .select(mails::seq)
        .load(conn)?;
    diesel::delete(mails::table.filter(mails::seq.eq_any(old))).execute(conn)
}
