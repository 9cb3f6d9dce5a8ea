//! Tests of a consumer on its own: what is delivered, redelivered and given up, at moments that the test names.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::json as api_json;
use super::super::stream_config::ConsumerLimits;
use super::*;
use crate::broker::store::log::Position;

const WAIT: Duration = Duration::from_secs(30);

fn messages(subjects: &[&str]) -> Messages {
    let mut messages = Messages::default();
    for (seq, subject) in (1..).zip(subjects) {
        messages.insert(
            seq,
            subject,
            Position {
                segment: 1,
                offset: 0,
                len: 0,
            },
            0,
            1,
        );
    }
    messages
}

fn consumer(extra: Value, messages: &Messages, now: Instant) -> Consumer {
    let mut config = json!({"durable_name": "d", "ack_policy": "explicit"});
    config
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    let config: ConsumerConfig = api_json::parse(config.to_string().as_bytes()).unwrap();
    let config = config.checked(&ConsumerLimits::default()).unwrap();
    Consumer::restore(SavedConsumer::new(1, config, 0, 0), messages, now)
}

fn take(consumer: &mut Consumer, messages: &Messages, now: Instant) -> Vec<(u64, u32)> {
    let mut taken = Vec::new();
    while let Some(next) = consumer.next(messages) {
        consumer.handed_out(next, now);
        taken.push((next.seq, next.deliveries));
    }
    taken
}

#[test]
fn what_is_not_acknowledged_comes_again_in_order() {
    let (messages, now) = (messages(&["a.1", "a.2", "a.3"]), Instant::now());
    let mut consumer = consumer(json!({}), &messages, now);
    assert_eq!(
        take(&mut consumer, &messages, now),
        [(1, 1), (2, 1), (3, 1)]
    );
    consumer.acknowledge(2);
    consumer.expire(now + WAIT / 2);
    assert_eq!(take(&mut consumer, &messages, now), []);
    consumer.expire(now + WAIT);
    assert_eq!(take(&mut consumer, &messages, now + WAIT), [(1, 2), (3, 2)]);
    assert_eq!(
        consumer.delivered,
        Progress {
            consumer_seq: 5,
            stream_seq: 3
        }
    );
    assert_eq!(consumer.num_redelivered(), 2);
    consumer.acknowledge(1);
    consumer.acknowledge(3);
    assert_eq!(consumer.ack_floor, consumer.delivered);
    assert_eq!((consumer.next_due(), consumer.num_ack_pending()), (None, 0));
}

#[test]
fn the_floor_waits_for_the_oldest() {
    let (messages, now) = (messages(&["a.1", "a.2", "a.3"]), Instant::now());
    let mut consumer = consumer(json!({}), &messages, now);
    take(&mut consumer, &messages, now);
    consumer.acknowledge(3);
    assert_eq!(consumer.ack_floor.stream_seq, 0);
    consumer.acknowledge(1);
    assert_eq!(consumer.ack_floor.stream_seq, 1);
}

#[test]
fn rejected_messages_come_at_once_or_later() {
    let (messages, now) = (messages(&["a.1", "a.2"]), Instant::now());
    let mut consumer = consumer(json!({}), &messages, now);
    take(&mut consumer, &messages, now);
    consumer.reject(2, None);
    consumer.reject(1, Some(now + WAIT / 3));
    assert_eq!(take(&mut consumer, &messages, now), [(2, 2)]);
    consumer.expire(now + WAIT / 3);
    assert_eq!(take(&mut consumer, &messages, now), [(1, 2)]);
    consumer.extend(1, now + WAIT);
    consumer.expire(now + WAIT);
    assert_eq!(take(&mut consumer, &messages, now), [(2, 3)]);
}

#[test]
fn deliveries_are_limited() {
    let (messages, now) = (messages(&["a.1"]), Instant::now());
    let mut consumer = consumer(json!({"max_deliver": 2}), &messages, now);
    assert_eq!(take(&mut consumer, &messages, now), [(1, 1)]);
    consumer.reject(1, None);
    assert_eq!(take(&mut consumer, &messages, now), [(1, 2)]);
    consumer.reject(1, None);
    assert_eq!(take(&mut consumer, &messages, now), []);
    assert_eq!(
        (consumer.num_ack_pending(), consumer.ack_floor.stream_seq),
        (0, 0)
    );
    assert_eq!(consumer.done_until(), 1);
    assert!(consumer.needs(1, "a.1") && !consumer.awaits(1, "a.1"));
    assert_eq!(consumer.acknowledge(1), [1]);
    assert_eq!(consumer.ack_floor.stream_seq, 0);
    assert!(!consumer.needs(1, "a.1"));
}

