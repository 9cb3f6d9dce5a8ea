//! Questions to the JetStream API of a running broker from within the process: for monitoring, which is no client.
//!
//! A question takes the way of a client's request, with an inbox that no client can subscribe to before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use super::Shared;
use super::protocol::Message;
use super::router::Subscription;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The numbers of clients count from the other end.
const LAST_NUMBER: u64 = u64::MAX;

/// The way to the broker that serves, if one does.
#[derive(Default)]
pub(super) struct Inquiries {
    broker: Mutex<Weak<Shared>>,
    asked: AtomicU64,
}

impl std::fmt::Debug for Inquiries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inquiries")
    }
}

impl Inquiries {
    /// Asks this broker from now on.
    pub(super) fn connect(&self, broker: &Arc<Shared>) {
        *self.broker.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(broker);
    }

    /// Asks the JetStream API; `None` without an answer in time, or without JetStream.
    pub(super) async fn ask(&self, subject: &str, body: &Value) -> Option<Value> {
        let broker = self
            .broker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()?;
        let jetstream = broker.jetstream.as_ref()?;
        let number = LAST_NUMBER - self.asked.fetch_add(1, Ordering::Relaxed);
        let inbox: Box<str> = format!("$MONITOR.{:032x}", rand::random::<u128>()).into();
        let answers = broker.outputs.open(number, MAX_ANSWER);
        let subscription = Subscription::new(inbox.clone(), None, "1".into(), Arc::clone(&answers));
        let subscription = Arc::new(subscription);
        broker.router.subscribe(Arc::clone(&subscription));
        let message = Message {
            subject: format!("$JS.API.{subject}").into(),
            reply: Some(inbox),
            headers: Bytes::new(),
            payload: body.to_string().into(),
        };
        let answered = timeout(DEADLINE, async {
            jetstream.accept(message).await;
            answers.next().await
        });
        let answer = answered.await.ok().flatten();
        broker.router.unsubscribe(&subscription);
        answers.close();
        payload(&answer?)
    }
}

/// The JSON in `MSG <subject> <sid> <length>`, a line's end, and so many bytes.
fn payload(message: &[u8]) -> Option<Value> {
    let line = message.iter().position(|byte| *byte == b'\n')?;
    let payload = message.get(line + 1..)?;
    let mut values = serde_json::Deserializer::from_slice(payload).into_iter();
    values.next()?.ok()
}
