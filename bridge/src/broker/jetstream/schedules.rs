//! Messages that are published later, once or again and again: their publisher stores what is to be published and when, under
//! a subject of its own, and the stream then stores a message under the target.
//!
//! When a schedule is due first is in its message, when it is due again in what was published by it last and, since that may be
//! gone, in the state that a segment begins with. What should have been published while the server was away is published once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ZonedDateTime};

use super::answers::Responder;
use super::batch::Effect;
use super::cron::Cron;
use super::error::{self, Result};
use super::go_duration;
use super::json::{self, SECOND};
use super::lifetimes::{Lifetime, TTL};
use super::release::{ROLLUP, Rollup};
use super::state::{MESSAGE_ID, State};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::store::record::{Record, StoredMessage};
use crate::broker::subjects;

const PATTERN: &str = "Nats-Schedule";
const ZONE: &str = "Nats-Schedule-Time-Zone";
const LIFETIME: &str = "Nats-Schedule-TTL";
const SCHEDULE_ROLLUP: &str = "Nats-Schedule-Rollup";
const TARGET: &str = "Nats-Schedule-Target";
const SOURCE: &str = "Nats-Schedule-Source";
/// Which schedule a message was published by, or puts an end to, and when that schedule is due next.
const SCHEDULER: &str = "Nats-Scheduler";
const NEXT: &str = "Nats-Schedule-Next";
const PURGE: &str = "purge";

/// How many messages are published in a row, so that others have their turn.
const MAX_IN_A_ROW: usize = 256;
/// How long a schedule rests whose message could not be published.
const REST: i64 = 10 * SECOND;

/// When a schedule is due.
#[derive(Debug, PartialEq)]
struct Schedule {
    next: DateTime<FixedOffset>,
    repeats: bool,
}

impl Schedule {
    /// What the headers of a message say, whose schedule was last due at a time.
    fn of(block: &[u8], last: i64, now: i64) -> Result<Option<Self>> {
        let zone = headers::value(block, ZONE).map(|name| zone(name).ok_or(error::SCHEDULE_ZONE));
        let zone = zone.transpose()?;
        match headers::value(block, PATTERN) {
            None | Some("") => Ok(None),
            Some(pattern) => match Self::parse(pattern, zone, last, now) {
                Some(schedule) => Ok(Some(schedule)),
                None => Err(error::SCHEDULE_PATTERN),
            },
        }
    }

    fn parse(pattern: &str, zone: Option<TimeZone>, last: i64, now: i64) -> Option<Self> {
        if let Some(time) = pattern.strip_prefix("@at ") {
            let next = DateTime::parse_from_rfc3339(time).ok()?;
            return zone.is_none().then_some(Schedule {
                next,
                repeats: false,
            });
        }
        let now = DateTime::from_timestamp_nanos(now);
        let after = DateTime::from_timestamp_nanos(last);
        // What should have happened several times until now happens once.
        let latest = |next: &dyn Fn(DateTime<_>) -> Option<DateTime<FixedOffset>>| {
            let first = next(after)?;
            if first < now { next(now) } else { Some(first) }
        };
        let next = if let Some(every) = pattern.strip_prefix("@every ") {
            let every = TimeDelta::from_std(go_duration::parse(every)?).ok()?;
            if zone.is_some() || every < TimeDelta::seconds(1) {
                return None;
            }
            latest(&|time| rounded(time).checked_add_signed(every))?
        } else {
            let cron = Cron::parse(pattern)?;
            let zone = zone.unwrap_or(TimeZone::UTC);
            latest(&|time| {
                let nanos = i128::from(time.timestamp_nanos_opt()?);
                let time = Timestamp::from_nanosecond(nanos).ok()?;
                fixed(&cron.next_after(&time.to_zoned_datetime(zone.clone()))?)
            })?
        };
        Some(Schedule {
            next,
            repeats: true,
        })
    }

    fn due(&self) -> i64 {
        self.next.timestamp_nanos_opt().unwrap_or(i64::MAX)
    }
}

