//! Requests that are answered by another client, one at a time.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{
    program,
    report::{Aim, Figures, in_turns},
    wire::Client,
};

const REQUESTS: usize = 20_000;
/// Not counted: until caches and processors have woken up.
const FIRST: usize = 1_000;
const BODY: &str = "0123456789abcdef";

pub(crate) fn run() {
    let mut servers = program::both("");
    let (mut p50, mut p99) = (Figures::default(), Figures::default());
    in_turns(&mut servers, |server, _| {
        let times = measure(server.address);
        let within = |share: f64| {
            let place = (times.len() as f64 * share).ceil() as usize - 1;
            times[place].as_secs_f64() * 1e6
        };
        p50.add(server.kind, within(0.5));
        p99.add(server.kind, within(0.99));
    });
    let show = |figure| format!("{figure:.1} µs");
    p50.row("request and reply, 16 B, p50", Aim::AtMost(0.9), show);
    p99.row("request and reply, 16 B, p99", Aim::AtMost(0.9), show);
}

/// How long each request took, the quickest first.
fn measure(address: SocketAddr) -> Vec<Duration> {
    let mut requester = Client::open(address).unwrap();
    let mut responder = Client::open(address).unwrap();
    requester.subscribe("_INBOX.bench.*");
    responder.subscribe("service");
    let mut times = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..FIRST + REQUESTS {
                let request = responder.receive().unwrap();
                let answer = publication(request.reply);
                responder.send(&answer).unwrap();
            }
        });
        let one = |number: usize| {
            let inbox = format!("_INBOX.bench.{number}");
            let request = format!("PUB service {inbox} {}\r\n{BODY}\r\n", BODY.len());
            let begun = Instant::now();
            requester.send(request.as_bytes()).unwrap();
            let answer = requester.receive().unwrap();
            let time = begun.elapsed();
            assert!(answer.subject == inbox.as_bytes() && answer.body == BODY.as_bytes());
            time
        };
        let mut times: Vec<_> = (0..FIRST + REQUESTS).map(one).collect();
        times.drain(..FIRST);
        times
    });
    times.sort_unstable();
    times
}

fn publication(subject: &[u8]) -> Vec<u8> {
    let mut bytes = b"PUB ".to_vec();
    bytes.extend_from_slice(subject);
    bytes.extend_from_slice(format!(" {}\r\n{BODY}\r\n", BODY.len()).as_bytes());
    bytes
}
