//! What holds over every bus: one function a case, called for each bus in `main.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bus::{BusError, BusUrl, Event, MAX_EVENT_BYTES, Verdict};

use crate::{
    buses::Bus,
    scene::{Recorder, Scene, wait_until},
};

pub(crate) async fn events_arrive_as_they_were_published(bus: Bus) {
    let scene = Scene::new(&bus);
    let event = Event {
        payload: vec![0, 13, 10, 255],
        headers: vec![
            ("marquee-version".into(), "7".into()),
            ("traceparent".into(), "00-ab: ü".into()),
        ],
        ..scene.event("ключ: 1", "")
    };
    let bare = scene.event("", "");
    scene
        .producer()
        .publish(vec![event.clone(), bare.clone()])
        .await
        .unwrap();

    let recorder = Recorder::new();
    scene.consumer(&recorder);
    wait_until("both are there", || recorder.done().len() >= 2).await;
    for sent in [event, bare] {
        assert!(
            recorder.done().contains(&sent),
            "{sent:?} is not in {:?}",
            recorder.done()
        );
    }
    scene.stop().await;
}

pub(crate) async fn events_of_a_key_keep_their_order(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let producer = scene.producer();
    for from in (0..100).step_by(20) {
        producer
            .publish(scene.events(from, from + 20))
            .await
            .unwrap();
    }
    recorder.wait_for_events(100).await;
    scene.stop().await;
}

pub(crate) async fn a_published_batch_outlives_its_producer(bus: Bus) {
    let scene = Scene::new(&bus);
    scene
        .producer()
        .publish(scene.events(0, 100))
        .await
        .unwrap();
    scene.stop().await;

    let later = scene.beside();
    let recorder = Recorder::new();
    later.consumer(&recorder);
    recorder.wait_for_events(100).await;
    later.stop().await;
}

pub(crate) async fn a_published_batch_outlives_a_crash(bus: Bus) {
    if !bus.can_be_unavailable() {
        return;
    }
    let scene = Scene::new(&bus);
    let producer = scene.producer();
    producer.publish(scene.events(0, 1)).await.unwrap();
    producer.publish(scene.events(1, 100)).await.unwrap();
    bus.become_unavailable().await;
    // What the producer had not sent yet is gone with it.
    scene.stop().await;
    bus.come_back().await;

    let later = scene.beside();
    let recorder = Recorder::new();
    later.consumer(&recorder);
    recorder.wait_for_events(100).await;
    later.stop().await;
}

pub(crate) async fn a_dead_letter_has_its_reason_and_the_next_event_is_processed(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::judging(|event| match event.payload.as_slice() {
        b"bad" => Verdict::DeadLetter("it is bad:\nvery".into()),
        _ => Verdict::Done,
    });
    scene.consumer(&recorder);
    let letters = Recorder::new();
    scene.dead_letters(&letters);
    let bad = Event {
        headers: vec![("marquee-version".into(), "3".into())],
        ..scene.event("k", "bad")
    };
    let events = vec![scene.event("k", "1"), bad, scene.event("k", "2")];
    scene.producer().publish(events).await.unwrap();

    wait_until("the good ones are done", || {
        recorder.numbers_of("k") == [1, 2]
    })
    .await;
    wait_until("the dead letter is there", || !letters.done().is_empty()).await;
    let letter = letters.done().remove(0);
    assert_eq!(
        (letter.key.as_str(), letter.payload.as_slice()),
        ("k", b"bad".as_slice())
    );
    assert_eq!(letter.header("marquee-reason"), Some("it is bad: very"));
    assert_eq!(
        letter.header("marquee-origin-topic"),
        Some(scene.topic.as_str())
    );
    assert_eq!(letter.header("marquee-version"), Some("3"));
    for header in ["marquee-origin-partition", "marquee-origin-offset"] {
        let number = letter.header(header).and_then(|h| h.parse::<u64>().ok());
        assert!(number.is_some(), "{header}");
    }
    scene.stop().await;
}

pub(crate) async fn an_event_at_which_the_handler_panics_becomes_a_dead_letter(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::judging(|event| match event.payload.as_slice() {
        b"bad" => panic!("the handler was not prepared for this"),
        _ => Verdict::Done,
    });
    scene.consumer(&recorder);
    let letters = Recorder::new();
    scene.dead_letters(&letters);
    let events = vec![
        scene.event("k", "1"),
        scene.event("k", "bad"),
        scene.event("k", "2"),
    ];
    scene.producer().publish(events).await.unwrap();

    wait_until("the good ones are done", || {
        recorder.numbers_of("k") == [1, 2]
    })
    .await;
    wait_until("the dead letter is there", || !letters.done().is_empty()).await;
    let letter = letters.done().remove(0);
    assert_eq!(letter.payload, b"bad");
    assert_eq!(
        letter.header("marquee-reason"),
        Some("the handler panicked")
    );
    assert_eq!(scene.restarts(), 0);
    scene.stop().await;
}