/// The nearest full second.
fn rounded(time: DateTime<chrono::Utc>) -> DateTime<FixedOffset> {
    let nanos = time.timestamp_nanos_opt().unwrap_or(i64::MAX);
    let seconds = nanos.saturating_add(SECOND / 2).div_euclid(SECOND);
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or(time);
    time.fixed_offset()
}

/// A place by its name, as exact as Go takes it.
fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (zone.iana_name() == Some(name)).then_some(zone)
}

fn fixed(time: &ZonedDateTime) -> Option<DateTime<FixedOffset>> {
    let offset = FixedOffset::east_opt(time.offset().seconds())?;
    let utc = DateTime::from_timestamp(time.timestamp().as_second(), 0)?;
    Some(utc.with_timezone(&offset))
}

/// Which messages are schedules, by their sequences, and when they are due.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    due: BTreeSet<(i64, u64)>,
    due_of: HashMap<u64, i64>,
    /// Those that have published already, and are due at another time than their message says.
    again: HashSet<u64>,
    /// Those whose message is on its way to the disk.
    under_way: HashSet<u64>,
}

impl Schedules {
    fn set(&mut self, seq: u64, due: i64) {
        self.remove(seq);
        self.due_of.insert(seq, due);
        self.due.insert((due, seq));
    }

    fn set_again(&mut self, seq: u64, due: i64) {
        self.set(seq, due);
        self.again.insert(seq);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(due) = self.due_of.remove(&seq) {
            self.due.remove(&(due, seq));
        }
        self.again.remove(&seq);
        self.under_way.remove(&seq);
    }

    /// Those that are due at another time than their message says, in order.
    pub(super) fn saved(&self) -> Vec<(u64, i64)> {
        let due = |seq: &u64| Some((*seq, *self.due_of.get(seq)?));
        let mut saved: Vec<_> = self.again.iter().filter_map(due).collect();
        saved.sort_unstable();
        saved
    }

    /// Takes over what was [`Schedules::saved`] of those that are there.
    pub(super) fn restore(&mut self, saved: Vec<(u64, i64)>) {
        for (seq, due) in saved {
            if self.contains(seq) {
                self.set_again(seq, due);
            }
        }
    }

    fn contains(&self, seq: u64) -> bool {
        self.due_of.contains_key(&seq) || self.under_way.contains(&seq)
    }

    /// When the next of them is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: i64) -> Option<(u64, i64)> {
        let (due, seq) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.remove(seq);
        self.under_way.insert(seq);
        Some((seq, due))
    }

    /// What was to be published could not be written: it is tried again a second later.
    pub(super) fn retry(&mut self, now: i64) {
        for seq in std::mem::take(&mut self.under_way) {
            self.set(seq, now.saturating_add(SECOND));
        }
    }
}

impl State {
    /// Takes note of a schedule, or that one is due again.
    pub(super) fn note_schedule(&mut self, seq: u64, time: i64, headers: &[u8]) {
        if !self.config.allow_msg_schedules {
            return;
        }
        // As of its own time: what was missed since is due at once.
        if let Ok(Some(schedule)) = Schedule::of(headers, time, time) {
            self.schedules.set(seq, schedule.due());
        }
        let (Some(scheduler), Some(next)) = scheduled_by(headers) else {
            return;
        };
        let Some(due) = json::parse_time(next) else {
            return;
        };
        if let Some(seq) = self.messages.last_on(scheduler)
            && self.schedules.contains(seq)
        {
            self.schedules.set_again(seq, due);
        }
    }

    /// Takes out the schedule that a message puts an end to.
    pub(super) fn end_schedule(&mut self, seq: u64, headers: &[u8]) {
        if let Some(scheduler) = self.ends_schedule(headers) {
            self.roll_up(seq, scheduler, Some(Rollup::Subject));
        }
    }

    /// The subject of the schedule that a message with these headers puts an end to.
    pub(super) fn ends_schedule<'a>(&self, headers: &'a [u8]) -> Option<&'a str> {
        if !self.config.allow_msg_schedules {
            return None;
        }
        match scheduled_by(headers) {
            (Some(scheduler), Some(PURGE)) if subjects::is_literal(scheduler) => Some(scheduler),
            _ => None,
        }
    }
}

