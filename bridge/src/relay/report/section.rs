//! The reports of all routes as operators see them: metrics for Prometheus, a table on `/system`, and what is stuck.

use std::{sync::Arc, time::Duration};

use runtime::{
    ActorRegistry,
    metrics::{Description, Distribution, Kind, Metrics},
    ops::{Row, Section, Stuck, Table},
};

use super::{RouteReport, RouteStatus};
use crate::relay::mapping::Direction;

/// The routes of a relay, shown to operators.
#[derive(Debug, Clone)]
pub struct RelayReport(Vec<RouteReport>);

/// A metric: name, kind, help, and its value for one route, if it is known.
type Metric = (
    &'static str,
    Kind,
    &'static str,
    fn(&RouteStatus) -> Option<u64>,
);

const METRICS: [Metric; 9] = [
    (
        "marquee_relay_received_total",
        Kind::Counter,
        "Messages read; those that were read again after a failure are counted again.",
        |route| Some(route.received),
    ),
    (
        "marquee_relay_received_bytes_total",
        Kind::Counter,
        "Bytes of the messages read, counted as they are.",
        |route| Some(route.received_bytes),
    ),
    (
        "marquee_relay_delivered_total",
        Kind::Counter,
        "Messages that the other side has durably.",
        |route| Some(route.delivered),
    ),
    (
        "marquee_relay_skipped_total",
        Kind::Counter,
        "Messages that had been in one of the clusters before.",
        |route| Some(route.skipped),
    ),
    (
        "marquee_relay_retried_total",
        Kind::Counter,
        "Attempts that failed and were made again.",
        |route| Some(route.retried),
    ),
    (
        "marquee_relay_dead_letters_total",
        Kind::Counter,
        "Messages that went to the dead letters.",
        |route| Some(route.dead_letters),
    ),
    (
        "marquee_relay_lag_messages",
        Kind::Gauge,
        "Messages that wait at the side that is read.",
        |route| route.lag,
    ),
    (
        "marquee_relay_stuck",
        Kind::Gauge,
        "1 while the route cannot go on.",
        |route| Some(u64::from(route.stuck.is_some())),
    ),
    (
        "marquee_relay_standby",
        Kind::Gauge,
        "1 while other instances have all that there is to read.",
        |route| Some(u64::from(route.is_standby)),
    ),
];

impl RelayReport {
    /// The reports of these routes.
    pub fn new(routes: impl IntoIterator<Item = RouteReport>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// Shows the routes to operators: as metrics, on `/system`, and in what `/healthz` says.
    pub fn show(self, registry: &ActorRegistry) {
        self.measure(registry.metrics());
        registry.show(Arc::new(self));
    }

    fn measure(&self, metrics: &Metrics) {
        for (name, kind, help, value) in METRICS {
            let report = self.clone();
            metrics.read(kind, &described(name, help), move |samples| {
                for route in report.routes() {
                    if let Some(value) = value(&route) {
                        samples.add(&[&route.name, way(route.direction)], value as f64);
                    }
                }
            });
        }
        let latency = described(
            "marquee_relay_latency_seconds",
            "From reading a message to having it durably at the other side; quantiles of the last minute.",
        );
        let report = self.clone();
        metrics.read(Kind::Summary, &latency, move |samples| {
            for route in report.routes() {
                let recent = &route.recent;
                let latencies = Distribution {
                    quantiles: vec![
                        (0.5, recent.p50),
                        (0.9, recent.p90),
                        (0.99, recent.p99),
                        (0.999, recent.p999),
                    ],
                    sum: route.latency_total,
                    count: route.delivered,
                };
                samples.add_distribution(&[&route.name, way(route.direction)], &latencies);
            }
        });
    }

    fn routes(&self) -> Vec<RouteStatus> {
        self.0.iter().map(RouteReport::status).collect()
    }
}

fn described<'a>(name: &'a str, help: &'a str) -> Description<'a> {
    Description {
        name,
        help,
        labels: &["route", "direction"],
        ..Description::default()
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::KafkaToNats => "kafka_to_nats",
        Direction::NatsToKafka => "nats_to_kafka",
    }
}

impl Section for RelayReport {
    fn table(&self) -> Table {
        let row = |route: RouteStatus| {
            let state = match &route.stuck {
                Some((_, since)) => format!("stuck for {} s", since.as_secs()),
                None if route.is_standby => "standby".to_owned(),
                None => "moving".to_owned(),
            };
            Row {
                is_bad: route.stuck.is_some(),
                cells: vec![
                    route.name,
                    match route.direction {
                        Direction::KafkaToNats => "Kafka to NATS".to_owned(),
                        Direction::NatsToKafka => "NATS to Kafka".to_owned(),
                    },
                    state,
                    match route.lag {
                        Some(lag) => lag.to_string(),
                        None => "unknown".to_owned(),
                    },
                    route.delivered.to_string(),
                    format!("{:.1}/s", route.recent.rate),
                    shown(route.recent.p50),
                    shown(route.recent.p99),
                    route.retried.to_string(),
                    route.dead_letters.to_string(),
                ],
            }
        };
        Table {
            heading: "Routes",
            columns: &[
                "Route",
                "Way",
                "State",
                "Lag",
                "Delivered",
                "Rate",
                "p50",
                "p99",
                "Retries",
                "Dead letters",
            ],
            rows: self.routes().into_iter().map(row).collect(),
        }
    }