/// The floors are what nats-server 2.15 says after the same steps, but for a message that was given up and whose acknowledgement
/// counts for all before it: there that moves the floor nowhere. The steps are: t, take so many; r, reject one and take it again;
/// g, give one up; a, acknowledge one. Behind each is the floor, in the consumer's own sequence and in the stream's.
#[test]
fn the_floor_moves_past_what_was_given_up_as_that_of_nats_server() {
    for (policy, steps) in [
        (
            "explicit",
            "t1 0/0 g1 0/0 t1 0/0 a2 2/2 t2 2/2 a4 2/2 a3 4/4 a1 4/4",
        ),
        (
            "explicit",
            "t3 0/0 g1 0/0 g2 0/0 g3 0/0 t2 0/0 a5 0/0 a4 5/5 a2 5/5",
        ),
        (
            "explicit",
            "t3 0/0 a1 1/1 g2 1/1 g3 1/1 a2 1/1 t1 1/1 a4 4/4",
        ),
        ("explicit", "t4 0/0 g2 0/0 a1 2/2 a3 3/3 a4 4/4"),
        ("explicit", "t3 0/0 r1 0/0 a2 0/0 a1 2/2 a3 4/3"),
        ("explicit", "t4 0/0 r2 0/0 a1 1/1 a3 1/1 a2 3/3 a4 5/4"),
        ("all", "t2 0/0 g1 0/0 g2 0/0 t3 0/0 a2 0/0 a4 4/4"),
        ("all", "t4 0/0 g4 0/0 t1 0/0 a4 3/3 a3 3/3 a5 5/5"),
        ("all", "t4 0/0 g3 0/0 g4 0/0 a2 2/2"),
        ("all", "t4 0/0 r2 0/0 r3 0/0 a3 6/3 t1 6/3"),
    ] {
        let (messages, now) = (messages(&["a.1"; 9]), Instant::now());
        let mut consumer = consumer(json!({"ack_policy": policy}), &messages, now);
        let words: Vec<&str> = steps.split(' ').collect();
        for step in words.chunks(2) {
            let (action, number) = step[0].split_at(1);
            let number: u64 = number.parse().unwrap();
            let taken = match action {
                "t" => number,
                "r" => {
                    consumer.reject(number, None);
                    1
                }
                "g" => {
                    consumer.exhaust(number);
                    0
                }
                _ => {
                    consumer.acknowledge(number);
                    0
                }
            };
            for _ in 0..taken {
                let next = consumer.next(&messages).unwrap();
                consumer.handed_out(next, now);
            }
            let floor = consumer.ack_floor;
            let floor = format!("{}/{}", floor.consumer_seq, floor.stream_seq);
            assert_eq!(floor, step[1], "{} of {steps} ({policy})", step[0]);
        }
    }
}

#[test]
fn very_many_messages_that_were_given_up_take_few_bytes_of_a_segment() {
    let now = Instant::now();
    let messages = messages(&["a.1"; 50_000]);
    let mut before = consumer(
        json!({"max_deliver": 1, "max_ack_pending": 50_000}),
        &messages,
        now,
    );
    take(&mut before, &messages, now);
    before.acknowledge(700);
    before.expire(now + WAIT);
    assert_eq!(before.take_exhausted().len(), 49_999);
    assert_eq!(
        (before.num_ack_pending(), before.ack_floor.stream_seq),
        (0, 0)
    );
    let saved = before.save();
    assert_eq!(saved.given_up, [(1, 699), (701, 50_000)]);
    let after = Consumer::restore(saved, &messages, now);
    assert_eq!(
        (after.given_up, after.pending),
        (before.given_up, before.pending)
    );
}

#[test]
fn unacknowledged_messages_are_limited() {
    let (messages, now) = (messages(&["a.1", "a.2", "a.3"]), Instant::now());
    let mut consumer = consumer(json!({"max_ack_pending": 2}), &messages, now);
    assert_eq!(take(&mut consumer, &messages, now), [(1, 1), (2, 1)]);
    assert_eq!(consumer.num_pending, 1);
    consumer.reject(1, None);
    assert_eq!(
        take(&mut consumer, &messages, now),
        [(1, 2)],
        "what is due again comes all the same"
    );
    consumer.acknowledge(1);
    assert_eq!(take(&mut consumer, &messages, now), [(3, 1)]);
}

