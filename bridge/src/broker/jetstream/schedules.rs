//! Messages that are published later, once or again and again: their publisher stores what is to be published and when, under
//! a subject of its own, and the stream then stores a message under the target.
//!
//! When a schedule is due next is in memory alone. After a restart it follows from the schedule and from what was published by
//! it last; what should have been published meanwhile is published once.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta};
use chrono_tz::Tz;

use super::cron::Cron;
use super::error::{self, Result};
use super::go_duration;
use super::json;
use super::lifetimes::{Lifetime, TTL};
use super::release::{ROLLUP, Rollup};
use super::state::{MESSAGE_ID, State};
use super::stream::Stream;
use crate::broker::headers;
use crate::broker::protocol::Message;
use crate::broker::store::record::StoredMessage;
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

const SECOND: i64 = 1_000_000_000;
/// How many messages are published in a row, so that others have their turn.
const MAX_IN_A_ROW: usize = 256;

/// When a schedule is due.
#[derive(Debug, PartialEq)]
struct Schedule {
    next: DateTime<FixedOffset>,
    repeats: bool,
}

impl Schedule {
    /// What the headers of a message say, whose schedule was last due at a time.
    fn of(block: &[u8], last: i64, now: i64) -> Result<Option<Self>> {
        let zone = headers::value(block, ZONE).map(|zone| zone.parse::<Tz>());
        let zone = zone.transpose().map_err(|_| error::SCHEDULE_ZONE)?;
        match headers::value(block, PATTERN) {
            None | Some("") => Ok(None),
            Some(pattern) => match Self::parse(pattern, zone, last, now) {
                Some(schedule) => Ok(Some(schedule)),
                None => Err(error::SCHEDULE_PATTERN),
            },
        }
    }

    fn parse(pattern: &str, zone: Option<Tz>, last: i64, now: i64) -> Option<Self> {
        if let Some(time) = pattern.strip_prefix("@at ") {
            let next = DateTime::parse_from_rfc3339(time).ok()?;
            return zone.is_none().then_some(Schedule {
                next,
                repeats: false,
            });
        }
        let now = DateTime::from_timestamp_nanos(now);
        let after = DateTime::from_timestamp_nanos(last);
        // What should have happened several times meanwhile happens once.
        let latest = |next: &dyn Fn(DateTime<_>) -> Option<DateTime<Tz>>| {
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
            let zone = zone.unwrap_or(Tz::UTC);
            latest(&|time| cron.next_after(time.with_timezone(&zone)))?
        };
        Some(Schedule {
            next: next.fixed_offset(),
            repeats: true,
        })
    }

    fn due(&self) -> i64 {
        self.next.timestamp_nanos_opt().unwrap_or(i64::MAX)
    }
}

/// The nearest full second.
fn rounded(time: DateTime<chrono::Utc>) -> DateTime<Tz> {
    let nanos = time.timestamp_nanos_opt().unwrap_or(i64::MAX);
    let seconds = nanos.saturating_add(SECOND / 2).div_euclid(SECOND);
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or(time);
    time.with_timezone(&Tz::UTC)
}

/// Which messages are schedules, by their sequences, and when they are due.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    due: BTreeSet<(i64, u64)>,
    due_of: HashMap<u64, i64>,
    /// Those whose message is on its way to the disk.
    under_way: HashSet<u64>,
}

impl Schedules {
    fn set(&mut self, seq: u64, due: i64) {
        self.remove(seq);
        self.due_of.insert(seq, due);
        self.due.insert((due, seq));
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(due) = self.due_of.remove(&seq) {
            self.due.remove(&(due, seq));
        }
        self.under_way.remove(&seq);
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
        if let Ok(Some(schedule)) = Schedule::of(headers, time, json::now()) {
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
            self.schedules.set(seq, due);
        }
    }

    /// Takes out the schedule that a message puts an end to.
    pub(super) fn end_schedule(&mut self, seq: u64, headers: &[u8]) {
        if let (Some(scheduler), Some(PURGE)) = scheduled_by(headers)
            && subjects::is_literal(scheduler)
        {
            self.roll_up(seq, scheduler, Some(Rollup::Subject));
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
    pub(super) fn check_schedule(&self, message: &mut Message) -> Result<()> {
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
    fn is_schedule(&self, subject: &str) -> Option<bool> {
        let unsynced = self
            .unsynced()
            .filter(|message| *message.subject == *subject);
        if let Some(message) = unsynced.last() {
            let pattern = headers::value(&message.headers, PATTERN);
            return Some(pattern.is_some_and(|pattern| !pattern.is_empty()));
        }
        let last = self.state.messages.last_on(subject)?;
        Some(self.state.schedules.contains(last))
    }

    /// Publishes what is due.
    pub(super) async fn publish_scheduled(&mut self) {
        for _ in 0..MAX_IN_A_ROW {
            let Some((seq, due)) = self.state.schedules.take_due(json::now()) else {
                return;
            };
            let Ok(schedule) = self.read(seq).await else {
                self.state.schedules.remove(seq);
                continue;
            };
            let source = headers::value(&schedule.headers, SOURCE);
            let source = source.and_then(|source| self.state.messages.last_on(source));
            let source = match source {
                Some(source) => self.read(source).await.ok(),
                None => None,
            };
            let message = scheduled(&schedule, source.as_ref(), due);
            let taken = message.map(|message| {
                let message = self.transformed(message);
                self.take_in_or_skip(message)
            });
            if !matches!(taken, Some(Ok(_))) {
                self.state.schedules.remove(seq);
            }
        }
    }
}

/// What a schedule has published: its own content, or that of the last message of its source.
fn scheduled(
    schedule: &StoredMessage,
    source: Option<&StoredMessage>,
    due: i64,
) -> Option<Message> {
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
    Some(Message {
        subject: value(TARGET)?.into(),
        reply: None,
        headers: headers::extended(&kept, &more),
        payload: Bytes::clone(&content.payload),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let message = scheduled(&schedule, None, json::now()).unwrap();
        assert_eq!((&*message.subject, &*message.payload), ("t", &b"p"[..]));
        let value = |name| headers::value(&message.headers, name);
        assert_eq!((value("Own"), value(TTL)), (Some("x"), Some("5m")));
        assert_eq!((value(MESSAGE_ID), value(ROLLUP)), (None, None));
        assert_eq!((value(PATTERN), value(TARGET)), (None, None));
        assert_eq!(value(SCHEDULER), Some("s"));
        assert!(json::parse_time(value(NEXT).unwrap()).is_some());
    }
}
