//! Questions to the JetStream API of a running broker from within the process: for monitoring, which is no client.
//!
//! The answers do not pass the router, where a client with a wide subscription would read them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::control::BrokerControl;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

impl BrokerControl {
    /// Asks the JetStream API of the broker: the subject is without `$JS.API.`. A refusal is the member `error` of the answer, as
    /// clients see it. `None` if there is no answer in a few seconds, or no JetStream.
    pub async fn ask_jetstream(&self, subject: &str, body: &Value) -> Option<Value> {
        let broker = self.broker()?;
        let jetstream = broker.jetstream.as_ref()?;
        let answer = timeout(DEADLINE, jetstream.ask(subject, body)).await.ok()?;
        Some(answer.unwrap_or_else(|refusal| json!({ "error": refusal })))
    }
}
