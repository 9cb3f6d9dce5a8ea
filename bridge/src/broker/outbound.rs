//! What waits to be written to one client: filled by whatever has something for it, emptied by its writer.
//!
//! A client that does not keep up is cut off: when more waits for it than one client may have, or, of
//! all clients the one with the most, when more waits for all of them than the broker has memory for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::BytesMut;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::protocol::{Delivery, write_error};
use super::stats::Counters;

/// Deliveries that can wait (pull consumers) wait while a client has this much unread.
const CONGESTED_BYTES: usize = 4 << 20;

/// How much may wait for all clients together.
#[derive(Debug)]
pub(super) struct OutputBudget {
    limit: usize,
    queued: AtomicUsize,
    stats: Arc<Counters>,
    clients: Mutex<HashMap<u64, Weak<Outbound>>>,
}

impl OutputBudget {
    pub(super) fn new(limit: usize, stats: Arc<Counters>) -> Self {
        OutputBudget {
            limit,
            queued: AtomicUsize::new(0),
            stats,
            clients: Mutex::default(),
        }
    }

    /// The queue of a new client, for which `limit` bytes may wait.
    pub(super) fn open(self: &Arc<Self>, client_id: u64, limit: usize) -> Arc<Outbound> {
        let outbound = Arc::new(Outbound {
            client_id,
            headers: AtomicBool::new(false),
            echo: AtomicBool::new(true),
            limit,
            budget: Arc::clone(self),
            waiting: Mutex::default(),
            filled: Notify::new(),
            room: Notify::new(),
            closed: Notify::new(),
            cut_off: CancellationToken::new(),
        });
        self.clients().insert(client_id, Arc::downgrade(&outbound));
        outbound
    }

    /// Cuts off the clients for which the most waits until the rest is within the budget.
    fn relieve(&self) {
        while self.queued.load(Ordering::Relaxed) > self.limit {
            let clients: Vec<_> = self.clients().values().filter_map(Weak::upgrade).collect();
            let biggest = clients.iter().max_by_key(|client| client.queued());
            if !biggest.is_some_and(|client| client.cut_off()) {
                return;
            }
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<u64, Weak<Outbound>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outbound queue of one connection.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) client_id: u64,
    /// Whether the client understands headers.
    pub(super) headers: AtomicBool,
    /// Whether the client wants its own messages back.
    pub(super) echo: AtomicBool,
    limit: usize,
    budget: Arc<OutputBudget>,
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// Told when the client has caught up again, or is gone.
    room: Notify,
    closed: Notify,
    cut_off: CancellationToken,
}

/// What became of something for a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Queued {
    /// The client is gone.
    Gone,
    Yes,
    /// It is queued, and so much is that whoever sends more should wait a little.
    Behind,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// Bytes that the writer has taken and not written yet.
    in_flight: usize,
    closed: bool,
    sent: Sent,
}

