//! The clients that watch whose credentials change.

use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use proto::{UserId, accounts::CredentialsChanged};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// How many changes may wait for a client; one that is slower has to ask for everything anew.
const WAITING: usize = 256;

/// How many clients may watch at once.
const MAX_WATCHERS: usize = 1_024;

/// Tells clients whose credentials are not what they were. Clones tell the same clients.
#[derive(Debug, Clone)]
pub struct Watchers(broadcast::Sender<Arc<[UserId]>>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::channel(WAITING).0)
    }
}

impl Watchers {
    /// Tells that the credentials of these users are not what they were. Of none: of all.
    pub fn tell(&self, users: Vec<UserId>) {
        // An error says that nobody watches.
        let _ = self.0.send(users.into());
    }

    /// Begins to watch, unless too many do: yields once for all users, and then after changes.
    pub fn watch(&self) -> Option<impl Stream<Item = CredentialsChanged> + Send + use<>> {
        if self.0.receiver_count() >= MAX_WATCHERS {
            return None;
        }
        let changes = BroadcastStream::new(self.0.subscribe());
        // One that was too slow has to ask for all.
        let changes = changes.map(|users| changed(&users.unwrap_or_default()));
        Some(stream::iter([changed(&[])]).chain(changes))
    }
}

fn changed(users: &[UserId]) -> CredentialsChanged {
    CredentialsChanged {
        user_ids: users.iter().map(|user| user.0).collect(),
        all: users.is_empty(),
    }
}