/// The headers of what was published by a schedule.
fn scheduled_by(block: &[u8]) -> (Option<&str>, Option<&str>) {
    let value = |name| headers::value(block, name).filter(|text| !text.is_empty());
    (value(SCHEDULER), value(NEXT))
}

impl Stream {
    /// Refuses a schedule that makes no sense, or to which a message cannot put an end. A schedule replaces those before it on
    /// its subject.
    pub(super) fn check_schedule(&mut self, message: &mut Message) -> Result<()> {
        let block = &message.headers;
        if block.is_empty() {
            return Ok(());
        }
        let is_allowed = self.state.config.allow_msg_schedules;
        let now = json::now();
        match Schedule::of(block, now, now) {
            Ok(None) => {}
            _ if !is_allowed => return Err(error::SCHEDULES_DISABLED),
            Err(refusal) => return Err(refusal),
            Ok(Some(_)) => {
                self.check_what_is_scheduled(message)?;
                match Rollup::of(block) {
                    Ok(None) => {
                        message.headers = headers::extended(block, &[(ROLLUP, "sub")]);
                    }
                    Ok(Some(Rollup::Subject)) => {}
                    _ => return Err(error::SCHEDULE_ROLLUP),
                }
            }
        }
        match scheduled_by(&message.headers) {
            (None, None) => Ok(()),
            (Some(scheduler), Some(PURGE))
                if scheduler != &*message.subject && subjects::is_literal(scheduler) =>
            {
                if !is_allowed {
                    return Err(error::SCHEDULES_DISABLED);
                }
                match self.is_schedule(scheduler) {
                    Some(false) => Err(error::SCHEDULE_SCHEDULER),
                    _ => Ok(()),
                }
            }
            _ => Err(error::SCHEDULE_SCHEDULER),
        }
    }

    fn check_what_is_scheduled(&self, message: &Message) -> Result<()> {
        let value = |name| headers::value(&message.headers, name).unwrap_or_default();
        let ttl = headers::with_status("", &[(TTL, value(LIFETIME))]);
        let lifetime = Lifetime::of(&ttl).map_err(|()| error::SCHEDULE_TTL)?;
        if !["", "sub"].contains(&value(SCHEDULE_ROLLUP)) {
            return Err(error::SCHEDULE_ROLLUP);
        }
        if lifetime.is_some() && !self.state.config.allow_msg_ttl {
            return Err(error::TTL_DISABLED);
        }
        let (target, source) = (value(TARGET), value(SOURCE));
        // It replaces what is on its subject: with a wildcard that would be what its publisher has no permissions for.
        if !subjects::is_literal(&message.subject) {
            return Err(error::SCHEDULE_ROLLUP);
        }
        let is_taken = |subject: &str| {
            let subjects = &self.state.config.subjects;
            subjects::is_literal(subject)
                && subject != &*message.subject
                && subjects.iter().any(|own| subjects::overlap(own, subject))
        };
        if !is_taken(target) {
            return Err(error::SCHEDULE_TARGET);
        }
        if !source.is_empty() && (source == target || !is_taken(source)) {
            return Err(error::SCHEDULE_SOURCE);
        }
        Ok(())
    }

    /// Whether the last message on a subject is a schedule, if there is one.
    fn is_schedule(&mut self, subject: &str) -> Option<bool> {
        if let Some((message, _)) = self.last_unsynced(subject) {
            let pattern = headers::value(&message.headers, PATTERN);
            return Some(pattern.is_some_and(|pattern| !pattern.is_empty()));
        }
        let last = self.state.messages.last_on(subject)?;
        Some(self.state.schedules.contains(last))
    }

    /// Publishes what is due, as much as fits into the next write.
    pub(super) async fn publish_scheduled(&mut self) {
        for _ in 0..MAX_IN_A_ROW {
            if !self.has_room() {
                return;
            }
            let Some((seq, due)) = self.state.schedules.take_due(json::now()) else {
                return;
            };
            if let Err(reason) = self.publish_by(seq, due).await {
                if let Some(times) = self.stuck_schedules.is_due(Instant::now()) {
                    let stream = &self.state.config.name;
                    tracing::warn!(
                        stream,
                        seq,
                        times,
                        "a scheduled message cannot be published yet: {}",
                        reason.description()
                    );
                }
                let due = json::now().saturating_add(REST);
                self.state.schedules.set(seq, due);
            }
        }
    }

