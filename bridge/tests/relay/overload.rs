//! More than a route can carry waits at the side that is read, and not in memory.

use futures::TryStreamExt;
use testkit::eventually;

use crate::{
    cases::{TO_KAFKA, provide},
    scene::Pair,
};

const MESSAGES: usize = 150;
const PAYLOAD: usize = 100_000;
/// The most that may be handed out: one and a half requests of 2 MiB, and a batch on its way, and one that is made.
const MOST: usize = 60;

/// Large messages are handed out by their bytes: of small ones all would be at once.
pub(crate) async fn messages_are_fetched_by_their_bytes(pair: Pair) {
    if !pair.kafka.is_mock() {
        return;
    }
    provide(&pair).await;
    pair.kafka.answer_late();
    let jetstream = pair.nats.jetstream().await;
    for _ in 0..MESSAGES {
        let sent = jetstream.publish(pair.name("subject"), vec![b'x'; PAYLOAD].into());
        sent.await.unwrap().await.unwrap();
    }
    let relay = pair.relay(&format!("{TO_KAFKA}max_in_flight_bytes = \"64KiB\"\n"));
    let stream = jetstream.get_stream(pair.name("stream")).await.unwrap();
    let mut most = 0;
    eventually("all messages are delivered", async || {
        let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
        let handed_out = consumers.iter().map(|info| info.num_ack_pending);
        most = handed_out.max().unwrap_or_default().max(most);
        relay.reports[0].status().delivered == MESSAGES as u64
    })
    .await;
    assert!((1..=MOST).contains(&most), "{most} were handed out at once");
    relay.stop().await;
}
