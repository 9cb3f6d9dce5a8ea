//! The outbox of status events, for the courier of the bus. The replica that holds the lease delivers.
//!
//! The id of an event is a keyed hash of its number: the same over every delivery, and not to be guessed
//! by a program that would take it beforehand, so that the broker drops the event as a duplicate.

use std::fmt::Write;

use async_trait::async_trait;
use bus::{Event, ID_HEADER, Outbox, OutboxError, WaitingEvent};
use proto::events::VERSION_HEADER;
use sha2::{Digest, Sha256};
use storage::Database;
use tokio::sync::OnceCell;

use crate::{
    lease::Held,
    store::{
        outbox::{self, Waiting},
        secrets,
    },
};

/// How many bytes of the hash an id has.
const ID_BYTES: usize = 16;

/// The outbox of the recommendations database.
pub(crate) struct StatusOutbox {
    database: Database,
    held: Held,
    key: OnceCell<String>,
}

impl StatusOutbox {
    /// Returns the outbox of `database`.
    pub(crate) fn new(database: Database, held: Held) -> Self {
        Self {
            database,
            held,
            key: OnceCell::new(),
        }
    }

    async fn key(&self) -> Result<&str, storage::Error> {
        let key = self.key.get_or_try_init(|| async {
            let random = hex(rand::random::<[u8; 32]>());
            let read = move |conn: &mut _| secrets::event_ids(conn, &random);
            self.database.write(read).await
        });
        Ok(key.await?)
    }
}

#[async_trait]
impl Outbox for StatusOutbox {
    fn is_ours(&self) -> bool {
        self.held.is_held()
    }

    async fn oldest(&self, limit: usize) -> Result<Vec<WaitingEvent>, OutboxError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |conn: &mut _| outbox::oldest(conn, limit);
        let waiting = self.database.read(read).await.map_err(outbox_error)?;
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key().await.map_err(outbox_error)?;
        Ok(waiting.into_iter().map(|row| event(row, key)).collect())
    }

    async fn delete_through(&self, seq: i64) -> Result<(), OutboxError> {
        let delete = move |conn: &mut _| outbox::delete_through(conn, seq);
        let deleted = self.database.write(delete).await;
        deleted.map(drop).map_err(outbox_error)
    }
}

fn event(row: Waiting, key: &str) -> WaitingEvent {
    let mut headers = vec![
        (VERSION_HEADER.into(), row.seq.to_string()),
        (ID_HEADER.into(), id(key, row.seq)),
    ];
    headers.extend(row.origin().headers());
    WaitingEvent {
        seq: row.seq,
        event: Event {
            topic: row.topic,
            key: row.key,
            payload: row.payload.into_bytes(),
            headers,
        },
    }
}

/// The number is of fixed length and the hash is cut: neither can be extended.
fn id(key: &str, seq: i64) -> String {
    let hash = Sha256::new()
        .chain_update(key.as_bytes())
        .chain_update(seq.to_be_bytes())
        .finalize();
    hex(hash.into_iter().take(ID_BYTES))
}

fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn outbox_error(error: storage::Error) -> OutboxError {
    if error.is_told() {
        OutboxError::Unavailable(error.to_string())
    } else {
        OutboxError::Failed(runtime::telemetry::causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_for_the_same_event_and_tells_nothing_without_the_key() {
        let first = id("key", 1_700_000_000_000_001);
        assert_eq!(first, id("key", 1_700_000_000_000_001));
        assert_eq!(first.len(), 2 * ID_BYTES);
        assert_ne!(first, id("key", 1_700_000_000_000_002));
        for other in ["another key", "keys", "ke"] {
            assert_ne!(first, id(other, 1_700_000_000_000_001), "{other}");
        }
        assert!(!first.contains("1700000000000001"));
    }
}
