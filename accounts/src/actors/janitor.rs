//! Deletes what has ended: sessions, codes, invitations, tokens, mails that could not be sent, old changes and audit entries.
//!
//! Each [`Wake`] is one round of short transactions. Nothing depends on it: what has ended does not count, whether it is there or not.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use chrono::{NaiveDateTime, TimeDelta};
use diesel::QueryResult;
use runtime::{ChildGuard, Wake};
use storage::{Database, DbConnection};

use crate::store::{
    audit, changes, codes, identities, invitations, mails, personal_tokens, sequence, sessions,
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(60);

/// How soon it goes on when there was very much to delete.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a list shows tokens and invitations that have ended.
const SHOWN_FOR: TimeDelta = TimeDelta::days(30);

/// How long changes are kept for clients that come back.
const CHANGES_FOR: TimeDelta = TimeDelta::days(1);

/// How long a mail is tried.
const MAILS_FOR: TimeDelta = TimeDelta::days(2);

/// How long the audit log reaches back.
const AUDIT_FOR: TimeDelta = TimeDelta::days(400);

/// Deletes what has ended.
pub struct Janitor {
    guard: ChildGuard,
    database: Database,
}

impl Janitor {
    /// A janitor for a database.
    pub fn new(guard: ChildGuard, database: Database) -> Self {
        Self { guard, database }
    }
}

impl Actor for Janitor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Wake);
    }
}

impl Handler<Wake> for Janitor {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Context<Self>) {
        self.guard.reporter().handled(1);
        let database = self.database.clone();
        let now = sequence::now();
        let work = async move { database.write(move |conn| clean(conn, now)).await };
        let work = work
            .into_actor(self)
            .map(|cleaned, janitor, context: &mut Context<Self>| {
                let delay = match &cleaned {
                    Ok(0) | Err(_) => INTERVAL,
                    Ok(_) => PAUSE,
                };
                match cleaned {
                    Ok(_) => janitor.guard.ready(),
                    Err(error) => {
                        error.report(&janitor.guard.reporter(), "cannot delete what has ended");
                    }
                }
                context.notify_later(Wake, delay);
            });
        context.spawn(work);
    }
}

/// Deletes some of what has ended by the time `now`; returns how many rows.
///
/// # Errors
///
/// If the database fails.
pub fn clean(conn: &mut DbConnection, now: NaiveDateTime) -> QueryResult<usize> {
    sequence::take(conn, now)?;
    Ok(sessions::clean(conn, now)?
        + codes::clean(conn, now)?
        + identities::clean(conn, now)?
        + personal_tokens::clean(conn, now - SHOWN_FOR)?
        + invitations::clean(conn, now - SHOWN_FOR)?
        + mails::clean(conn, now - MAILS_FOR)?
        + changes::clean(conn, now - CHANGES_FOR)?
        + audit::clean(conn, now - AUDIT_FOR)?)
}
