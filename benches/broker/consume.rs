//! Pulling what a stream has, and acknowledging each message.

use std::time::Instant;

use serde_json::json;

use super::{
    program::{self, PATIENCE},
    report::{Aim, Figures, in_turns, rate},
    stream::{Stream, ask},
    wire::Client,
};

const PAYLOAD: usize = 128;
const COUNT: usize = 200_000;
/// Messages asked for at once; another request is sent when so many have come.
const BATCH: usize = 500;
const REQUESTS: usize = 4;

pub(crate) fn run() {
    let mut servers = program::both("");
    let streams = servers.each_ref().map(|server| {
        let stream = Stream::create(server.address, "file");
        stream.fill(4, COUNT, PAYLOAD, false);
        stream
    });
    let mut rates = Figures::default();
    in_turns(&mut servers, |server, round| {
        let stream = &streams[server.kind as usize];
        rates.add(server.kind, measure(stream, round));
    });
    let what = format!("pull, explicit acknowledgements, {PAYLOAD} B, file");
    rates.row(&what, Aim::AtLeast(1.0), rate);
}

/// Messages a second until the consumer has nothing left that waits or is not acknowledged.
fn measure(stream: &Stream, round: usize) -> f64 {
    let name = format!("c{round}");
    let settings = json!({"stream_name": "BENCH", "action": "create", "config": {"durable_name": name,
        "name": name, "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": 10_000}});
    stream.ask(&format!("CONSUMER.CREATE.BENCH.{name}"), &settings);
    let mut client = Client::open(stream.address).unwrap();
    client.subscribe("_INBOX.pull");
    let body = format!("{{\"batch\":{BATCH},\"expires\":60000000000}}");
    let pull = format!(
        "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.{name} _INBOX.pull {}\r\n{body}\r\n",
        body.len()
    );
    let begun = Instant::now();
    client.send(pull.repeat(REQUESTS).as_bytes()).unwrap();
    let mut out = Vec::new();
    for number in 1..=COUNT {
        let message = client.receive().unwrap();
        // $JS.ACK.stream.consumer.attempts.sequence.…
        let sequence = message
            .reply
            .split(|byte| *byte == b'.')
            .nth(5)
            .unwrap_or_default();
        assert_eq!(
            sequence,
            number.to_string().as_bytes(),
            "messages come in order"
        );
        assert_eq!(message.body.len(), PAYLOAD);
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(message.reply);
        out.extend_from_slice(b" 4\r\n+ACK\r\n");
        if number % BATCH == 0 {
            out.extend_from_slice(pull.as_bytes());
        }
        if !client.has_message() || number == COUNT {
            client.send(&out).unwrap();
            out.clear();
        }
    }
    loop {
        let mut other = Client::open(stream.address).unwrap();
        let info = ask(
            &mut other,
            &format!("CONSUMER.INFO.BENCH.{name}"),
            &json!({}),
        );
        if info["num_ack_pending"] == 0 && info["num_pending"] == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "not all acknowledged: {info}");
    }
    let seconds = begun.elapsed().as_secs_f64();
    stream.ask(&format!("CONSUMER.DELETE.BENCH.{name}"), &json!({}));
    COUNT as f64 / seconds
}
