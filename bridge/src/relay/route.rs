//! A route: a source, a pipeline and a sink, with a second sink for dead letters; each is a supervised actor.

use std::sync::Arc;

use runtime::{Group, Place, Supervisor};

use super::{
    config::{RelayConfig, RouteConfig, fingerprint},
    direction::{Flow, KafkaToNats, NatsToKafka},
    flow::{Sink, Source},
    kafka::{KafkaSink, KafkaSource, Lease},
    mapping::Direction,
    nats::{NatsSink, NatsSource, Reading},
    pipeline::{DeadLetters, Pipeline},
    record::{KafkaRecord, NatsRecord},
    report::RouteReport,
    sink_actor::SinkActor,
    source_actor::{Limits, SourceActor},
};

/// Partitions of a topic that is made.
const PARTITIONS: i32 = 3;

/// Starts all routes of a relay, each in a group of its own. Returns what they report.
pub fn start(supervisor: &Supervisor, config: &RelayConfig) -> Vec<RouteReport> {
    let start = |route: &RouteConfig| {
        let report = RouteReport::new(&route.name, route.direction);
        let group = supervisor.group(&format!("route-{}", route.name));
        match route.direction {
            Direction::KafkaToNats => start_route::<KafkaToNats>(&group, route, &report),
            Direction::NatsToKafka => start_route::<NatsToKafka>(&group, route, &report),
        }
        report
    };
    config.routes.iter().map(start).collect()
}

/// What a direction reads from and writes to.
trait Ends: Flow {
    fn source(route: &RouteConfig, name: &str) -> Box<dyn Source<Self::Input>>;
    fn sink(route: &RouteConfig, name: &str) -> Box<dyn Sink<Self::Output>>;
    fn dead_letters(route: &RouteConfig, name: &str) -> Box<dyn Sink<Self::Input>>;
}

impl Ends for KafkaToNats {
    fn source(route: &RouteConfig, name: &str) -> Box<dyn Source<KafkaRecord>> {
        let topics = route.mapping.topics();
        let group = member_name(route);
        let creates = created(route.creates, &topics);
        Box::new(KafkaSource::new(
            route.kafka.clone(),
            name,
            &group,
            &id_prefix(route, &route.kafka.id),
            topics,
            creates,
        ))
    }

    fn sink(route: &RouteConfig, name: &str) -> Box<dyn Sink<NatsRecord>> {
        let subject = route.mapping.subjects().into_iter().next();
        let subject = subject.unwrap_or_default();
        Box::new(NatsSink::new(
            route.nats.clone(),
            name,
            &subject,
            route.creates,
        ))
    }

    fn dead_letters(route: &RouteConfig, name: &str) -> Box<dyn Sink<KafkaRecord>> {
        let place = route.dead_letters.clone();
        let creates = created(true, std::slice::from_ref(&place));
        kafka_sink(route, name, move |topic| topic == place, creates, None)
    }
}

impl Ends for NatsToKafka {
    fn source(route: &RouteConfig, name: &str) -> Box<dyn Source<NatsRecord>> {
        let durable = member_name(route);
        let lease = Lease::new(route.kafka.clone(), name, &durable);
        let reading = Reading {
            cluster: route.nats.clone(),
            id_prefix: id_prefix(route, &route.nats.id),
            stream: route.stream.clone(),
            subjects: route.mapping.subjects(),
            durable,
            creates: route.creates,
            limits: route.limits,
        };
        Box::new(NatsSource::new(reading, lease))
    }

    fn sink(route: &RouteConfig, name: &str) -> Box<dyn Sink<KafkaRecord>> {
        let mapping = route.mapping.clone();
        let creates = created(route.creates, &mapping.topics());
        let is_target = move |topic: &str| mapping.has_topic(topic);
        let if_needed = route.creates.then_some(PARTITIONS);
        kafka_sink(route, name, is_target, creates, if_needed)
    }

    fn dead_letters(route: &RouteConfig, name: &str) -> Box<dyn Sink<NatsRecord>> {
        Box::new(NatsSink::new(
            route.nats.clone(),
            name,
            &route.dead_letters,
            true,
        ))
    }
}

