//! Applies what status events say of films to the database: together where that works, one by one
//! where an event among them cannot be applied.

use storage::{Database, DbConnection};

use crate::films::writing::{self, Flag};

/// How an event was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The film's flag is what the event says, or a newer one.
    Done,
    /// It cannot be applied now.
    Later(String),
    /// The database will never take it.
    Never(String),
}

/// Applies events in their order and answers for each. After one that has to wait, so do the rest.
pub(crate) async fn apply(database: &Database, flags: Vec<Flag>) -> Vec<Applied> {
    let together = apply_together(database, flags.clone()).await;
    let mut outcomes = Vec::with_capacity(flags.len());
    let mut waiting: Option<String> = None;
    for flag in flags {
        let outcome = match (&together, &waiting) {
            (Ok(()), _) => Applied::Done,
            (Err(error), _) if error.is_transient() => Applied::Later(error.to_string()),
            // The database fails: the rest would not fare better, and would take its time.
            (Err(_), Some(reason)) => Applied::Later(reason.clone()),
            (Err(_), None) => apply_alone(database, flag).await,
        };
        if let Applied::Later(reason) = &outcome {
            waiting.get_or_insert_with(|| reason.clone());
        }
        outcomes.push(outcome);
    }
    outcomes
}

async fn apply_together(database: &Database, mut flags: Vec<Flag>) -> Result<(), storage::Error> {
    // Catalogs that lock the films in one order do not deadlock; events of one film keep their order.
    flags.sort_by(|a, b| a.film_id.cmp(&b.film_id));
    let change = move |conn: &mut DbConnection| {
        let mut flags = flags.iter();
        flags.try_for_each(|flag| writing::apply_flag(conn, flag))
    };
    database.write(change).await
}

/// Applies an event that may be the reason why a group could not be applied.
async fn apply_alone(database: &Database, flag: Flag) -> Applied {
    let film = flag.film_id.clone();
    let error = match apply_together(database, vec![flag]).await {
        Ok(()) => return Applied::Done,
        Err(error) => error,
    };
    let reason = match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    // A database that takes no write at all, because its disk is full, says nothing of the event.
    let try_out = move |conn: &mut DbConnection| writing::try_out(conn, &film);
    if error.is_transient() || database.write(try_out).await.is_err() {
        Applied::Later(reason)
    } else {
        Applied::Never(reason)
    }
}
