//! The actors of a process as metrics.

use std::sync::Arc;

use crate::{
    metrics::{Description, Kind, Metrics},
    supervision::{ActorState, ActorStatus, Health},
};

/// A metric: name, kind, help, and its value for one actor.
type Metric = (&'static str, Kind, &'static str, fn(&ActorStatus) -> u64);

const METRICS: [Metric; 6] = [
    (
        "marquee_actor_up",
        Kind::Gauge,
        "1 while the actor takes messages.",
        |a| u64::from(a.state == ActorState::Running),
    ),
    (
        "marquee_actor_ready",
        Kind::Gauge,
        "1 while the actor can serve.",
        |a| u64::from(a.not_ready_reason().is_none()),
    ),
    (
        "marquee_actor_degraded",
        Kind::Gauge,
        "1 while the actor works on without something it needs.",
        |a| u64::from(matches!(a.health, Health::Degraded(_))),
    ),
    (
        "marquee_actor_restarts_total",
        Kind::Counter,
        "How many times the actor was restarted.",
        |a| a.restarts,
    ),
    (
        "marquee_actor_mailbox_messages",
        Kind::Gauge,
        "Messages waiting or being handled.",
        |a| a.mailbox as u64,
    ),
    (
        "marquee_actor_handled_total",
        Kind::Counter,
        "Messages the actor was done with.",
        |a| a.handled,
    ),
];

/// Shows what `actors` lists.
pub(crate) fn show_actors(
    metrics: &Metrics,
    actors: impl Fn() -> Vec<ActorStatus> + Send + Sync + 'static,
) {
    let actors = Arc::new(actors);
    for (name, kind, help, value) in METRICS {
        let description = Description {
            name,
            help,
            labels: &["service", "group", "actor"],
            ..Description::default()
        };
        let actors = actors.clone();
        metrics.read(kind, &description, move |samples| {
            for actor in actors() {
                let labels = [&*actor.service, &actor.group, &actor.name];
                samples.add(&labels, value(&actor) as f64);
            }
        });
    }
    let counted = Description {
        name: "marquee_actor_counted_total",
        help: "What else the actor counts: `what` names it.",
        labels: &["service", "group", "actor", "what"],
        ..Description::default()
    };
    metrics.read(Kind::Counter, &counted, move |samples| {
        for actor in actors() {
            for (what, count) in &actor.counters {
                let what = what.replace(' ', "_");
                let labels = [&*actor.service, &actor.group, &actor.name, &what];
                samples.add(&labels, *count as f64);
            }
        }
    });
}
