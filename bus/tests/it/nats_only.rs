//! What is peculiar to NATS.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use bus::{BusError, Event, Verdict};
use futures::StreamExt;

use crate::{
    buses::Bus,
    scene::{Recorder, Scene, wait_until},
};

async fn jetstream(bus: &Bus) -> jetstream::Context {
    jetstream::new(async_nats::connect(bus.url.to_string()).await.unwrap())
}

async fn an_event_with_an_id_is_stored_once(bus: Bus) {
    let scene = Scene::new(&bus);
    let producer = scene.producer();
    let event = Event {
        headers: vec![("marquee-id".into(), "e1".into())],
        ..scene.event("k", "1")
    };
    for _ in 0..3 {
        producer.publish(vec![event.clone()]).await.unwrap();
    }
    let jetstream = jetstream(&bus).await;
    let stream = jetstream.stream_by_subject(&scene.topic).await.unwrap();
    let stream = jetstream.get_stream(stream).await.unwrap();
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
    scene.stop().await;
}

/// A crashed consumer's events are delivered again only after a while, later events at once.
async fn events_of_a_crashed_consumer_come_before_later_ones(bus: Bus) {
    let scene = Scene::new(&bus);
    let producer = scene.producer();
    let recorder = Recorder::new();
    let first = scene.beside();
    first.consumer(&recorder);
    producer.publish(scene.events(0, 1)).await.unwrap();
    recorder.wait_for_events(1).await;
    first.stop().await;

    producer.publish(scene.events(1, 3)).await.unwrap();
    let jetstream = jetstream(&bus).await;
    let stream = jetstream.stream_by_subject(&scene.topic).await.unwrap();
    let stream = jetstream.get_stream(stream).await.unwrap();
    let durable = format!("group.of-{}", scene.topic).replace('.', "-");
    let crashing: PullConsumer = stream.get_consumer(&durable).await.unwrap();
    // A fetch would not wait for events that are stored and that the consumer does not know of yet.
    let batch = crashing.batch().max_messages(7);
    let batch = batch.expires(Duration::from_secs(10));
    let taken = batch.messages().await.unwrap();
    assert_eq!(
        taken
            .filter(|m| std::future::ready(m.is_ok()))
            .count()
            .await,
        7
    );

    scene.consumer(&recorder);
    recorder.wait_for_events(3).await;
    scene.stop().await;
}

/// The program that made the stream may have given it another name.
async fn a_stream_of_another_name_is_used(bus: Bus) {
    let scene = Scene::new(&bus);
    let jetstream = jetstream(&bus).await;
    let name = format!("OTHER-{}", scene.topic.replace('.', "-"));
    let config = jetstream::stream::Config {
        name: name.clone(),
        subjects: vec![scene.topic.clone()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    scene.producer().publish(scene.events(0, 2)).await.unwrap();
    recorder.wait_for_events(2).await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, 10);
    scene.stop().await;
}

/// An operator deletes the stream: it is made again, and the work goes on.
async fn a_deleted_stream_is_made_again(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let producer = scene.producer();
    producer.publish(scene.events(0, 2)).await.unwrap();
    recorder.wait_for_events(2).await;

    let jetstream = jetstream(&bus).await;
    jetstream
        .delete_stream(scene.topic.replace('.', "-"))
        .await
        .unwrap();
    let publishing = producer.publish(scene.events(2, 4));
    tokio::time::timeout(Duration::from_secs(20), publishing)
        .await
        .unwrap()
        .unwrap();
    recorder.wait_for_events(4).await;
    wait_until("all is well", || !scene.is_degraded()).await;
    scene.stop().await;
}

/// Were they on their way together, the second would be stored though the first is refused.
async fn an_event_is_not_sent_before_its_predecessor_is_confirmed(bus: Bus) {
    let scene = Scene::new(&bus);
    let jetstream = jetstream(&bus).await;
    let config = jetstream::stream::Config {
        name: "SMALL".into(),
        subjects: vec![scene.topic.clone()],
        max_message_size: 300,
        ..Default::default()
    };
    jetstream.delete_stream("SMALL").await.ok();
    let stream = jetstream.create_stream(config).await.unwrap();
    let events = vec![
        scene.event("other", "1"),
        scene.event("k", &"2".repeat(400)),
        scene.event("k", "3"),
    ];
    let refused = scene.producer().publish(events).await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
    scene.stop().await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1);
}

/// With its further headers a dead letter can be larger than what its broker takes.
async fn a_dead_letter_that_does_not_fit_is_cut(bus: Bus) {
    let scene = Scene::new(&bus);
    let jetstream = jetstream(&bus).await;
    let config = jetstream::stream::Config {
        name: format!("NARROW-{}", scene.topic.replace('.', "-")),
        subjects: vec![format!("{}.dlq", scene.topic)],
        max_message_size: 600,
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let recorder = Recorder::judging(|event| match event.payload.len() {
        590 => Verdict::DeadLetter("it is bad".into()),
        _ => Verdict::Done,
    });
    scene.consumer(&recorder);
    let letters = Recorder::new();
    scene.dead_letters(&letters);
    let events = vec![scene.event("k", &"b".repeat(590)), scene.event("k", "2")];
    scene.producer().publish(events).await.unwrap();

    wait_until("the next event is done", || recorder.numbers_of("k") == [2]).await;
    wait_until("the dead letter is there", || !letters.done().is_empty()).await;
    let letter = letters.done().remove(0);
    assert_eq!(letter.header("marquee-truncated-from"), Some("590"));
    assert_eq!(letter.payload, vec![b'b'; 295]);
    scene.stop().await;
}

/// The embedded broker has limits of its own for a stream that sets none.
async fn a_stream_has_limits_that_an_operator_can_change(bus: Bus) {
    let hour = Duration::from_secs(3_600);
    let scene = Scene::new(&bus);
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    let jetstream = jetstream(&bus).await;
    let stream = jetstream.stream_by_subject(&scene.topic).await.unwrap();
    let limits = async || {
        let stream = jetstream.get_stream(&stream).await.unwrap();
        let config = &stream.cached_info().config;
        (config.max_age, config.max_bytes)
    };
    let default = if bus.is_embedded() {
        (Duration::ZERO, -1)
    } else {
        (hour * 24 * 7, -1)
    };
    assert_eq!(limits().await, default);
    scene.stop().await;

    let mut changed = scene.beside();
    changed.retention.event_max_age = Some(hour);
    changed.retention.event_max_bytes = Some(10_000_000);
    let producer = changed.producer();
    producer.publish(changed.events(1, 2)).await.unwrap();
    assert_eq!(limits().await, (hour, 10_000_000));
    changed.stop().await;

    // Limits that are there stay when nothing is set.
    let later = scene.beside();
    later.producer().publish(later.events(2, 3)).await.unwrap();
    assert_eq!(limits().await, (hour, 10_000_000));
    later.stop().await;
}

macro_rules! on_nats {
    ($($case:ident)*) => {
        mod embedded {
            $(#[actix::test] async fn $case() { super::$case(super::Bus::embedded().await).await; })*
        }
        mod real {
            $(#[actix::test] async fn $case() {
                if let Some(bus) = super::Bus::nats_real().await { super::$case(bus).await; }
            })*
        }
    };
}

on_nats! {
    an_event_with_an_id_is_stored_once
    events_of_a_crashed_consumer_come_before_later_ones
    a_stream_of_another_name_is_used
    a_deleted_stream_is_made_again
    an_event_is_not_sent_before_its_predecessor_is_confirmed
    a_dead_letter_that_does_not_fit_is_cut
    a_stream_has_limits_that_an_operator_can_change
}
