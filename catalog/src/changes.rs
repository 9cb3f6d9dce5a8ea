//! The news that films have changed.
//!
//! Writers announce, watchers are woken. Nothing says what has changed: a watcher reads again what it
//! shows. Several changes may become one piece of news.

use std::sync::Arc;

use futures::Stream;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// Announces changes of films to all who watch. Clones announce to the same watchers.
#[derive(Debug, Clone)]
pub struct Changes(Arc<watch::Sender<()>>);

impl Default for Changes {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Changes {
    /// Wakes all who watch.
    pub fn announce(&self) {
        self.0.send_replace(());
    }

    /// Yields once at its beginning, and then after changes.
    pub fn watch(&self) -> impl Stream<Item = ()> + Send + 'static {
        WatchStream::new(self.0.subscribe())
    }
}
