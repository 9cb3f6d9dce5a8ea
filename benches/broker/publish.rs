//! Publishing to a stream: many messages on their way at once, each acknowledged, each with an id of its own.

use super::{
    program,
    report::{Aim, Figures, in_turns, rate},
    stream::{IN_FLIGHT, Stream},
};

const PAYLOAD: usize = 128;
const COUNT: usize = 200_000;
/// Of those that nats-server syncs one by one.
const DURABLE: usize = 10_000;

pub(crate) fn run() {
    for (storage, what) in [
        ("memory", "memory"),
        // nats-server syncs every two minutes unless told otherwise; ours always syncs before it acknowledges.
        ("file", "file, theirs not synced"),
    ] {
        for publishers in [1, 4] {
            measure(what, storage, "", publishers, [COUNT; 2], 1.0);
        }
    }
    let always = "sync_interval: always";
    measure(
        "file, synced before the acknowledgement",
        "file",
        always,
        4,
        [COUNT, DURABLE],
        20.0,
    );
}

/// `counts` are the messages of ours and theirs.
fn measure(
    what: &str,
    storage: &str,
    jetstream: &str,
    publishers: usize,
    counts: [usize; 2],
    aim: f64,
) {
    let mut servers = program::both(jetstream);
    let mut rates = Figures::default();
    in_turns(&mut servers, |server, _| {
        let stream = Stream::create(server.address, storage);
        let count = counts[server.kind as usize];
        rates.add(server.kind, stream.fill(publishers, count, PAYLOAD, true));
        stream.delete();
    });
    let what = format!(
        "publish with ids, {PAYLOAD} B, {publishers} clients with {IN_FLIGHT} on their way, {what}"
    );
    rates.row(&what, Aim::AtLeast(aim), rate);
}
