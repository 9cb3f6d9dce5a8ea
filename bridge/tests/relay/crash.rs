//! The relay as a program that is killed, and paused, while records cross.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use testkit::eventually;

use crate::{
    cases::{
        RECORDS, TO_KAFKA, TO_NATS, assert_kafka_has, assert_nats_has, assert_once_and_in_order,
        kafka_has, provide, publish_all, send_all,
    },
    scene::Pair,
};

/// How often the program is killed.
const KILLS: usize = 5;

/// Runs the program and kills it when something has arrived, again and again until `is_done`.
async fn kill_again_and_again(
    pair: &Pair,
    routes: &str,
    is_done: &AtomicBool,
    arrived: impl AsyncFn() -> u64,
) -> usize {
    let mut kills = 0;
    while !is_done.load(Ordering::Relaxed) || kills < KILLS {
        let program = pair.program(routes);
        let before = arrived().await;
        eventually(
            "something has arrived, or nothing more is sent",
            async || is_done.load(Ordering::Relaxed) || arrived().await > before,
        )
        .await;
        // Into the middle of what comes next, each time at another moment.
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..300))).await;
        drop(program);
        kills += 1;
    }
    kills
}

/// Sends in portions, as long as the program is killed meanwhile.
async fn in_portions(is_done: &AtomicBool, send: impl AsyncFn(std::ops::Range<usize>)) {
    let portions = 10;
    for portion in 0..portions {
        let part = RECORDS / portions;
        send(portion * part..(portion + 1) * part).await;
        // So that the program is killed between portions, too.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    is_done.store(true, Ordering::Relaxed);
}

pub(crate) async fn records_of_kafka_outlive_crashes_of_the_relay(pair: Pair) {
    provide(&pair).await;
    let is_done = AtomicBool::new(false);
    let stream = pair.name("stream");
    let arrived = async || pair.nats.count(&stream).await;
    let (kills, ()) = tokio::join!(
        kill_again_and_again(&pair, TO_NATS, &is_done, arrived),
        in_portions(&is_done, async |numbers| send_all(&pair, numbers).await),
    );
    assert!(kills >= KILLS);
    let _program = pair.program(TO_NATS);
    assert_nats_has(&pair, RECORDS).await;
}

pub(crate) async fn messages_of_nats_outlive_crashes_of_the_relay(pair: Pair) {
    provide(&pair).await;
    let is_done = AtomicBool::new(false);
    let topic = pair.name("topic");
    let arrived = async || pair.kafka.read(&topic).await.len() as u64;
    let (kills, ()) = tokio::join!(
        kill_again_and_again(&pair, TO_KAFKA, &is_done, arrived),
        in_portions(&is_done, async |numbers| publish_all(&pair, numbers).await),
    );
    assert!(kills >= KILLS);
    let _program = pair.program(TO_KAFKA);
    assert_kafka_has(&pair, RECORDS).await;
}

/// Another instance takes over; when the first one wakes up, it writes nothing of what it still has.
pub(crate) async fn an_instance_that_was_paused_repeats_nothing(pair: Pair) {
    provide(&pair).await;
    let paused = pair.program(TO_KAFKA);
    publish_all(&pair, 0..RECORDS / 3).await;
    // What librdkafka is sending at that moment it sends when it wakes up.
    assert_kafka_has(&pair, RECORDS / 3).await;
    paused.signal("STOP");
    // It is handed out some of these, too.
    publish_all(&pair, RECORDS / 3..2 * RECORDS / 3).await;
    let _program = pair.program(TO_KAFKA);
    assert_kafka_has(&pair, 2 * RECORDS / 3).await;
    paused.signal("CONT");
    publish_all(&pair, 2 * RECORDS / 3..RECORDS).await;
    assert_kafka_has(&pair, RECORDS).await;
    // What it had would arrive late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_kafka_has(&pair, RECORDS).await;
}

/// The same in the middle of its work: of what librdkafka was sending then nothing else is there twice.
pub(crate) async fn an_instance_that_was_paused_at_work_repeats_little(pair: Pair) {
    provide(&pair).await;
    let paused = pair.program(TO_KAFKA);
    publish_all(&pair, 0..RECORDS / 3).await;
    assert_kafka_has(&pair, RECORDS / 3).await;
    let at_work = RECORDS / 3..RECORDS / 2;
    publish_all(&pair, at_work.clone()).await;
    paused.signal("STOP");
    publish_all(&pair, RECORDS / 2..2 * RECORDS / 3).await;
    let _program = pair.program(TO_KAFKA);
    let numbers = async || {
        let all = kafka_has(&pair).await;
        all.iter()
            .map(|(_, number)| *number)
            .collect::<HashSet<_>>()
    };
    eventually("another one has taken over", async || {
        numbers().await.len() == 2 * RECORDS / 3
    })
    .await;
    paused.signal("CONT");
    publish_all(&pair, 2 * RECORDS / 3..RECORDS).await;
    eventually("all are there", async || numbers().await.len() == RECORDS).await;
    // What it had would arrive late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut known, mut first) = (HashSet::new(), Vec::new());
    for (key, number) in kafka_has(&pair).await {
        match known.insert(number) {
            true => first.push((key, number)),
            false => assert!(at_work.contains(&number), "{number} is there twice"),
        }
    }
    assert_once_and_in_order(first.into_iter(), &Vec::from_iter(0..RECORDS));
}
