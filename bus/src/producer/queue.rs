//! The bound of what waits for the producer: by events and by bytes. Beyond it publishers get an error.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{BusError, Event};

/// So much may wait to be published; publishers are told beyond that.
pub(super) const QUEUE_EVENTS: usize = 20_000;
const QUEUE_BYTES: usize = 64 << 20;

/// How much waits to be published.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<(usize, usize)>,
}

impl Queue {
    /// Takes a place for `events`.
    ///
    /// # Errors
    ///
    /// If there is no room, or never can be.
    pub(super) fn enter(self: &Arc<Self>, events: &[Event]) -> Result<QueuePlace, BusError> {
        let bytes = events.iter().map(Event::size).sum();
        if events.len() > QUEUE_EVENTS || bytes > QUEUE_BYTES {
            let reason =
                format!("a batch has {QUEUE_EVENTS} events and {QUEUE_BYTES} bytes at most");
            return Err(BusError::Refused(reason));
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = (waiting.0 + events.len(), waiting.1 + bytes);
        if full.0 > QUEUE_EVENTS || full.1 > QUEUE_BYTES {
            return Err(BusError::QueueFull);
        }
        *waiting = full;
        Ok(QueuePlace {
            queue: self.clone(),
            events: events.len(),
            bytes,
        })
    }
}

/// A place in the queue, given back when dropped.
#[derive(Debug)]
pub(super) struct QueuePlace {
    queue: Arc<Queue>,
    events: usize,
    bytes: usize,
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut waiting = self
            .queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.0 -= self.events;
        waiting.1 -= self.bytes;
    }
}