    fn stuck(&self) -> Vec<Stuck> {
        let stuck = |route: RouteStatus| {
            let (reason, _) = route.stuck?;
            Some(Stuck {
                what: format!("relay/{}", route.name),
                reason,
            })
        };
        self.routes().into_iter().filter_map(stuck).collect()
    }
}

/// A latency for a person.
fn shown(latency: Duration) -> String {
    match latency.as_secs_f64() * 1_000.0 {
        0.0 => "none".to_owned(),
        millis @ ..1_000.0 => format!("{millis:.1} ms"),
        millis => format!("{:.1} s", millis / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn relay() -> (RelayReport, RouteReport) {
        let films = RouteReport::new("films", Direction::KafkaToNats);
        let ratings = RouteReport::new("ratings", Direction::NatsToKafka);
        films.received(5, 50);
        films.delivered(4, Duration::from_millis(3));
        films.lag(Some(9));
        films.dead_letters(1);
        (RelayReport::new([films, ratings.clone()]), ratings)
    }

    #[test]
    fn metrics_name_their_route() {
        let (relay, _) = relay();
        let metrics = Metrics::default();
        relay.measure(&metrics);
        let text = metrics.render();
        for line in [
            "# TYPE marquee_relay_received_total counter",
            "marquee_relay_received_total{route=\"films\",direction=\"kafka_to_nats\"} 5",
            "marquee_relay_lag_messages{route=\"films\",direction=\"kafka_to_nats\"} 9",
            "marquee_relay_stuck{route=\"ratings\",direction=\"nats_to_kafka\"} 0",
            "marquee_relay_latency_seconds_count{route=\"films\",direction=\"kafka_to_nats\"} 4",
            "marquee_relay_latency_seconds_sum{route=\"films\",direction=\"kafka_to_nats\"} 0.012",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(text.contains("quantile=\"0.99\"} 0.003"), "{text}");
        // What is not known is no figure.
        assert_eq!(text.matches("\nmarquee_relay_lag_messages{").count(), 1);
    }

    #[test]
    fn a_stuck_route_is_told_with_its_reason() {
        let (relay, ratings) = relay();
        assert_eq!(relay.stuck(), []);
        ratings.stuck("Kafka refuses the topic", Instant::now());
        let stuck = Stuck {
            what: "relay/ratings".into(),
            reason: "Kafka refuses the topic".into(),
        };
        assert_eq!(relay.stuck(), [stuck]);
        let table = relay.table();
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.cells.len() == table.columns.len())
        );
        let states: Vec<_> = table.rows.iter().map(|row| row.is_bad).collect();
        assert_eq!(states, [false, true]);
        ratings.standby();
        let states = relay
            .table()
            .rows
            .into_iter()
            .map(|row| row.cells[2].clone());
        assert_eq!(states.collect::<Vec<_>>(), ["moving", "standby"]);
    }
}
