//! The actor that learns from the event bus which films anybody is recommended.

use std::sync::Arc;

use async_trait::async_trait;
use bridge::bus::{BusUrl, Consumer, Event, EventHandler, Subscription, Verdict, consume};
use proto::events::{RecommendationStatus, STATUS_GROUP, STATUS_TOPIC, VERSION_HEADER};
use runtime::Group;
use storage::Database;

use crate::movies::writing::{self, Flag};

/// Starts the consumer; it reads from the earliest event that the catalogs have not acknowledged.
pub fn start(group: &Group, bus: &BusUrl, database: Database) -> Consumer {
    let subscription = Subscription {
        topic: STATUS_TOPIC.into(),
        group: STATUS_GROUP.into(),
    };
    let handler = Arc::new(StatusHandler::new(database));
    consume(group, "status-consumer", bus, subscription, handler)
}

/// Applies status events to the movies. An event that comes again, or after a newer one of its film,
/// changes nothing.
pub struct StatusHandler {
    database: Database,
}

impl StatusHandler {
    /// Makes a handler that writes to the database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl EventHandler for StatusHandler {
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let read: Vec<Result<Flag, String>> = events.iter().map(flag).collect();
        let mut flags: Vec<Flag> = read.iter().filter_map(|flag| flag.clone().ok()).collect();
        // Catalogs that lock the movies in one order do not lock each other out; events of one film
        // keep theirs.
        flags.sort_by(|a, b| a.movie_id.cmp(&b.movie_id));
        let written = self
            .database
            .write(move |conn| {
                flags
                    .iter()
                    .try_for_each(|flag| writing::apply_flag(conn, flag))
            })
            .await;
        let verdict = |read: Result<Flag, String>| match (read, &written) {
            (Err(reason), _) => Verdict::DeadLetter(reason),
            (Ok(_), Ok(())) => Verdict::Done,
            (Ok(_), Err(error)) => Verdict::Retry(error.to_string()),
        };
        read.into_iter().map(verdict).collect()
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