pub(crate) async fn a_retry_keeps_the_order(bus: Bus) {
    let scene = Scene::new(&bus);
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let recorder = Recorder::judging(move |event| {
        let busy = event.key == "2" && event.payload == b"10";
        if busy && counted.fetch_add(1, Ordering::Relaxed) < 6 {
            return Verdict::Retry("the database is unavailable".into());
        }
        Verdict::Done
    });
    scene.producer().publish(scene.events(0, 30)).await.unwrap();
    scene.consumer(&recorder);
    wait_until("it is retried", || attempts.load(Ordering::Relaxed) >= 2).await;
    assert!(scene.is_degraded());
    scene
        .producer()
        .publish(scene.events(30, 60))
        .await
        .unwrap();
    recorder.wait_for_events(60).await;
    assert!(attempts.load(Ordering::Relaxed) >= 7);
    wait_until("all is well", || !scene.is_degraded()).await;
    scene.stop().await;
}

pub(crate) async fn a_consumer_that_is_restarted_goes_on_where_it_stopped(bus: Bus) {
    let scene = Scene::new(&bus);
    let first = Recorder::new();
    scene.consumer(&first);
    let producer = scene.producer();
    producer.publish(scene.events(0, 20)).await.unwrap();
    first.wait_for_events(20).await;
    // Told to stop, it leaves with all that it has done acknowledged.
    scene.stop().await;

    let later = scene.beside();
    later
        .producer()
        .publish(later.events(20, 40))
        .await
        .unwrap();
    let second = Recorder::new();
    later.consumer(&second);
    let all = || (0..5).all(|key| second.numbers_of(&key.to_string()).len() >= 20);
    wait_until("the rest is there", all).await;
    for key in 0..5 {
        let numbers = second.numbers_of(&key.to_string());
        assert_eq!(
            numbers,
            (20..40).collect::<Vec<_>>(),
            "the events of key {key}"
        );
    }
    later.stop().await;
}

pub(crate) async fn consumers_of_a_group_share_the_events_in_order(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let producer = scene.producer();
    producer.publish(scene.events(0, 20)).await.unwrap();
    recorder.wait_for_events(20).await;

    let second = scene.beside();
    second.consumer(&recorder);
    for from in (20..60).step_by(10) {
        producer
            .publish(scene.events(from, from + 10))
            .await
            .unwrap();
    }
    recorder.wait_for_events(60).await;
    second.stop().await;
    producer.publish(scene.events(60, 80)).await.unwrap();
    recorder.wait_for_events(80).await;
    scene.stop().await;
}

pub(crate) async fn a_broker_that_becomes_unavailable_and_comes_back_loses_nothing(bus: Bus) {
    if !bus.can_be_unavailable() {
        return;
    }
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let producer = scene.producer();
    producer.publish(scene.events(0, 10)).await.unwrap();
    recorder.wait_for_events(10).await;

    bus.become_unavailable().await;
    let (sending, events) = (producer.clone(), scene.events(10, 30));
    let publication = actix::spawn(async move { sending.publish(events).await });
    wait_until("it is noticed", || scene.is_degraded()).await;
    assert!(!publication.is_finished());
    bus.come_back().await;
    publication.await.unwrap().unwrap();
    producer.publish(scene.events(30, 40)).await.unwrap();
    recorder.wait_for_events(40).await;
    wait_until("all is well", || !scene.is_degraded()).await;
    assert_eq!(scene.restarts(), 0);
    scene.stop().await;
}

pub(crate) async fn a_broker_that_comes_late_is_waited_for(bus: Bus) {
    if !bus.can_be_unavailable() {
        return;
    }
    bus.become_unavailable().await;
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    let (producer, events) = (scene.producer(), scene.events(0, 10));
    let publication = actix::spawn(async move { producer.publish(events).await });
    wait_until("it is noticed", || scene.is_degraded()).await;
    bus.come_back().await;
    publication.await.unwrap().unwrap();
    recorder.wait_for_events(10).await;
    wait_until("all is well", || !scene.is_degraded()).await;
    scene.stop().await;
}

