//! What waits to be written to one client: filled by whoever has something for it, emptied by its writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::protocol::{Delivery, write_error};

/// Deliveries that can wait (pull consumers) wait while a client has this much unread.
const CONGESTED_BYTES: usize = 4 << 20;

/// The outbound queue of one connection, bounded: a client that does not keep up is cut off.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) client_id: u64,
    /// Whether the client understands headers.
    pub(super) headers: AtomicBool,
    /// Whether the client wants its own messages back.
    pub(super) echo: AtomicBool,
    limit: usize,
    waiting: Mutex<Waiting>,
    filled: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    closed: bool,
}

impl Outbound {
    pub(super) fn new(client_id: u64, limit: usize) -> Self {
        Outbound {
            client_id,
            headers: AtomicBool::new(false),
            echo: AtomicBool::new(true),
            limit,
            waiting: Mutex::default(),
            filled: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// Queues a message; false when the client is gone.
    pub(super) fn deliver(&self, delivery: &Delivery<'_>, sid: &str) -> bool {
        let with_headers = self.headers.load(Ordering::Relaxed);
        self.push(|bytes| delivery.write(bytes, sid, with_headers))
    }

    /// Queues protocol text; false when the client is gone.
    pub(super) fn send(&self, text: &[u8]) -> bool {
        self.push(|bytes| bytes.extend_from_slice(text))
    }

    /// Queues an error and ends the connection once it is written.
    pub(super) fn fail(&self, message: &str) {
        self.push(|bytes| write_error(bytes, message));
        self.close();
    }

    /// Ends the connection; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.closed.notify_one();
    }

    /// Whether messages that can wait should.
    pub(super) fn is_congested(&self) -> bool {
        self.lock().bytes.len() > CONGESTED_BYTES
    }

    /// Waits until the connection is to end. For one waiter: the connection's reader.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Waits for bytes to write; `None` when all is written and the connection is to end. For one waiter: the writer.
    pub(super) async fn next(&self) -> Option<BytesMut> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.bytes.is_empty() {
                    return Some(std::mem::take(&mut waiting.bytes));
                }
                if waiting.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    fn push(&self, write: impl FnOnce(&mut BytesMut)) -> bool {
        let mut waiting = self.lock();
        if waiting.closed {
            return false;
        }
        write(&mut waiting.bytes);
        if waiting.bytes.len() > self.limit {
            // Nothing of the queue could be read in time; the reason is all that is still worth sending.
            waiting.bytes.clear();
            write_error(&mut waiting.bytes, "Slow Consumer");
            waiting.closed = true;
            tracing::warn!(
                client_id = self.client_id,
                limit_bytes = self.limit,
                "closing a client that does not read its messages"
            );
            self.closed.notify_one();
        }
        drop(waiting);
        self.filled.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_told_and_cut_off() {
        let outbound = Outbound::new(1, 10);
        assert!(outbound.send(b"12345"));
        assert!(outbound.send(b"678901"));
        assert!(!outbound.send(b"more"));
        outbound.closed().await;
        assert_eq!(outbound.next().await.unwrap(), "-ERR 'Slow Consumer'\r\n");
        assert!(outbound.next().await.is_none());
    }
}
