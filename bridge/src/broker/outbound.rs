//! What waits to be written to one client: filled by whatever has something for it, emptied by its writer.
//!
//! A client that does not keep up is cut off: when more waits for it than one client may have, or, of
//! all clients the one with the most, when more waits for all of them than the broker has memory for.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::protocol::{Delivery, write_error};
use super::stats::Counters;

/// Deliveries that can wait (pull consumers) wait while a client has this much unread.
const CONGESTED_BYTES: usize = 4 << 20;
/// How much is written to a client by the task that has it, and for how long such a task writes; the rest is for the writers.
const WRITTEN_AT_ONCE: usize = 16 << 10;
const LONGEST_FLUSH: Duration = Duration::from_micros(500);
/// A queue is made of buffers of so many bytes. A message that is larger has one of its own.
const BUFFER_BYTES: usize = 64 << 10;
/// How many buffers are kept for the next queues.
const SPARE_BUFFERS: usize = 32;

/// How much may wait for all clients together.
#[derive(Debug)]
pub(super) struct OutputBudget {
    limit: usize,
    queued: AtomicUsize,
    stats: Arc<Counters>,
    clients: Mutex<HashMap<u64, Weak<Outbound>>>,
    /// Memory that the system would otherwise have to find again for each batch.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl OutputBudget {
    pub(super) fn new(limit: usize, stats: Arc<Counters>) -> Self {
        OutputBudget {
            limit,
            queued: AtomicUsize::new(0),
            stats,
            clients: Mutex::default(),
            spare: Mutex::default(),
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
            end_reason: OnceLock::new(),
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

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare();
        if spare.len() < SPARE_BUFFERS && buffer.capacity() <= 2 * BUFFER_BYTES {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// Queues that a task has filled while they were empty. Their clients are written to once the task has gathered what it has for
/// them, when it says so or when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Filled {
    queues: Vec<Arc<Outbound>>,
    /// What is not counted yet of the messages in them.
    handed_out: Sent,
    stats: Option<Arc<Counters>>,
}

impl Filled {
    /// Has messages that were queued count, at the latest with the next flush.
    pub(super) fn count(&mut self, stats: &Arc<Counters>, messages: u64, bytes: u64) {
        self.handed_out.messages += messages;
        self.handed_out.bytes += bytes;
        self.stats.get_or_insert_with(|| Arc::clone(stats));
    }

    /// Has written what was gathered.
    pub(super) fn flush(&mut self) {
        if let Some(stats) = &self.stats {
            let Sent { messages, bytes } = std::mem::take(&mut self.handed_out);
            stats.messages_out.fetch_add(messages, Ordering::Relaxed);
            stats.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        }
        if self.queues.is_empty() {
            return;
        }
        let begun = Instant::now();
        for outbound in self.queues.drain(..) {
            if begun.elapsed() > LONGEST_FLUSH || !outbound.write_now() {
                outbound.filled.notify_one();
            }
        }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.flush();
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
    /// Why the connection ends, in nats-server's words.
    end_reason: OnceLock<&'static str>,
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
    buffers: VecDeque<Vec<u8>>,
    /// The bytes in the buffers.
    bytes: usize,
    /// Bytes that were taken to be written and are not yet.
    in_flight: usize,
    /// Where they can be written without waiting; none when the connection is encrypted.
    socket: Option<Arc<OwnedWriteHalf>>,
    closed: bool,
    /// The error that the client is closed for.
    failure: Option<&'static str>,
    sent: Sent,
}

impl Waiting {
    /// Adds about `len` bytes and returns how many they were.
    fn add(
        &mut self,
        len: usize,
        budget: &OutputBudget,
        write: impl FnOnce(&mut Vec<u8>, &mut Sent),
    ) -> usize {
        let last = self.buffers.back_mut();
        if last.is_none_or(|last| last.len() + len > BUFFER_BYTES) {
            let buffer = budget.spare().pop().unwrap_or_default();
            self.buffers.push_back(buffer);
        }
        let Some(buffer) = self.buffers.back_mut() else {
            return 0;
        };
        let before = buffer.len();
        write(buffer, &mut self.sent);
        let added = buffer.len() - before;
        self.bytes += added;
        added
    }

    /// Takes what waits, to write it.
    fn take(&mut self) -> VecDeque<Vec<u8>> {
        self.in_flight = std::mem::take(&mut self.bytes);
        std::mem::take(&mut self.buffers)
    }
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

    /// Queues a message, which is written when `filled` is flushed.
    pub(super) fn deliver(
        self: &Arc<Self>,
        delivery: &Delivery<'_>,
        sid: &str,
        filled: &mut Filled,
    ) -> Queued {
        let with_headers = self.headers.load(Ordering::Relaxed);
        let len = delivery.wire_len() + sid.len();
        let (queued, was_empty) = self.push(len, |buffer, sent| {
            delivery.write(buffer, sid, with_headers);
            sent.messages += 1;
            sent.bytes += delivery.content_len() as u64;
        });
        if was_empty {
            filled.queues.push(Arc::clone(self));
        }
        queued
    }

    /// Queues protocol text; false when the client is gone.
    pub(super) fn send(&self, text: &[u8]) -> bool {
        let (queued, _) = self.push(text.len(), |buffer, _| buffer.extend_from_slice(text));
        self.filled.notify_one();
        queued != Queued::Gone
    }

    /// Queues an error and ends the connection once it is written.
    pub(super) fn fail(&self, message: &'static str) {
        let (queued, _) = self.push(message.len(), |buffer, _| write_error(buffer, message));
        if queued != Queued::Gone {
            self.lock().failure = Some(message);
        }
        self.close();
    }

    /// The error that ends the connection, if one does.
    pub(super) fn failure(&self) -> Option<&'static str> {
        self.lock().failure
    }

    /// Says where the client can be written to without waiting.
    pub(super) fn attach(&self, socket: Option<Arc<OwnedWriteHalf>>) {
        self.lock().socket = socket;
    }

    /// Ends the connection; what is queued is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.room.notify_waiters();
        self.closed.notify_one();
    }

    /// Says why the connection ends. The first reason counts.
    pub(super) fn ends_for(&self, reason: &'static str) {
        let _ = self.end_reason.set(reason);
    }

    /// Why the connection ends; `None` as long as it does not.
    pub(super) fn end_reason(&self) -> Option<&'static str> {
        self.end_reason.get().copied()
    }

    /// Whether messages that can wait should.
    pub(super) fn is_congested(&self) -> bool {
        self.lock().bytes > CONGESTED_BYTES
    }

    /// Whether the connection ends, so that nothing more reaches the client.
    pub(super) fn is_gone(&self) -> bool {
        self.lock().closed
    }

    /// Waits until the connection is to end. For one waiter: the connection's reader.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// Waits for bytes to write; `None` when all is written and the connection is to end. For one waiter: the writer, which
    /// then says that they are [`written`](Self::written).
    pub(super) async fn next(&self) -> Option<VecDeque<Vec<u8>>> {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.in_flight == 0 {
                    if waiting.bytes > 0 {
                        return Some(waiting.take());
                    }
                    if waiting.closed {
                        return None;
                    }
                }
            }
            self.filled.notified().await;
        }
    }

    /// Takes note that so many of the bytes that were taken last are with the client, or given up.
    pub(super) fn written(&self, bytes: usize) {
        let waiting = self.lock();
        self.note_written(waiting, bytes);
    }

    fn note_written(&self, mut waiting: MutexGuard<'_, Waiting>, bytes: usize) {
        let written = bytes.min(waiting.in_flight);
        waiting.in_flight -= written;
        self.budget.queued.fetch_sub(written, Ordering::Relaxed);
        let is_behind = self.is_behind(&waiting);
        drop(waiting);
        if !is_behind {
            self.room.notify_waiters();
        }
    }

    /// Takes back the memory of what was written.
    pub(super) fn keep(&self, buffer: Vec<u8>) {
        self.budget.keep(buffer);
    }

    /// Writes what waits, as far as the client takes it at once; false when the writer has to do it.
    fn write_now(&self) -> bool {
        let mut waiting = self.lock();
        if waiting.in_flight > 0 {
            // Whoever writes looks for more afterwards.
            return true;
        }
        let Some(socket) = waiting.socket.clone() else {
            return false;
        };
        if waiting.bytes == 0 || waiting.bytes > WRITTEN_AT_ONCE {
            return false;
        }
        #[cfg(test)]
        if let Some(last) = waiting.buffers.back()
            && last.ends_with(b"$PANIC\r\n")
        {
            // It is the writer that is to panic.
            return false;
        }
        let mut buffers = waiting.take();
        drop(waiting);
        let mut written = 0;
        while let Some(buffer) = buffers.front_mut() {
            // What is wrong with the socket is the writer's to find out.
            let count = socket.try_write(buffer).unwrap_or(0);
            written += count;
            if count < buffer.len() {
                buffer.drain(..count);
                break;
            }
            self.budget.keep(buffers.pop_front().unwrap_or_default());
        }
        let mut waiting = self.lock();
        // Nothing is left to be written when the client was cut off meanwhile.
        let left = waiting.in_flight.saturating_sub(written);
        if left > 0 {
            waiting.in_flight = written;
            waiting.bytes += left;
            while let Some(buffer) = buffers.pop_back() {
                waiting.buffers.push_front(buffer);
            }
        }
        let is_done = waiting.bytes == 0 && !waiting.closed;
        self.note_written(waiting, written);
        is_done
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
        let queued = waiting.bytes + waiting.in_flight;
        let queued_for_all = self.budget.queued.load(Ordering::Relaxed);
        queued > self.limit / 4 * 3 || queued_for_all > self.budget.limit / 4 * 3
    }

    /// Waits until what was taken is no longer worth writing.
    pub(super) async fn is_cut_off(&self) {
        self.cut_off.cancelled().await;
    }

    /// Adds about `len` bytes to the queue. Says also whether it was empty: then somebody has to see to it that it is written.
    fn push(&self, len: usize, write: impl FnOnce(&mut Vec<u8>, &mut Sent)) -> (Queued, bool) {
        let mut waiting = self.lock();
        if waiting.closed {
            return (Queued::Gone, false);
        }
        let was_empty = waiting.bytes == 0;
        let added = waiting.add(len, &self.budget, write);
        let queued = self.budget.queued.fetch_add(added, Ordering::Relaxed) + added;
        if waiting.bytes + waiting.in_flight > self.limit {
            self.give_up(&mut waiting);
        }
        let is_behind = self.is_behind(&waiting);
        drop(waiting);
        if queued > self.budget.limit {
            self.budget.relieve();
        }
        let outcome = if is_behind {
            Queued::Behind
        } else {
            Queued::Yes
        };
        (outcome, was_empty)
    }

    /// Drops what waits for a client that does not read. It is not told: it would read the reason long after, and clients take an
    /// error for final where they come back from a connection that is closed.
    fn give_up(&self, waiting: &mut Waiting) {
        let dropped = std::mem::take(&mut waiting.bytes);
        waiting.buffers = VecDeque::new();
        waiting.closed = true;
        self.budget.queued.fetch_sub(dropped, Ordering::Relaxed);
        self.is_slow(dropped, "Slow Consumer (Pending Bytes)");
        self.filled.notify_one();
        self.closed.notify_one();
        self.room.notify_waiters();
    }

    /// Takes note that the client does not take what is for it in time, and is closed, unless it is for another reason already.
    pub(super) fn is_slow(&self, dropped_bytes: usize, reason: &'static str) {
        if self.end_reason.set(reason).is_err() {
            return;
        }
        let stats = &self.budget.stats;
        stats.slow_consumers.fetch_add(1, Ordering::Relaxed);
        let client = stats.clients.get(self.client_id);
        let said = client.as_ref().map(|client| client.introduced());
        let said = said.unwrap_or_default();
        tracing::warn!(
            client_id = self.client_id,
            peer = client.as_ref().map(|client| client.address.to_string()),
            user = said.user,
            account = said.account.as_deref(),
            name = said.name,
            dropped_bytes,
            "closing a client that does not read its messages"
        );
    }

    /// Drops what waits and what is being written, also of a client that is closed already; false when that is nothing.
    fn cut_off(&self) -> bool {
        let mut waiting = self.lock();
        let in_flight = std::mem::take(&mut waiting.in_flight);
        let dropped = in_flight + waiting.bytes;
        self.budget.queued.fetch_sub(in_flight, Ordering::Relaxed);
        if waiting.closed {
            let unread = std::mem::take(&mut waiting.bytes);
            waiting.buffers.clear();
            self.budget.queued.fetch_sub(unread, Ordering::Relaxed);
        } else {
            self.give_up(&mut waiting);
        }
        drop(waiting);
        if in_flight > 0 {
            self.cut_off.cancel();
        }
        dropped > 0
    }

    pub(super) fn sent(&self) -> Sent {
        self.lock().sent
    }

    pub(super) fn queued(&self) -> usize {
        let waiting = self.lock();
        waiting.bytes + waiting.in_flight
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
mod tests;
