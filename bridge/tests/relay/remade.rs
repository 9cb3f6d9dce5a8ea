//! A topic that is deleted and made again while the client that reads it is cut off, and so does not hear of it.

use testkit::{Proxy, eventually, server};

use crate::{
    cases::{KEYS, TO_NATS, assert_nats_has, provide, send_all},
    scene::Pair,
};

/// The new topic has as many records as the old one: none is behind the position of the client.
#[actix::test]
async fn a_topic_that_is_made_again_is_read_from_its_beginning() {
    let Some(pair) = Pair::of(true, false).await else {
        return;
    };
    let Some(relayed) = server("TEST_KAFKA_RELAYED") else {
        return;
    };
    let (kafka, address) = relayed.split_once(' ').unwrap();
    let proxy = Proxy::at(address, kafka.into()).await.unwrap();
    provide(&pair).await;
    let cluster = format!("[kafka.cut]\nbrokers = \"{address}\"\n");
    let relay = pair.relay(&(cluster + &TO_NATS.replace("kafka.k", "kafka.cut")));
    let half = 10 * KEYS;
    send_all(&pair, 0..half).await;
    assert_nats_has(&pair, half).await;
    eventually("all are acknowledged", async || {
        let (route, topic) = (pair.name("there"), pair.name("topic"));
        pair.kafka.committed(route, topic).await == half as i64
    })
    .await;
    proxy.down();
    pair.kafka.make_again(&pair.name("topic")).await;
    send_all(&pair, half..2 * half).await;
    proxy.up();
    assert_nats_has(&pair, 2 * half).await;
    relay.stop().await;
}