pub(crate) async fn an_event_that_is_too_large_is_refused_and_the_next_is_published(bus: Bus) {
    let scene = Scene::new(&bus);
    let producer = scene.producer();
    let too_large = scene.event("k", &"x".repeat(MAX_EVENT_BYTES));
    let refused = producer
        .publish(vec![scene.event("k", "0"), too_large])
        .await;
    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");

    let largest = scene.event("k", &"1".repeat(MAX_EVENT_BYTES - 1));
    producer.publish(vec![largest.clone()]).await.unwrap();
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    wait_until("it is there", || !recorder.done().is_empty()).await;
    assert_eq!(recorder.done(), [largest]);
    scene.stop().await;
}

pub(crate) async fn what_waits_for_a_consumer_is_a_figure(bus: Bus) {
    let scene = Scene::new(&bus);
    scene.producer().publish(scene.events(0, 6)).await.unwrap();
    let may_go_on = Arc::new(AtomicBool::new(false));
    let held = may_go_on.clone();
    let recorder = Recorder::judging(move |_| match held.load(Ordering::Relaxed) {
        true => Verdict::Done,
        false => Verdict::Retry("not now".into()),
    });
    let consumer = scene.consumer(&recorder);
    let kind = match bus.url {
        BusUrl::Kafka(_) => "kafka",
        BusUrl::Nats(_) => "nats",
    };
    let shows = |lag: usize| {
        let metrics = scene.process.registry.metrics().render();
        let topic = &scene.topic;
        let line = format!(
            "marquee_consumer_lag_messages{{bus=\"{kind}\",group=\"group.of-{topic}\",topic=\"{topic}\"}} {lag}"
        );
        metrics.lines().any(|told| told == line)
    };
    wait_until("all that waits is told", || shows(30)).await;
    // It grows while the handler does not go on.
    scene.producer().publish(scene.events(6, 8)).await.unwrap();
    wait_until("more of it is told", || shows(40)).await;
    may_go_on.store(true, Ordering::Relaxed);
    recorder.wait_for_events(8).await;
    wait_until("nothing waits any more", || shows(0)).await;
    assert_eq!(scene.restarts(), 0, "{}", consumer.name());
    scene.stop().await;
    let metrics = scene.process.registry.metrics().render();
    assert!(
        !metrics.contains("marquee_consumer_lag_messages"),
        "{metrics}"
    );
}

pub(crate) async fn what_is_published_and_consumed_is_counted(bus: Bus) {
    let scene = Scene::new(&bus);
    let recorder = Recorder::judging(|event| match event.payload.as_slice() {
        b"bad" => Verdict::DeadLetter("it is bad".into()),
        _ => Verdict::Done,
    });
    scene.consumer(&recorder);
    let producer = scene.producer();
    producer.publish(scene.events(0, 4)).await.unwrap();
    let bad = vec![scene.event("k", "bad")];
    producer.publish(bad).await.unwrap();
    let published = scene.status("producer");
    assert_eq!(published.counters, [("events published", 21)]);
    assert_eq!(published.handled, 2);

    wait_until("all are counted", || scene.status("consumer").handled >= 21).await;
    assert_eq!(scene.status("consumer").counters, [("dead letters", 1)]);
    scene.stop().await;
}

/// The topic's limits removed events while no consumer ran; a second time, while one runs but is slow.
pub(crate) async fn events_that_were_deleted_before_they_were_consumed_are_reported(bus: Bus) {
    if !bus.can_delete_events() {
        return;
    }
    let scene = Scene::new(&bus);
    let first = Recorder::new();
    scene.consumer(&first);
    scene.producer().publish(scene.events(0, 20)).await.unwrap();
    first.wait_for_events(20).await;
    assert_eq!(first.missed(), 0);
    scene.stop().await;
    bus.are_requests_gone(&scene.topic).await;

    let later = scene.beside();
    let producer = later.producer();
    producer.publish(later.events(20, 40)).await.unwrap();
    bus.delete_events(&scene.topic).await;
    producer.publish(later.events(40, 41)).await.unwrap();
    let second = Recorder::new();
    second.hold_repairs();
    later.consumer(&second);
    wait_until("the gap is reported", || second.missed() == 100).await;
    wait_until("it is degraded", || later.is_degraded()).await;
    let rest = || (0..5).all(|key| second.numbers_of(&key.to_string()) == [40]);
    wait_until("later events are handled meanwhile", rest).await;
    second.finish_repairs();
    wait_until("all is well", || !later.is_degraded()).await;
    later.stop().await;
}
