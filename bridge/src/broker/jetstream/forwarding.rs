//! What the broker itself publishes, for streams that take it: advisories, and messages that are published again.
//!
//! A stream must not wait for another, which may wait for it. So what is for streams goes through one bounded queue and
//! a task that waits in their place; what does not fit is for subscribers alone, as all that is published without an
//! acknowledgement may be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Streams;
use super::stream::Command;
use crate::broker::protocol::Message;
use crate::broker::router::Inlet;
use crate::broker::throttle::Throttle;

const MAX_MESSAGES: usize = 16_384;
const MAX_BYTES: usize = 64 << 20;

/// The way of the broker's own messages into streams.
#[derive(Debug)]
pub(super) struct Forwarding {
    streams: Weak<Streams>,
    queue: mpsc::Sender<Message>,
    waiting_bytes: Arc<AtomicUsize>,
    losses: Throttle,
}

/// What waits to be taken into streams.
#[derive(Debug)]
pub(super) struct Forwarded {
    streams: Weak<Streams>,
    queue: mpsc::Receiver<Message>,
    waiting_bytes: Arc<AtomicUsize>,
}

pub(super) fn forwarding(streams: &Arc<Streams>) -> (Forwarding, Forwarded) {
    let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
    let (streams, waiting_bytes) = (Arc::downgrade(streams), Arc::<AtomicUsize>::default());
    let forwarding = Forwarding {
        streams: Weak::clone(&streams),
        queue: sender,
        waiting_bytes: Arc::clone(&waiting_bytes),
        losses: Throttle::default(),
    };
    let forwarded = Forwarded {
        streams,
        queue: receiver,
        waiting_bytes,
    };
    (forwarding, forwarded)
}

impl Inlet for Forwarding {
    fn wants(&self, subject: &str) -> bool {
        let streams = self.streams.upgrade();
        streams.is_some_and(|streams| streams.has_subject(subject))
    }

    fn take(&self, message: Message) {
        let size = message.headers.len() + message.payload.len();
        if self.waiting_bytes.fetch_add(size, Ordering::Relaxed) + size > MAX_BYTES
            || self.queue.try_send(message).is_err()
        {
            self.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            if let Some(lost) = self.losses.is_due(Instant::now()) {
                tracing::warn!(
                    lost,
                    "a message of the broker itself did not reach the stream that takes it"
                );
            }
        }
    }
}

impl Forwarded {
    /// Hands messages to their streams until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) -> String {
        loop {
            let message = tokio::select! {
                message = self.queue.recv() => message,
                () = stop.cancelled() => None,
            };
            let Some(message) = message else {
                return "the way of the broker's own messages".to_owned();
            };
            let size = message.headers.len() + message.payload.len();
            let streams = self.streams.upgrade();
            if let Some(stream) = streams.and_then(|streams| streams.by_subject(&message.subject)) {
                tokio::select! {
                    _ = stream.commands.send(Command::Publish(message)) => {}
                    () = stop.cancelled() => {}
                }
            }
            self.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::retention::tests::Lines;
    use super::super::usage::Usage;
    use super::*;
    use crate::broker::Counters;

    #[test]
    fn the_log_has_one_line_for_many_messages_that_are_lost() {
        let streams = Arc::new(Streams::new(Arc::<Counters>::default(), Usage::default()));
        let (inlet, forwarded) = forwarding(&streams);
        drop(forwarded);
        let (lines, _guard) = Lines::of_this_thread();
        for _ in 0..100 {
            inlet.take(Message {
                subject: "a".into(),
                reply: None,
                headers: Bytes::new(),
                payload: Bytes::from_static(b"x"),
            });
        }
        assert_eq!(lines.take().matches("did not reach").count(), 1);
    }
}
