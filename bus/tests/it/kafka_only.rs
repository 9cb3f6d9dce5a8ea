//! What is peculiar to Kafka: a group that is shared with consumers of older peers, and errors that
//! librdkafka does not recover from by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bus::{BusUrl, Verdict};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use testkit::eventually;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    buses::Bus,
    scene::{Recorder, Scene, wait_until},
};

/// Counts the partitions that a consumer has.
#[derive(Clone, Default)]
struct Assigned(Arc<AtomicUsize>);

impl ClientContext for Assigned {}

impl ConsumerContext for Assigned {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        let partitions = consumer.assignment().unwrap();
        self.0.store(partitions.count(), Ordering::Relaxed);
    }
}

/// A consumer of the scene's group that knows nothing of ours.
struct Peer {
    assigned: Assigned,
    received: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Peer {
    fn join(scene: &Scene<'_>, assignor: &str) -> Self {
        let BusUrl::Kafka(brokers) = &scene.bus.url else {
            panic!("the bus is no Kafka")
        };
        let assigned = Assigned::default();
        let consumer: StreamConsumer<Assigned> = ClientConfig::new()
            .set("bootstrap.servers", brokers.hosts().join(","))
            .set("group.id", format!("group.of-{}", scene.topic))
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", assignor)
            .set("session.timeout.ms", "6000")
            .set("topic.metadata.refresh.interval.ms", "500")
            .create_with_context(assigned.clone())
            .unwrap();
        consumer.subscribe(&[&scene.topic]).unwrap();
        let received = Arc::new(AtomicUsize::new(0));
        let (stop, mut stopped) = oneshot::channel();
        let counts = received.clone();
        let running = tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = consumer.recv() => if let Ok(message) = message {
                        assert!(message.payload().is_some());
                        counts.fetch_add(1, Ordering::Relaxed);
                    },
                    _ = &mut stopped => break,
                }
            }
            // Dropping it leaves the group, which blocks.
            tokio::task::spawn_blocking(move || drop(consumer))
                .await
                .unwrap();
        });
        Self {
            assigned,
            received,
            stop,
            running,
        }
    }

    fn assigned(&self) -> usize {
        self.assigned.0.load(Ordering::Relaxed)
    }

    fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    async fn leave(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }
}

/// Publishes until both members have received events, then has the peer leave.
async fn share_and_take_over(scene: &Scene<'_>, recorder: &Arc<Recorder>, peer: Peer) {
    let producer = scene.producer();
    let before = recorder.done().len();
    let shared = || recorder.done().len() > before && peer.received() > 0 && peer.assigned() < 3;
    let mut number = 0;
    eventually("the group is shared", async || {
        let events = scene.events(number, number + 1);
        producer.publish(events).await.unwrap();
        number += 1;
        shared()
    })
    .await;
    assert!(!scene.is_degraded());
    peer.leave().await;
    let events = scene.events(10_000, 10_020);
    producer.publish(events).await.unwrap();
    let rest = || (0..5).all(|key| recorder.numbers_of(&key.to_string()).contains(&10_019));
    wait_until("ours has all partitions", rest).await;
    assert!(!scene.is_degraded());
}

#[actix::test]
async fn a_group_is_shared_with_an_older_member_that_joined_first() {
    let Some(bus) = Bus::kafka_real() else { return };
    let scene = Scene::new(&bus);
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    let peer = Peer::join(&scene, "range,roundrobin");
    wait_until("the older member has all", || peer.assigned() == 3).await;
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    share_and_take_over(&scene, &recorder, peer).await;
    scene.stop().await;
}

#[actix::test]
async fn a_group_is_shared_with_an_older_member_that_joins_later() {
    let Some(bus) = Bus::kafka_real() else { return };
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    wait_until("ours consumes", || recorder.done().len() == 5).await;
    let peer = Peer::join(&scene, "range,roundrobin");
    share_and_take_over(&scene, &recorder, peer).await;
    scene.stop().await;
}

