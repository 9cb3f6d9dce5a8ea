//! A stream to measure with, and publishers that fill it.

use std::{net::SocketAddr, thread, time::Instant};

use serde_json::{Value, json};

use super::wire::Client;

/// Messages of one publisher that are not acknowledged yet, at most.
pub(crate) const IN_FLIGHT: usize = 1000;

/// The stream `BENCH` of one server.
pub(crate) struct Stream {
    pub(crate) address: SocketAddr,
}

impl Stream {
    /// Makes it; `storage` is `file` or `memory`.
    pub(crate) fn create(address: SocketAddr, storage: &str) -> Self {
        let settings = json!({"name": "BENCH", "subjects": ["bench"], "storage": storage,
            "retention": "limits", "discard": "old", "num_replicas": 1, "max_msgs": -1, "max_bytes": -1,
            "max_age": 0, "duplicate_window": 120_000_000_000_u64});
        let stream = Stream { address };
        stream.ask("STREAM.CREATE.BENCH", &settings);
        stream
    }

    /// Asks the JetStream API something that must succeed.
    pub(crate) fn ask(&self, operation: &str, body: &Value) -> Value {
        let mut client = Client::open(self.address).unwrap();
        ask(&mut client, operation, body)
    }

    pub(crate) fn delete(self) {
        self.ask("STREAM.DELETE.BENCH", &json!({}));
    }

    /// Publishes from several connections and returns the messages that were acknowledged in a second. All are stored
    /// afterwards: the stream is asked.
    pub(crate) fn fill(&self, publishers: usize, count: usize, payload: usize, ids: bool) -> f64 {
        let before = stored(&self.ask("STREAM.INFO.BENCH", &json!({})));
        let begun = Instant::now();
        thread::scope(|scope| {
            for publisher in 0..publishers {
                let template = Template::new(publisher, payload, ids);
                scope.spawn(move || publish(self.address, template, count / publishers));
            }
        });
        let seconds = begun.elapsed().as_secs_f64();
        let after = stored(&self.ask("STREAM.INFO.BENCH", &json!({})));
        let published = count / publishers * publishers;
        assert_eq!(after - before, published as u64, "stored messages");
        published as f64 / seconds
    }
}

/// Asks the JetStream API something that must succeed.
pub(crate) fn ask(client: &mut Client, operation: &str, body: &Value) -> Value {
    let subject = format!("$JS.API.{operation}");
    let answer = client.ask(&subject, &body.to_string()).unwrap();
    assert!(answer.get("error").is_none(), "{operation}: {answer}");
    answer
}

/// How many messages a stream has by what it says of itself.
pub(crate) fn stored(info: &Value) -> u64 {
    info["state"]["messages"].as_u64().unwrap()
}

/// A publication, with the place of the digits of its message id.
struct Template {
    /// Where it is acknowledged.
    inbox: String,
    bytes: Vec<u8>,
    digits: Option<usize>,
}

const DIGITS: usize = 9;

impl Template {
    fn new(publisher: usize, payload: usize, ids: bool) -> Self {
        let (inbox, body) = (format!("_INBOX.{publisher}"), "x".repeat(payload));
        if !ids {
            let text = format!("PUB bench {inbox} {payload}\r\n{body}\r\n");
            return Template {
                inbox,
                bytes: text.into_bytes(),
                digits: None,
            };
        }
        let headers = format!(
            "NATS/1.0\r\nNats-Msg-Id: {publisher}-{:0DIGITS$}\r\n\r\n",
            0
        );
        let (length, total) = (headers.len(), headers.len() + payload);
        let start = format!("HPUB bench {inbox} {length} {total}\r\n{headers}");
        let digits = start.len() - "\r\n\r\n".len() - DIGITS;
        Template {
            inbox,
            bytes: (start + &body + "\r\n").into_bytes(),
            digits: Some(digits),
        }
    }

    fn write(&mut self, number: usize, out: &mut Vec<u8>) {
        if let Some(place) = self.digits {
            let mut rest = number;
            for digit in self.bytes[place..place + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        out.extend_from_slice(&self.bytes);
    }
}

/// Publishes and reads the acknowledgements; sends more when a quarter of what may be on its way is acknowledged.
fn publish(address: SocketAddr, mut template: Template, count: usize) {
    let mut client = Client::open(address).unwrap();
    client.subscribe(&template.inbox);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut batch = Vec::new();
    while acknowledged < count {
        let most = (acknowledged + IN_FLIGHT).min(count);
        if most == count || most - sent >= IN_FLIGHT / 4 {
            batch.clear();
            while sent < most {
                template.write(sent, &mut batch);
                sent += 1;
            }
            client.send(&batch).unwrap();
        }
        loop {
            let acknowledgement = client.receive().unwrap();
            let is_good = matches!(acknowledgement.body.get(..5), Some(b"{\"str" | b"{\"seq"))
                && !acknowledgement.body.ends_with(b"true}");
            let text = || String::from_utf8_lossy(acknowledgement.body);
            assert!(is_good, "{}", text());
            acknowledged += 1;
            if !client.has_message() {
                break;
            }
        }
    }
}
