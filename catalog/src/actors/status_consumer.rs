//! Consumes the status events: reads them, has the repository apply them, and acknowledges after its
//! answer. A version that recommendations has not reached makes an event a dead letter, for it would freeze the film's flag;
//! such an event waits while recommendations cannot be asked.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bus::{Bus, Consumer, Event, EventHandler, Subscription, Verdict, consume};
use proto::events::{RecommendationStatus, STATUS_GROUP, STATUS_TOPIC, VERSION_HEADER};
use runtime::{Group, Handle};

use super::{
    flag_reconciler::{CompareAllFlags, FlagReconciler, Reached, ReachedVersion},
    movie_repository::{ApplyFlags, MovieRepository},
};
use crate::{
    films::{self, writing::Flag},
    flags::Applied,
};

/// How far a version may be ahead of this machine's clock without recommendations having told which one it has reached: the clocks of
/// two machines differ.
const CLOCK_TOLERANCE_MICROS: i64 = 15 * 60 * 1_000_000;
/// How long the repository may take; the database has its own, shorter deadline.
const APPLY_DEADLINE: Duration = Duration::from_secs(25);
const REACHED_DEADLINE: Duration = Duration::from_secs(6);
/// How long a round over all flags may take.
const ROUND_DEADLINE: Duration = Duration::from_secs(3_600);

/// Starts the consumer; it reads from the earliest event that the catalogs have not acknowledged.
pub fn start(
    group: &Group,
    bus: &Bus,
    films: Handle<MovieRepository>,
    reconciler: Handle<FlagReconciler>,
) -> Consumer {
    let subscription = Subscription {
        topic: STATUS_TOPIC.into(),
        group: STATUS_GROUP.into(),
    };
    let handler = Arc::new(StatusHandler::new(films, reconciler));
    consume(group, "status-consumer", bus, subscription, handler)
}

/// Applies status events to the films. An event that comes again, or after a newer one of its film,
/// changes nothing.
pub struct StatusHandler {
    films: Handle<MovieRepository>,
    reconciler: Handle<FlagReconciler>,
}

impl StatusHandler {
    /// Returns a handler that writes by way of `films`, and has `reconciler` repair what was missed.
    pub fn new(films: Handle<MovieRepository>, reconciler: Handle<FlagReconciler>) -> Self {
        Self { films, reconciler }
    }

    /// Reads `events`; the errors are the verdicts on those that are not to be applied now.
    async fn read(&self, events: &[Event]) -> Vec<Result<Flag, Verdict>> {
        let read = events
            .iter()
            .map(|event| flag(event).map_err(Verdict::DeadLetter));
        let mut flags: Vec<Result<Flag, Verdict>> = read.collect();
        let now = films::now().micros();
        let is_beyond = |flag: &Result<Flag, Verdict>, limit| {
            let version = flag.as_ref().ok().and_then(|flag| flag.version);
            version.is_some_and(|version| version > limit)
        };
        if !flags.iter().any(|flag| is_beyond(flag, now)) {
            return flags;
        }
        // A database that was started while its clock was ahead counts from there. All others are behind the clock, so that this is
        // asked for next to no event.
        let tolerated = now + CLOCK_TOLERANCE_MICROS;
        let reached = self.reconciler.ask(ReachedVersion, REACHED_DEADLINE).await;
        let reached = reached.unwrap_or_else(|error| Reached::Unavailable(error.to_string()));
        let unreached = Verdict::DeadLetter(format!(
            "the header {VERSION_HEADER} is a version that recommendations has not reached"
        ));
        let (limit, verdict) = match reached {
            Reached::Version(reached) => (now.max(reached), unreached),
            Reached::Unknown => (tolerated, unreached),
            Reached::Unavailable(reason) => {
                let reason = format!(
                    "the header {VERSION_HEADER} is ahead of the clock, and recommendations cannot be asked: {reason}"
                );
                (tolerated, Verdict::Retry(reason))
            }
        };
        for flag in flags.iter_mut().filter(|flag| is_beyond(flag, limit)) {
            *flag = Err(verdict.clone());
        }
        flags
    }
}

#[async_trait]
impl EventHandler for StatusHandler {
    async fn handle(&self, events: &[Event]) -> Vec<Verdict> {
        let read = self.read(events).await;
        let flags: Vec<Flag> = read.iter().filter_map(|flag| flag.clone().ok()).collect();
        let applied = match self.films.ask(ApplyFlags(flags), APPLY_DEADLINE).await {
            Ok(applied) => applied,
            Err(error) => return vec![Verdict::Retry(error.to_string()); events.len()],
        };
        let mut applied = applied.into_iter();
        let verdicts = read.into_iter().map(|flag| match flag {
            Err(verdict) => verdict,
            Ok(_) => match applied.next() {
                Some(Applied::Done) => Verdict::Done,
                Some(Applied::Never(reason)) => Verdict::DeadLetter(reason),
                Some(Applied::Later(reason)) => Verdict::Retry(reason),
                None => Verdict::Retry("the repository gave no answer".into()),
            },
        });
        verdicts.collect()
    }

    /// Compares all flags with what recommendations says.
    async fn missed(&self, _: u64) {
        while let Err(error) = self.reconciler.ask(CompareAllFlags, ROUND_DEADLINE).await {
            tracing::debug!(%error, "the flags are not compared yet: {error}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Reads an event.
fn flag(event: &Event) -> Result<Flag, String> {
    let status = RecommendationStatus::from_payload(&event.payload)
        .map_err(|e| format!("the value is no recommendation status: {e}"))?;
    let version = event.header(VERSION_HEADER).map(str::parse).transpose();
    let version = version.map_err(|_| format!("the header {VERSION_HEADER} is no number"))?;
    Ok(Flag {
        film_id: status.film_id,
        is_recommended: status.is_recommended,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &str, headers: &[(&str, &str)]) -> Event {
        Event {
            topic: STATUS_TOPIC.into(),
            key: "a".into(),
            payload: payload.into(),
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn events_are_read_with_and_without_our_header() {
        let payload = r#"{"film_id": "a", "is_recommended": true}"#;
        let with = |version| {
            Ok(Flag {
                film_id: "a".into(),
                is_recommended: true,
                version,
            })
        };
        assert_eq!(flag(&event(payload, &[])), with(None));
        assert_eq!(
            flag(&event(payload, &[("other", "x"), (VERSION_HEADER, "7")])),
            with(Some(7))
        );
        assert!(flag(&event(payload, &[(VERSION_HEADER, "x")])).is_err());
        assert!(flag(&event("{", &[])).is_err());
        assert!(flag(&event(r#"{"film_id": 1, "is_recommended": true}"#, &[])).is_err());
    }
}