/// While a consumer works on events its partitions pause, and librdkafka remembers that of one that goes and comes back.
#[actix::test]
async fn partitions_that_went_while_events_were_worked_on_are_consumed_when_they_come_back() {
    let Some(bus) = Bus::kafka_real() else { return };
    let scene = Scene::new(&bus);
    let is_held_up = Arc::new(AtomicBool::new(true));
    let (tried, held_up) = (Arc::new(AtomicUsize::new(0)), is_held_up.clone());
    let counts = tried.clone();
    let recorder = Recorder::judging(move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        match held_up.load(Ordering::Relaxed) {
            true => Verdict::Retry("not yet".into()),
            false => Verdict::Done,
        }
    });
    scene.consumer(&recorder);
    let producer = scene.producer();
    producer.publish(scene.events(0, 1)).await.unwrap();
    // Each time that it is tried again the claim on it is kept.
    wait_until("ours is held up", || tried.load(Ordering::Relaxed) > 3).await;
    let peers = [(); 3].map(|()| Peer::join(&scene, "range,roundrobin"));
    let taken = || peers.iter().map(Peer::assigned).sum::<usize>() >= 2;
    wait_until("the others have most partitions", taken).await;
    is_held_up.store(false, Ordering::Relaxed);
    for peer in peers {
        peer.leave().await;
    }
    producer.publish(scene.events(1, 21)).await.unwrap();
    let rest = || (0..5).all(|key| recorder.numbers_of(&key.to_string()).contains(&20));
    wait_until("ours has all partitions", rest).await;
    scene.stop().await;
}

/// A member of another protocol keeps ours out; ours joins soon after it left.
#[actix::test]
async fn a_refused_consumer_joins_when_the_other_protocol_has_left() {
    let Some(bus) = Bus::kafka_real() else { return };
    let scene = Scene::new(&bus);
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    let peer = Peer::join(&scene, "cooperative-sticky");
    wait_until("the other member has all", || peer.assigned() == 3).await;
    let recorder = Recorder::new();
    scene.consumer(&recorder);
    wait_until("ours reports that it is refused", || scene.is_degraded()).await;
    peer.leave().await;
    scene.producer().publish(scene.events(1, 21)).await.unwrap();
    let rest = || (0..5).all(|key| recorder.numbers_of(&key.to_string()).contains(&20));
    wait_until("ours has joined", rest).await;
    wait_until("all is well", || !scene.is_degraded()).await;
    scene.stop().await;
}

/// Fails the next requests of a kind, and waits until events arrive all the same.
///
/// `FENCED_INSTANCE_ID` is not among the errors: only static members receive it, and ours are dynamic.
/// It is fatal to librdkafka, whose client never ends after it and keeps a processor busy.
async fn recovers_from(api: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
    use RDKafkaApiKey::{Fetch, Heartbeat, JoinGroup, OffsetCommit};
    let bus = Bus::kafka_mock();
    let cluster: &MockCluster<'_, DefaultProducerContext> = bus.mock();
    let scene = Scene::new(&bus);
    let recorder = Recorder::new();
    let at_once = !matches!(api, Fetch | Heartbeat | OffsetCommit);
    if at_once {
        cluster.request_errors(api, errors);
    }
    scene.consumer(&recorder);
    scene.producer().publish(scene.events(0, 10)).await.unwrap();
    recorder.wait_for_events(10).await;
    if !at_once {
        cluster.request_errors(api, errors);
    }
    // A lost membership is noticed by the next heartbeat.
    cluster.request_errors(JoinGroup, errors.get(..2).unwrap_or(errors));
    scene
        .producer()
        .publish(scene.events(10, 40))
        .await
        .unwrap();
    recorder.wait_for_events(40).await;
    cluster.clear_request_errors(api);
    cluster.clear_request_errors(JoinGroup);
    wait_until("all is well", || !scene.is_degraded()).await;
    scene.stop().await;
}

