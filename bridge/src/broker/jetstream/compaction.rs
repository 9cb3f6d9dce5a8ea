//! Giving back the disk of messages that are gone: when, and of which segments, and what follows each step. The work is done
//! elsewhere ([`crate::broker::store::rewrite`]).
//!
//! What was gone when the last segment was begun is said by its beginning, and may go from all segments before it. What has
//! gone since is repeated when the log is replayed, and has to stay until another segment is begun.

use std::io;
use std::time::{Duration, Instant};

use super::json;
use super::stream::Stream;
use crate::broker::store::live::Runs;
use crate::broker::store::log::{Group, Plan};
use crate::broker::store::rewrite::{Done, Job, Rewritten};
use crate::broker::store::syncer::StepOutcome;

/// A stream without messages begins a new segment when the others take more than this.
const MAX_EMPTY_BYTES: u64 = 1 << 20;
/// Other streams begin one when so many segments' worth of garbage can go.
const GARBAGE_SEGMENTS: u64 = 2;
/// How often a stream looks for garbage.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long it waits after a step that failed.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// What a stream knows of its compaction.
#[derive(Debug)]
pub(super) struct Compactor {
    /// What is to be done when the segment is on disk that is being begun.
    planned: Option<Compaction>,
    step: Option<Step>,
    next_check: Instant,
    /// After a step that failed: when it may be tried again.
    retry: Option<Instant>,
}

/// What is left to be done.
#[derive(Debug)]
struct Compaction {
    /// The messages that there were when the last segment was begun.
    live: Runs,
    plan: Plan,
}

#[derive(Debug)]
struct Step {
    outcome: StepOutcome,
    then: Then,
    rest: Compaction,
}

/// What follows when a step is done.
#[derive(Debug)]
enum Then {
    Delete(Vec<u64>),
    Replace(Group),
}

impl Compactor {
    pub(super) fn new(now: Instant) -> Self {
        Compactor {
            planned: None,
            step: None,
            next_check: now,
            retry: None,
        }
    }

    /// What came of the step under way; without end when there is none.
    pub(super) async fn step_done(&mut self) -> io::Result<Done> {
        match &mut self.step {
            Some(step) => (&mut step.outcome)
                .await
                .unwrap_or_else(|_| Err(io::Error::other("the rewriting thread is gone"))),
            None => std::future::pending().await,
        }
    }

    /// Takes note that no segment was begun.
    pub(super) fn forget_plan(&mut self) {
        self.planned = None;
    }
}

impl Stream {
    /// Plans what is to be done once the segment is on disk that begins with these messages. One compaction at a time.
    pub(super) fn plan_compaction(&mut self, live: Runs) {
        let is_due = self.compactor.retry.is_none_or(|at| Instant::now() >= at);
        if self.compactor.step.is_none() && is_due {
            let since = self.state.ids_since(json::now());
            let need = |segment| self.state.messages.need(segment, since);
            let plan = self.log.plan(need);
            self.compactor.planned = Some(Compaction { live, plan });
        }
    }

    /// Begins what was planned.
    pub(super) fn begin_compaction(&mut self) {
        if let Some(compaction) = self.compactor.planned.take() {
            self.compact(compaction);
        }
    }

    /// Takes the next step of a compaction.
    fn compact(&mut self, mut rest: Compaction) {
        let dead = std::mem::take(&mut rest.plan.dead);
        if !dead.is_empty() {
            let settling = self.log.settling(&dead);
            if settling.is_needed() {
                return self.step(Job::Settle(settling), Then::Delete(dead), rest);
            }
            if let Err(error) = self.delete_segments(&dead) {
                return self.compaction_failed(&error);
            }
        }
        while let Some(group) = rest.plan.groups.pop() {
            let kept = self.state.kept(rest.live.clone(), json::now());
            if let Some(rewriting) = self.log.rewriting(&group, kept) {
                return self.step(Job::Rewrite(rewriting), Then::Replace(group), rest);
            }
        }
        if self.compactor.retry.take().is_some() {
            let stream = &self.state.config.name;
            tracing::info!(stream, "a stream's log can be compacted again");
        }
    }

