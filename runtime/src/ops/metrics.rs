//! The registry as Prometheus text (exposition format 0.0.4).

use std::fmt::Write;

use crate::supervision::{ActorRegistry, ActorState, ActorStatus};

/// A metric: name, kind, help, and its value for one actor.
type Metric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ActorStatus) -> u64,
);

const METRICS: [Metric; 5] = [
    (
        "marquee_actor_up",
        "gauge",
        "1 while the actor takes messages.",
        |a| u64::from(a.state == ActorState::Running),
    ),
    (
        "marquee_actor_ready",
        "gauge",
        "1 while the actor can serve.",
        |a| u64::from(a.not_ready_reason().is_none()),
    ),
    (
        "marquee_actor_restarts_total",
        "counter",
        "How many times the actor was restarted.",
        |a| a.restarts,
    ),
    (
        "marquee_actor_mailbox_messages",
        "gauge",
        "Messages waiting or being handled.",
        |a| a.mailbox as u64,
    ),
    (
        "marquee_actor_handled_total",
        "counter",
        "Messages the actor was done with.",
        |a| a.handled,
    ),
];

pub(super) fn render(registry: &ActorRegistry) -> String {
    let (actors, mut text) = (registry.actors(), registry.metrics().render());
    for (name, kind, help, value) in METRICS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for actor in &actors {
            let _ = writeln!(
                text,
                "{name}{{service=\"{}\",group=\"{}\",actor=\"{}\"}} {}",
                actor.service,
                actor.group,
                actor.name,
                value(actor)
            );
        }
    }
    let name = "marquee_actor_counted_total";
    let help = "What else the actor counts: `what` names it.";
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
    for actor in &actors {
        for (what, count) in &actor.counters {
            let _ = writeln!(
                text,
                "{name}{{service=\"{}\",group=\"{}\",actor=\"{}\",what=\"{}\"}} {count}",
                actor.service,
                actor.group,
                actor.name,
                what.replace(' ', "_"),
            );
        }
    }
    for section in registry.sections() {
        text.push_str(&section.metrics());
    }
    text
}