#[actix::test]
async fn a_consumer_recovers_from_every_error_of_its_group() {
    use RDKafkaRespErr::*;
    let refused_joins = [
        RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED,
    ];
    recovers_from(RDKafkaApiKey::JoinGroup, &refused_joins).await;
    let lost_memberships = [
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    ];
    recovers_from(RDKafkaApiKey::Heartbeat, &lost_memberships).await;
    recovers_from(RDKafkaApiKey::SyncGroup, &lost_memberships).await;
    let coordinators = [
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    ];
    recovers_from(RDKafkaApiKey::FindCoordinator, &coordinators).await;
}

#[actix::test]
async fn a_consumer_recovers_from_every_error_of_its_topic() {
    use RDKafkaRespErr::*;
    let fetches = [
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    recovers_from(RDKafkaApiKey::Fetch, &fetches).await;
    let commits = [
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ];
    recovers_from(RDKafkaApiKey::OffsetCommit, &commits).await;
    let offsets = [
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    recovers_from(RDKafkaApiKey::OffsetFetch, &offsets).await;
}

/// Nothing is published meanwhile.
#[actix::test]
async fn an_idle_producer_tells_that_the_broker_is_gone_or_silent_and_that_it_is_back() {
    let bus = Bus::kafka_mock();
    let cluster: &MockCluster<'_, DefaultProducerContext> = bus.mock();
    let scene = Scene::new(&bus);
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    wait_until("all is well", || !scene.is_degraded()).await;
    (1..=3).for_each(|id| cluster.broker_down(id).unwrap());
    wait_until("the broker is missed", || scene.is_degraded()).await;
    (1..=3).for_each(|id| cluster.broker_up(id).unwrap());
    wait_until("all is well again", || !scene.is_degraded()).await;
    // Its connections stay as they are.
    let silence = Duration::from_secs(60);
    let answer_after = |delay| {
        (1..=3).for_each(|id| cluster.broker_round_trip_time(id, delay).unwrap());
    };
    answer_after(silence);
    wait_until("an answer is missed", || scene.is_degraded()).await;
    answer_after(Duration::ZERO);
    (1..=3).for_each(|id| cluster.broker_down(id).unwrap());
    (1..=3).for_each(|id| cluster.broker_up(id).unwrap());
    wait_until("all is well in the end", || !scene.is_degraded()).await;
    scene.stop().await;
}

#[actix::test]
async fn a_topic_has_limits_that_an_operator_can_change() {
    let Some(bus) = Bus::kafka_real() else { return };
    let BusUrl::Kafka(brokers) = &bus.url else {
        panic!("the bus is no Kafka")
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers.hosts().join(","));
    let admin: AdminClient<_> = config.create().unwrap();
    let scene = Scene::new(&bus);
    let limits = async || {
        let topic = ResourceSpecifier::Topic(&scene.topic);
        let mut described = admin
            .describe_configs([&topic], &AdminOptions::new())
            .await
            .unwrap();
        let described = described.remove(0).unwrap();
        let value = |name| described.get(name).unwrap().value.clone().unwrap();
        [
            "retention.ms",
            "retention.bytes",
            "segment.bytes",
            "max.message.bytes",
        ]
        .map(value)
    };
    scene.producer().publish(scene.events(0, 1)).await.unwrap();
    let third = (1_u64 << 30) / 3;
    let default = [
        "604800000".into(),
        third.to_string(),
        (third / 4).to_string(),
    ];
    assert_eq!(limits().await[..3], default);
    scene.stop().await;

    // What an operator has set elsewhere stays.
    let topic = ResourceSpecifier::Topic(&scene.topic);
    let change = AlterConfig::new(topic).set("max.message.bytes", "2000000");
    let altered = admin.alter_configs([&change], &AdminOptions::new()).await;
    altered.unwrap().remove(0).unwrap();
    let mut changed = scene.beside();
    changed.retention.event_max_age = Some(Duration::from_secs(3_600));
    changed.retention.event_max_bytes = Some(30_000_000);
    let producer = changed.producer();
    producer.publish(changed.events(1, 2)).await.unwrap();
    let expected = ["3600000", "10000000", "2500000", "2000000"];
    // The limits are set beside the work.
    let set = async || limits().await == expected;
    eventually("the limits are set", set).await;
    changed.stop().await;
}