    /// Publishes by the schedule `seq`, which is due, unless a newer message on its subject has replaced it.
    async fn publish_by(&mut self, seq: u64, due: i64) -> Result<()> {
        let schedule = self.read(seq).await?;
        match self.last_on(&schedule.subject) {
            last if last == seq => {}
            // It goes with the write that is on its way, or counts again if that fails.
            last if last > self.state.messages.last_seq => {
                self.state
                    .schedules
                    .set(seq, due.max(json::now().saturating_add(SECOND)));
                return Ok(());
            }
            _ => {
                self.state.schedules.remove(seq);
                return Ok(());
            }
        }
        let source = headers::value(&schedule.headers, SOURCE);
        let source = source.and_then(|source| self.state.messages.last_on(source));
        let source = match source {
            Some(source) => self.read(source).await.ok(),
            None => None,
        };
        let Some((message, next)) = scheduled(&schedule, source.as_ref(), due) else {
            self.state.schedules.remove(seq);
            return Ok(());
        };
        let message = self.transformed(message);
        if self.state.is_wanted(&message.subject) {
            return self.take_in_or_skip(message).map(|_| ());
        }
        match next {
            Some(next) => self.state.schedules.set(seq, next),
            None => {
                self.batch.push(&Record::Deleted { seq });
                self.batch.add(Effect::Remove {
                    seqs: vec![seq],
                    purge: false,
                    responder: Responder::nobody(),
                });
            }
        }
        Ok(())
    }
}