#[test]
fn only_wanted_messages_are_handed_out_and_counted() {
    let (mut messages, now) = (messages(&["a.1", "a.2", "a.1", "a.2"]), Instant::now());
    let mut consumer = consumer(json!({"filter_subject": "a.2"}), &messages, now);
    assert_eq!(consumer.num_pending, 2);
    consumer.message_added(5, "a.2");
    consumer.message_added(6, "a.1");
    assert_eq!(consumer.num_pending, 3);
    messages.remove(2);
    consumer.message_removed(2, "a.2");
    consumer.message_removed(1, "a.1");
    assert_eq!(consumer.num_pending, 2);
    assert_eq!(take(&mut consumer, &messages, now), [(4, 1)]);
}

#[test]
fn acknowledging_all_settles_what_came_before() {
    let (messages, now) = (messages(&["a.1", "a.2", "a.3"]), Instant::now());
    let mut consumer = consumer(json!({"ack_policy": "all"}), &messages, now);
    take(&mut consumer, &messages, now);
    assert_eq!(consumer.acknowledge(2), [1, 2]);
    assert_eq!(
        (consumer.num_ack_pending(), consumer.ack_floor.stream_seq),
        (1, 2)
    );
}

#[test]
fn without_acknowledgements_nothing_waits() {
    let (messages, now) = (messages(&["a.1", "a.2"]), Instant::now());
    let mut consumer = consumer(json!({"ack_policy": "none"}), &messages, now);
    assert_eq!(take(&mut consumer, &messages, now), [(1, 1), (2, 1)]);
    assert_eq!(
        (consumer.num_ack_pending(), consumer.ack_floor),
        (0, consumer.delivered)
    );
}

#[test]
fn progress_is_restored_from_a_save_and_from_a_log() {
    let (messages, now) = (messages(&["a.1", "a.2", "a.3", "a.4"]), Instant::now());
    let mut before = consumer(json!({}), &messages, now);
    for _ in 0..3 {
        let next = before.next(&messages).unwrap();
        before.handed_out(next, now);
    }
    before.acknowledge(2);
    before.reject(1, None);
    let again = before.next(&messages).unwrap();
    before.handed_out(again, now);

    let mut replayed = consumer(json!({}), &messages, now);
    replayed.replay_delivered(3, 4, &messages, now);
    replayed.acknowledge(2);
    replayed.replay_attempts(1, 2, 4);
    for mut after in [Consumer::restore(before.save(), &messages, now), replayed] {
        assert_eq!(
            (after.delivered, after.ack_floor),
            (before.delivered, before.ack_floor)
        );
        assert_eq!(take(&mut after, &messages, now), [(4, 1)]);
        after.expire(now + WAIT);
        assert_eq!(
            take(&mut after, &messages, now + WAIT),
            [(1, 3), (3, 2), (4, 2)]
        );
    }
}

/// It would take minutes if each search began where the one before did.
#[test]
fn a_message_that_is_far_away_is_searched_for_once() {
    const SUBJECTS: u64 = 100_000;
    let mut messages = Messages::default();
    for seq in 1..=SUBJECTS {
        messages.insert(seq, &format!("s.{seq}"), Position::default(), 0, 1);
    }
    let now = Instant::now();
    let last = format!("*.{SUBJECTS}");
    let mut consumer = consumer(json!({"filter_subject": last}), &messages, now);
    assert_eq!(consumer.next(&messages), None, "the first step");
    let search = |consumer: &mut Consumer, messages: &Messages| {
        while consumer.is_searching(messages) && consumer.next(messages).is_none() {}
        consumer.next(messages).map(|next| next.seq)
    };
    assert_eq!(search(&mut consumer, &messages), Some(SUBJECTS));
    for _ in 0..20_000 {
        let next = consumer.next(&messages).unwrap();
        assert_eq!((next.seq, next.deliveries), (SUBJECTS, 1));
    }
    let config = ConsumerConfig {
        filter_subject: "*.5".into(),
        ..consumer.config.clone()
    };
    consumer.reconfigure(config, &messages);
    assert_eq!(take(&mut consumer, &messages, now), [(5, 1)]);
    assert!(!consumer.is_searching(&messages));

    // Of what comes later nothing is missed.
    messages.insert(SUBJECTS + 1, "s.5", Position::default(), 0, 1);
    consumer.message_added(SUBJECTS + 1, "s.5");
    assert_eq!(search(&mut consumer, &messages), Some(SUBJECTS + 1));
}
