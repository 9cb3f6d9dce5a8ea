//! Questions to the JetStream API of a running broker from within the process: for monitoring, which is no client.
//!
//! A question takes the way of a client's request, with an inbox that no client can subscribe to before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use super::control::BrokerControl;
use super::protocol::Message;
use super::router::Subscription;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

impl BrokerControl {
    /// Asks the JetStream API of the broker, as a client would: the subject is without `$JS.API.`. `None` if there is no answer
    /// in a few seconds, or no JetStream.
    pub async fn ask_jetstream(&self, subject: &str, body: &Value) -> Option<Value> {
        let broker = self.broker()?;
        let jetstream = broker.jetstream.as_ref()?;
        let number = u64::MAX - u64::from(rand::random::<u32>());
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
