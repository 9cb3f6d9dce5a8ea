//! The actor that learns from the event bus which films anybody is recommended.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{BusUrl, Consumer, Event, EventHandler, Subscription, Verdict, consume};
use proto::events::{RecommendationStatus, STATUS_GROUP, STATUS_TOPIC, VERSION_HEADER};
use runtime::Group;
use storage::{Database, DbConnection};

use crate::{
    changes::Changes,
    movies::writing::{self, Flag},
};

/// Starts the consumer; it reads from the earliest event that the catalogs have not acknowledged.
pub fn start(group: &Group, bus: &BusUrl, database: Database, changes: Changes) -> Consumer {
    let subscription = Subscription {
        topic: STATUS_TOPIC.into(),
        group: STATUS_GROUP.into(),
    };
    let handler = Arc::new(StatusHandler::new(database, changes));
    consume(group, "status-consumer", bus, subscription, handler)
}

/// Applies status events to the movies. An event that comes again, or after a newer one of its film,
/// changes nothing.
pub struct StatusHandler {
    database: Database,
    changes: Changes,
}

impl StatusHandler {
    /// Makes a handler that writes to the database.
    pub fn new(database: Database, changes: Changes) -> Self {
        Self { database, changes }
    }

    async fn apply(&self, mut flags: Vec<Flag>) -> Result<(), storage::Error> {
        // Catalogs that lock the movies in one order do not lock each other out; events of one film
        // keep theirs.
        flags.sort_by(|a, b| a.movie_id.cmp(&b.movie_id));
        let change = move |conn: &mut DbConnection| {
            let mut flags = flags.iter();
            flags.try_for_each(|flag| writing::apply_flag(conn, flag))
        };
        let outcome = self.database.write(change).await;
        self.changes.announce();
        outcome
    }

    /// Applies an event that may be why those it came with could not be applied.
    async fn apply_alone(&self, flag: Flag) -> Verdict {
        let film = flag.movie_id.clone();
        let error = match self.apply(vec![flag]).await {
            Ok(()) => return Verdict::Done,
            Err(error) => error,
        };
        let reason = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        // A database that takes no write at all, for its disk is full, says nothing of the event.
        let try_out = move |conn: &mut DbConnection| writing::try_out(conn, &film);
        if error.is_transient() || self.database.write(try_out).await.is_err() {
            Verdict::Retry(reason)
        } else {
            Verdict::DeadLetter(reason)
        }
    }
}

#[async_trait]
impl EventHandler for StatusHandler {
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let read: Vec<Result<Flag, String>> = events.iter().map(flag).collect();
        let flags: Vec<Flag> = read.iter().filter_map(|flag| flag.clone().ok()).collect();
        let written = self.apply(flags).await;
        let mut verdicts = Vec::with_capacity(read.len());
        let mut waiting = None;
        for flag in read {
            let verdict = match (flag, &written, &waiting) {
                (Err(reason), ..) => Verdict::DeadLetter(reason),
                (Ok(_), Ok(()), _) => Verdict::Done,
                (Ok(_), Err(error), _) if error.is_transient() => Verdict::Retry(error.to_string()),
                // The database fails: the rest would fare no better, and takes its time.
                (Ok(_), Err(_), Some(reason)) => Verdict::Retry(String::clone(reason)),
                (Ok(flag), Err(_), None) => self.apply_alone(flag).await,
            };
            if let Verdict::Retry(reason) = &verdict {
                waiting.get_or_insert_with(|| reason.clone());
            }
            verdicts.push(verdict);
        }
        verdicts
    }
}

/// Reads an event.
fn flag(event: &Event) -> Result<Flag, String> {
    let status = RecommendationStatus::from_payload(&event.payload)
        .map_err(|e| format!("the value is no recommendation status: {e}"))?;
    let version = event.header(VERSION_HEADER).map(str::parse).transpose();
    let version = version.map_err(|_| format!("the header {VERSION_HEADER} is no number"))?;
    Ok(Flag {
        movie_id: status.film_id,
        is_recommended: status.is_recommended,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &str, headers: &[(&str, &str)]) -> Event {
        Event {
            topic: STATUS_TOPIC.into(),
            key: "a".into(),
            payload: payload.into(),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn events_are_read_with_and_without_our_header() {
        let payload = r#"{"film_id": "a", "is_recommended": true}"#;
        let with = |version| {
            Ok(Flag {
                movie_id: "a".into(),
                is_recommended: true,
                version,
            })
        };
        assert_eq!(flag(&event(payload, &[])), with(None));
        assert_eq!(
            flag(&event(payload, &[("other", "x"), (VERSION_HEADER, "7")])),
            with(Some(7))
        );
        assert!(flag(&event(payload, &[(VERSION_HEADER, "x")])).is_err());
        assert!(flag(&event("{", &[])).is_err());
        assert!(flag(&event(r#"{"film_id": 1, "is_recommended": true}"#, &[])).is_err());
    }
}