/// What a schedule has published, its own content or that of the last message of its source, and when it is due again.
fn scheduled(
    schedule: &StoredMessage,
    source: Option<&StoredMessage>,
    due: i64,
) -> Option<(Message, Option<i64>)> {
    let block = &schedule.headers;
    let value = |name| headers::value(block, name).filter(|text| !text.is_empty());
    let times = Schedule::of(block, due, json::now()).ok()??;
    let next = match times.repeats {
        true => times.next.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        false => PURGE.to_owned(),
    };
    let content = source.unwrap_or(schedule);
    let kept = headers::without(&content.headers, |name| {
        // Those of schedules, and those that a publisher of the content had to do with.
        name.starts_with(PATTERN)
            || name.starts_with("Nats-Expected-")
            || [MESSAGE_ID, TTL, ROLLUP].contains(&name)
    });
    let mut more = vec![(SCHEDULER, &*schedule.subject), (NEXT, &next)];
    more.extend(value(LIFETIME).map(|lifetime| (TTL, lifetime)));
    more.extend(value(SCHEDULE_ROLLUP).map(|rollup| (ROLLUP, rollup)));
    let message = Message {
        subject: value(TARGET)?.into(),
        reply: None,
        headers: headers::extended(&kept, &more),
        payload: Bytes::clone(&content.payload),
    };
    Some((message, times.repeats.then(|| times.due())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::consumer::SavedConsumer;
    use super::super::consumer_config::ConsumerConfig;
    use super::super::lifetimes::tests::Bench;
    use super::super::state::Change;
    use super::super::stream_config::ConsumerLimits;
    use super::*;
    use crate::broker::store::log::Position;

    fn due(pattern: &str, last: &str, now: &str) -> Option<String> {
        let [last, now] = [last, now].map(|time| json::parse_time(time).unwrap());
        let block = headers::with_status("", &[(PATTERN, pattern)]);
        let schedule = Schedule::of(&block, last, now).ok()??;
        Some(schedule.next.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn what_was_missed_happens_once() {
        let begun = "2026-11-30T10:00:00.4Z";
        let every = |now| due("@every 1m30s", begun, now).unwrap();
        assert_eq!(every(begun), "2026-11-30T10:01:30Z");
        assert_eq!(every("2026-11-30T11:00:00.6Z"), "2026-11-30T11:01:31Z");
        let hourly = |now| due("@hourly", begun, now).unwrap();
        assert_eq!(hourly("2026-11-30T10:59:00Z"), "2026-11-30T11:00:00Z");
        assert_eq!(hourly("2026-11-30T15:59:00Z"), "2026-11-30T16:00:00Z");
        let at = due("@at 2026-11-30T09:00:00+01:00", begun, begun).unwrap();
        assert_eq!(at, "2026-11-30T09:00:00+01:00");
        for wrong in ["@every 900ms", "@every", "@at noon", "at once"] {
            assert_eq!(due(wrong, begun, begun), None, "{wrong}");
        }
    }

    #[test]
    fn a_scheduled_message_has_the_content_without_what_schedules_it() {
        let headers = [
            ("Nats-Schedule", "@every 1s"),
            ("Nats-Schedule-Target", "t"),
            ("Nats-Schedule-TTL", "5m"),
            ("Nats-Rollup", "sub"),
            ("Nats-Msg-Id", "1"),
            ("Own", "x"),
        ];
        let schedule = StoredMessage {
            seq: 1,
            time: 0,
            subject: "s".into(),
            headers: headers::with_status("", &headers),
            payload: "p".into(),
        };
        let (message, next) = scheduled(&schedule, None, json::now()).unwrap();
        assert_eq!((&*message.subject, &*message.payload), ("t", &b"p"[..]));
        let value = |name| headers::value(&message.headers, name);
        assert_eq!((value("Own"), value(TTL)), (Some("x"), Some("5m")));
        assert_eq!((value(MESSAGE_ID), value(ROLLUP)), (None, None));
        assert_eq!((value(PATTERN), value(TARGET)), (None, None));
        assert_eq!(value(SCHEDULER), Some("s"));
        assert_eq!(value(NEXT).and_then(json::parse_time), next);
        assert!(next.is_some());
    }

    const LONG_AGO: &str = "@at 2020-01-01T00:00:00Z";
    const LATER: &str = "@at 2200-01-01T00:00:00Z";

    fn stream_with(more: &Value) -> Bench {
        let mut config = json!({
            "name": "S", "subjects": ["s.*", "t"], "allow_msg_schedules": true, "allow_rollup_hdrs": true,
        });
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        Bench::new(&config, &[], 0)
    }

    fn schedule(bench: &mut Bench, subject: &str, pattern: &str, payload: Bytes) {
        let headers = headers::with_status("", &[(PATTERN, pattern), (TARGET, "t")]);
        bench.publish_with(subject, headers, payload);
    }

    #[tokio::test]
    async fn a_schedule_replaces_nothing_on_other_subjects() {
        let mut bench = stream_with(&json!({}));
        bench.publish_with("s.1", Bytes::new(), Bytes::new());
        schedule(&mut bench, "s.*", LATER, Bytes::new());
        assert_eq!(bench.settle(0).await, [1]);
    }

    #[tokio::test]
    async fn a_schedule_that_is_being_replaced_publishes_nothing_more() {
        let mut bench = stream_with(&json!({}));
        schedule(&mut bench, "s.1", LONG_AGO, Bytes::new());
        assert_eq!(bench.settle(0).await, [1]);
        // Its successor is on its way to the disk.
        schedule(&mut bench, "s.1", LATER, Bytes::new());
        bench.stream.publish_scheduled().await;
        assert_eq!(bench.settle(0).await, [2]);
        bench.stream.publish_scheduled().await;
        let later = json::parse_time("2200-01-01T00:00:00Z");
        assert_eq!(bench.stream.state.schedules.next_due(), later);

        // One whose successor could not be written counts again.
        schedule(&mut bench, "s.2", LONG_AGO, Bytes::new());
        assert_eq!(bench.settle(0).await, [2, 3]);
        schedule(&mut bench, "s.2", LATER, Bytes::new());
        bench.stream.publish_scheduled().await;
        let batch = std::mem::take(&mut bench.stream.batch);
        bench.stream.writing = Some((batch, Bytes::new()));
        bench.stream.written(Err(std::io::Error::other("full")));
        let soon = bench.stream.state.schedules.next_due().unwrap();
        assert!(soon <= json::now() + SECOND, "{soon}");

        // What is no schedule ends one, too.
        bench.publish_with("s.2", Bytes::new(), Bytes::new());
        bench.stream.state.schedules.set(3, 0);
        assert_eq!(bench.settle(0).await, [2, 3, 4]);
        bench.stream.publish_scheduled().await;
        assert!(bench.stream.batch.is_empty());
        assert_eq!(bench.stream.state.schedules.next_due(), later);
    }

    #[tokio::test]
    async fn what_is_due_together_is_published_a_write_at_a_time() {
        let mut bench = stream_with(&json!({}));
        const SIZE: usize = 1 << 20;
        for number in 0..20 {
            let payload = Bytes::from(vec![0; SIZE]);
            schedule(&mut bench, &format!("s.{number}"), LONG_AGO, payload);
        }
        bench.settle(0).await;
        for published in [8, 16, 20] {
            bench.stream.publish_scheduled().await;
            assert!(bench.stream.batch.bytes.len() < 9 * SIZE);
            bench.settle(0).await;
            assert_eq!(bench.stream.state.messages.count_on("t"), published);
        }
        assert_eq!(bench.stream.state.schedules.next_due(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_published_is_tried_again() {
        let mut bench = stream_with(&json!({}));
        schedule(&mut bench, "s.1", LONG_AGO, Bytes::from(vec![0; 1000]));
        bench.settle(0).await;
        bench.stream.state.config.max_msg_size = 500;
        bench.stream.publish_scheduled().await;
        assert!(bench.stream.batch.is_empty());
        let due = bench.stream.state.schedules.next_due().unwrap();
        assert!(due > json::now() && due <= json::now() + REST, "{due}");
    }

    #[tokio::test]
    async fn a_message_that_nobody_wants_ends_its_schedule_too() {
        let mut bench = stream_with(&json!({"retention": "interest"}));
        let consumer = json!({"name": "c", "filter_subject": "s.*", "ack_policy": "explicit"});
        let config: ConsumerConfig = json::parse(consumer.to_string().as_bytes()).unwrap();
        let config = config.checked(&ConsumerLimits::default()).unwrap();
        let saved = Change::ConsumerSaved(Box::new(SavedConsumer::new(1, config, 0, 0)));
        bench.stream.change(saved, true, Responder::nobody());
        bench.settle(0).await;
        schedule(&mut bench, "s.1", LONG_AGO, Bytes::new());
        schedule(&mut bench, "s.2", "@every 1h", Bytes::new());
        assert_eq!(bench.settle(0).await, [1, 2]);
        bench.stream.state.schedules.set(2, json::now());
        bench.stream.publish_scheduled().await;
        assert_eq!(bench.settle(0).await, [2]);
        let due = bench.stream.state.schedules.next_due().unwrap();
        assert!(due > json::now(), "{due}");
    }

    #[test]
    fn what_was_due_while_the_server_was_away_is_due_at_once() {
        let mut bench = stream_with(&json!({}));
        let state = &mut bench.stream.state;
        let stored = json::parse_time("2020-01-01T10:00:00.4Z").unwrap();
        state.add(1, "s.1", Position::default(), stored, 1);
        let block = headers::with_status("", &[(PATTERN, "@every 24h"), (TARGET, "t")]);
        state.note_schedule(1, stored, &block);
        let due = json::parse_time("2020-01-02T10:00:00Z");
        assert_eq!(state.schedules.next_due(), due);
        // What was published by it may be gone by the time of a restart.
        let again = "2020-01-03T10:00:00Z";
        let block = headers::with_status("", &[(SCHEDULER, "s.1"), (NEXT, again)]);
        state.note_schedule(2, stored, &block);
        let snapshot = serde_json::from_slice(&state.opening().snapshot).unwrap();
        state.schedules.set(1, due.unwrap());
        state.take_snapshot(snapshot, Instant::now());
        assert_eq!(state.schedules.next_due(), json::parse_time(again));
    }
}