    fn step(&mut self, job: Job, then: Then, rest: Compaction) {
        let outcome = self.syncer.rewrite(job);
        self.compactor.step = Some(Step {
            outcome,
            then,
            rest,
        });
    }

    /// Takes note of what came of a step.
    pub(super) fn stepped(&mut self, outcome: io::Result<Done>) {
        let Some(Step { then, rest, .. }) = self.compactor.step.take() else {
            return;
        };
        match (outcome, then) {
            (Ok(Done::Rewritten(rewritten)), _) => self.put_in_place(rewritten, rest),
            (Ok(Done::Settled), Then::Delete(segments)) => match self.delete_segments(&segments) {
                Ok(()) => self.compact(rest),
                Err(error) => self.compaction_failed(&error),
            },
            (Err(error), Then::Replace(group)) if error.kind() == io::ErrorKind::InvalidData => {
                let stream = &self.state.config.name;
                tracing::error!(stream, %error, ?group, "leaving damaged segments as they are");
                self.log.spare(&group);
                self.compact(rest);
            }
            (Err(error), _) => self.compaction_failed(&error),
            (Ok(Done::Settled), Then::Replace(_)) => {}
        }
    }

    fn put_in_place(&mut self, mut rewritten: Rewritten, rest: Compaction) {
        let segments = rewritten.numbers.clone();
        let moved = std::mem::take(&mut rewritten.moved);
        let (id_bytes, last_id) = (rewritten.id_bytes, rewritten.last_id);
        if let Err(error) = self.log.replace(rewritten) {
            return self.compaction_failed(&error);
        }
        self.state
            .messages
            .relocate(&segments, &moved, id_bytes, last_id);
        // The others go when it is sure that the first has what was in them.
        let others = segments.get(1..).unwrap_or_default().to_vec();
        let settling = self.log.settling(&others);
        self.step(Job::Settle(settling), Then::Delete(others), rest);
    }

    fn compaction_failed(&mut self, error: &io::Error) {
        let retry = Instant::now() + RETRY_DELAY;
        if self.compactor.retry.replace(retry).is_none() {
            let stream = &self.state.config.name;
            tracing::warn!(stream, %error, "cannot give back the disk of messages that are gone; it is tried again every minute");
        }
    }

    fn delete_segments(&mut self, segments: &[u64]) -> io::Result<()> {
        self.state.messages.forget_segments(segments);
        self.log.delete(segments)
    }

    /// Looks, once in a while, whether much of the disk can be given back, and begins a new segment if so.
    pub(super) fn watch_garbage(&mut self, now: Instant) {
        if self.next_garbage_check().is_none_or(|next| now < next) {
            return;
        }
        self.compactor.next_check = now + CHECK_INTERVAL;
        let since = self.state.ids_since(json::now());
        let need = |segment| self.state.messages.need(segment, since);
        if self.failing {
            // A full disk has no room for a new segment. What consumers have done with these messages is forgotten with them.
            let dead = self.log.dead_front(need);
            if let Err(error) = self.delete_segments(&dead) {
                self.compaction_failed(&error);
            }
        } else if self.log.reclaimable(need) > self.tolerated_garbage() {
            self.log.end_segment();
            self.submit();
        }
    }

    /// When [`Stream::watch_garbage`] next has something to do.
    pub(super) fn next_garbage_check(&self) -> Option<Instant> {
        let is_busy = self.outcome.is_some() || self.compactor.step.is_some();
        let garbage = self
            .log
            .total_len()
            .saturating_sub(self.state.messages.disk_bytes);
        let is_much = garbage > self.tolerated_garbage();
        let Compactor {
            next_check, retry, ..
        } = self.compactor;
        let next = retry.map_or(next_check, |retry| retry.max(next_check));
        (is_much && !is_busy).then_some(next)
    }

    fn tolerated_garbage(&self) -> u64 {
        match self.state.messages.len() {
            _ if self.failing => 0,
            0 => MAX_EMPTY_BYTES,
            _ => GARBAGE_SEGMENTS * self.log.segment_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