fn kafka_sink(
    route: &RouteConfig,
    name: &str,
    is_target: impl Fn(&str) -> bool + Send + Sync + 'static,
    creates: Vec<(String, i32)>,
    partitions_if_needed: Option<i32>,
) -> Box<dyn Sink<KafkaRecord>> {
    Box::new(KafkaSink::new(
        route.kafka.clone(),
        name,
        Arc::new(is_target),
        creates,
        partitions_if_needed,
    ))
}

/// The topics that are made if they are absent; a pattern names none before there is a record.
fn created(creates: bool, topics: &[String]) -> Vec<(String, i32)> {
    let names = topics
        .iter()
        .filter(|topic| creates && !topic.starts_with('^'));
    names.map(|topic| (topic.clone(), PARTITIONS)).collect()
}

/// The name by which all instances of a route are known to the brokers. Relays that have the same names for their routes
/// and join other clusters do not share it.
fn member_name(route: &RouteConfig) -> String {
    let (source, target) = match route.direction {
        Direction::KafkaToNats => (&route.kafka.id, &route.nats.id),
        Direction::NatsToKafka => (&route.nats.id, &route.kafka.id),
    };
    // No id has a space.
    let clusters = fingerprint(&format!("{source} {target}"));
    format!("marquee-relay-{}-{clusters}", route.name)
}

/// How the ids of inputs begin. Two routes may lead from one topic into one stream, which would drop the second of two
/// messages with the same id.
fn id_prefix(route: &RouteConfig, source: &str) -> String {
    format!("{}/{source}", route.name)
}

fn start_route<F: Ends>(group: &Group, route: &RouteConfig, report: &RouteReport) {
    let config = Arc::new(route.clone());
    let name = |part: &str| format!("{}-{part}", route.name);

    let (made, part) = (config.clone(), name("dead-letters"));
    let writer = group.supervise(&part.clone(), Place::OwnArbiter, move |guard| {
        SinkActor::new(F::dead_letters(&made, &part), guard)
    });
    let (made, part) = (config.clone(), name("sink"));
    let sink = group.supervise(&part.clone(), Place::OwnArbiter, move |guard| {
        SinkActor::new(F::sink(&made, &part), guard)
    });
    let mapping = Arc::new(route.mapping.clone());
    let (to, told) = (sink.clone(), report.clone());
    let dead_letters = DeadLetters {
        writer,
        place: route.dead_letters.clone(),
        turn: Arc::default(),
    };
    let pipeline = group.supervise(&name("pipeline"), Place::OwnArbiter, move |guard| {
        let dead_letters = dead_letters.clone();
        Pipeline::<F>::new(
            mapping.clone(),
            to.clone(),
            dead_letters,
            told.clone(),
            guard,
        )
    });
    let limits = Limits {
        records: route.limits.max_in_flight,
        bytes: route.limits.max_in_flight_bytes,
    };
    let (told, part) = (report.clone(), name("source"));
    group.supervise(&part.clone(), Place::OwnArbiter, move |guard| {
        let source = F::source(&config, &part);
        SourceActor::<F>::new(
            source,
            pipeline.clone(),
            sink.clone(),
            told.clone(),
            limits,
            guard,
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::config::OneRoute;

    fn name_of(from: &str, to: &str) -> String {
        let flag = |value: &str| Some(value.to_owned());
        let route = OneRoute {
            from: flag(from),
            to: flag(to),
            subject: flag("edge.data"),
            topic: flag("edge-data"),
            ..OneRoute::default()
        };
        member_name(&route.relay().unwrap().routes[0])
    }

    #[test]
    fn instances_share_a_name_if_they_join_the_same_clusters() {
        let name = name_of("nats://one:4222", "kafka://one:9092");
        assert_eq!(name, name_of("nats://token@one:4222", "kafka://one:9092"));
        assert_ne!(name, name_of("nats://two:4222", "kafka://one:9092"));
        assert_ne!(name, name_of("nats://one:4222", "kafka://two:9092"));
        assert_ne!(name, name_of("kafka://one:9092", "nats://one:4222"));
    }
}
