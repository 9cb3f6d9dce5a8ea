//! The outbox of account events, for the courier of the bus. Every replica delivers: an event that is published twice has the same id, and
//! its consumers apply it twice without harm.

use async_trait::async_trait;
use bus::{Event, ID_HEADER, Outbox, OutboxError, WaitingEvent};
use proto::events::VERSION_HEADER;
use storage::Database;
use tokio::sync::OnceCell;

use crate::{
    store::{
        outbox::{self, Waiting},
        secrets,
    },
    tokens::secrets::hash,
};

/// How many characters of the hash an id has.
const ID_LEN: usize = 32;

/// The outbox of the accounts database.
pub struct AccountOutbox {
    database: Database,
    key: OnceCell<String>,
}

impl AccountOutbox {
    /// Returns the outbox of a database.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            key: OnceCell::new(),
        }
    }

    async fn key(&self) -> Result<&str, storage::Error> {
        let key = self.key.get_or_try_init(|| async {
            let random = format!(
                "{:032x}{:032x}",
                rand::random::<u128>(),
                rand::random::<u128>()
            );
            let read = move |conn: &mut _| secrets::get(conn, secrets::EVENT_IDS, &random);
            self.database.write(read).await
        });
        Ok(key.await?)
    }
}

#[async_trait]
impl Outbox for AccountOutbox {
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
    // The key and the number are of fixed length and the hash is cut: neither can be extended.
    let id: String = hash(&format!("{key}{:020}", row.seq))
        .chars()
        .take(ID_LEN)
        .collect();
    let mut headers = vec![
        (VERSION_HEADER.into(), row.seq.to_string()),
        (ID_HEADER.into(), id),
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

fn outbox_error(error: storage::Error) -> OutboxError {
    if error.is_told() {
        OutboxError::Unavailable(error.to_string())
    } else {
        OutboxError::Failed(runtime::telemetry::causes(&error))
    }
}