/// What a client was handed so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Outbound {
    /// A queue with a budget of its own.
    #[cfg(test)]
    pub(super) fn new(client_id: u64, limit: usize) -> Arc<Self> {
        Arc::new(OutputBudget::new(usize::MAX, Arc::default())).open(client_id, limit)
    }

    /// Queues a message.
    pub(super) fn deliver(&self, delivery: &Delivery<'_>, sid: &str) -> Queued {
        let with_headers = self.headers.load(Ordering::Relaxed);
        self.push(|waiting| {
            delivery.write(&mut waiting.bytes, sid, with_headers);
            waiting.sent.messages += 1;
            waiting.sent.bytes += delivery.content_len() as u64;
        })
    }

    /// Queues protocol text; false when the client is gone.
    pub(super) fn send(&self, text: &[u8]) -> bool {
        self.push(|waiting| waiting.bytes.extend_from_slice(text)) != Queued::Gone
    }

    /// Queues an error and ends the connection once it is written.
    pub(super) fn fail(&self, message: &str) {
        self.push(|waiting| write_error(&mut waiting.bytes, message));
        self.close();
    }

    /// Ends the connection; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.room.notify_waiters();
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

    /// Waits for bytes to write; `None` when all is written and the connection is to end. For one waiter: the writer, which
    /// then says that they are [`written`](Self::written).
    pub(super) async fn next(&self) -> Option<BytesMut> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.bytes.is_empty() {
                    let bytes = std::mem::take(&mut waiting.bytes);
                    waiting.in_flight = bytes.len();
                    return Some(bytes);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Takes note that so many of the bytes that were taken last are with the client, or given up.
    pub(super) fn written(&self, bytes: usize) {
        let mut waiting = self.lock();
        let written = bytes.min(waiting.in_flight);
        waiting.in_flight -= written;
        self.budget.queued.fetch_sub(written, Ordering::Relaxed);
        let is_behind = self.is_behind(&waiting);
        drop(waiting);
        if !is_behind {
            self.room.notify_waiters();
        }
    }

    /// Waits until the client has caught up, or is gone.
    pub(super) async fn caught_up(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let waiting = self.lock();
                if waiting.closed || !self.is_behind(&waiting) {
                    return;
                }
            }
            room.await;
        }
    }

    /// Whether three quarters of what may wait do: for this client, or for all of them.
    fn is_behind(&self, waiting: &Waiting) -> bool {
        let queued = waiting.bytes.len() + waiting.in_flight;
        let queued_for_all = self.budget.queued.load(Ordering::Relaxed);
        queued > self.limit / 4 * 3 || queued_for_all > self.budget.limit / 4 * 3
    }

    /// Waits until what was taken is no longer worth writing.
    pub(super) async fn is_cut_off(&self) {
        self.cut_off.cancelled().await;
    }

    fn push(&self, write: impl FnOnce(&mut Waiting)) -> Queued {
        let mut waiting = self.lock();
        if waiting.closed {
            return Queued::Gone;
        }
        let before = waiting.bytes.len();
        write(&mut waiting);
        let added = waiting.bytes.len() - before;
        let queued = self.budget.queued.fetch_add(added, Ordering::Relaxed) + added;
        if waiting.bytes.len() + waiting.in_flight > self.limit {
            self.give_up(&mut waiting);
        }
        let is_behind = self.is_behind(&waiting);
        drop(waiting);
        self.filled.notify_one();
        if queued > self.budget.limit {
            self.budget.relieve();
        }
        if is_behind {
            Queued::Behind
        } else {
            Queued::Yes
        }
    }

    /// Drops what waits for a client that does not read. It is not told: it would read the reason long after, and clients take an
    /// error for final where they come back from a connection that is closed.
    fn give_up(&self, waiting: &mut Waiting) {
        let dropped = waiting.bytes.len();
        waiting.bytes = BytesMut::new();
        waiting.closed = true;
        self.budget
            .stats
            .slow_consumers
            .fetch_add(1, Ordering::Relaxed);
        self.budget.queued.fetch_sub(dropped, Ordering::Relaxed);
        tracing::warn!(
            client_id = self.client_id,
            dropped_bytes = dropped,
            "closing a client that does not read its messages"
        );
        self.closed.notify_one();
        self.room.notify_waiters();
    }

    /// Drops also what is being written; false when there is nothing to drop.
    fn cut_off(&self) -> bool {
        let mut waiting = self.lock();
        let in_flight = std::mem::take(&mut waiting.in_flight);
        self.budget.queued.fetch_sub(in_flight, Ordering::Relaxed);
        if waiting.closed {
            return in_flight > 0;
        }
        self.give_up(&mut waiting);
        drop(waiting);
        if in_flight > 0 {
            self.cut_off.cancel();
        }
        self.filled.notify_one();
        true
    }

    pub(super) fn sent(&self) -> Sent {
        self.lock().sent
    }

    pub(super) fn queued(&self) -> usize {
        let waiting = self.lock();
        waiting.bytes.len() + waiting.in_flight
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.budget
            .queued
            .fetch_sub(self.queued(), Ordering::Relaxed);
        self.budget.clients().remove(&self.client_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let outbound = Outbound::new(1, 10);
        assert!(outbound.send(b"12345"));
        assert!(outbound.send(b"678901"));
        assert!(!outbound.send(b"more"));
        outbound.closed().await;
        assert!(outbound.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is() {
        let outbound = Outbound::new(1, 10);
        outbound.send(b"12345678");
        assert_eq!(outbound.next().await.unwrap(), "12345678");
        outbound.send(b"1234");
        assert!(!outbound.send(b"more"), "12 bytes wait");

        let outbound = Outbound::new(1, 10);
        outbound.send(b"12345678");
        outbound.next().await.unwrap();
        outbound.written(8);
        outbound.send(b"1234");
        assert_eq!(outbound.next().await.unwrap(), "1234");
    }

    #[tokio::test]
    async fn the_client_with_the_most_is_cut_off_when_all_have_too_much() {
        let budget = Arc::new(OutputBudget::new(100, Arc::default()));
        let [small, big, mid] = [1, 2, 3].map(|id| budget.open(id, 1000));
        assert!(small.send(&[b'x'; 20]) && big.send(&[b'x'; 50]));
        big.next().await.unwrap();
        assert!(mid.send(&[b'x'; 40]), "110 bytes are too many");
        big.is_cut_off().await;
        assert!(!big.send(b"more") && small.send(b"more") && mid.send(b"more"));
        assert!(big.next().await.is_none());
        big.written(50);
        drop((small, big, mid));
        assert_eq!(budget.queued.load(Ordering::Relaxed), 0);
        assert!(budget.clients().is_empty());
    }

    #[tokio::test]
    async fn who_sends_to_a_client_that_is_behind_learns_of_it_and_can_wait() {
        let outbound = Outbound::new(1, 100);
        let delivery = |payload| Delivery {
            subject: "a",
            reply: None,
            headers: &[],
            payload,
        };
        assert_eq!(outbound.deliver(&delivery(&[b'x'; 10]), "1"), Queued::Yes);
        assert_eq!(
            outbound.deliver(&delivery(&[b'x'; 50]), "1"),
            Queued::Behind
        );
        let taken = outbound.next().await.unwrap();
        let waiting = tokio::spawn({
            let outbound = Arc::clone(&outbound);
            async move { outbound.caught_up().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        outbound.written(taken.len() / 2);
        waiting.await.unwrap();
        outbound.written(taken.len());
        assert_eq!(outbound.deliver(&delivery(b"x"), "1"), Queued::Yes);
        outbound.close();
        assert_eq!(outbound.deliver(&delivery(b"x"), "1"), Queued::Gone);
        outbound.caught_up().await;
    }
}
