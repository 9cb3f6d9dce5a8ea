//! What is given to the broker at once: the events of several publications, each of which is answered
//! when its last event is durable.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Job;
use crate::{BusError, Event};

/// So many events are given to the broker together at most.
const TOGETHER: usize = 2_000;

/// Jobs whose events are published together.
#[derive(Default)]
pub(super) struct Load {
    events: Vec<Event>,
    /// How many of `events` are durable or given up.
    settled: usize,
    /// The jobs that are not done, each with the index behind its last event.
    jobs: VecDeque<(usize, Job)>,
}

impl Load {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A first job always finds room, however large it is.
    pub(super) fn has_room_for(&self, job: &Job) -> bool {
        self.events.is_empty() || self.events.len() + job.publish.events.len() <= TOGETHER
    }

    pub(super) fn push(&mut self, mut job: Job) {
        self.events.append(&mut job.publish.events);
        self.jobs.push_back((self.events.len(), job));
    }

    /// When the oldest job has to be done, if there is one.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.jobs.front().map(|(_, job)| job.publish.deadline)
    }

    pub(super) fn unpublished(&self) -> &[Event] {
        self.events.get(self.settled..).unwrap_or_default()
    }

    /// The next `count` events are durable.
    pub(super) fn published(&mut self, count: usize) {
        self.settled += count;
        while let Some((_, job)) = self.jobs.pop_front_if(|(end, _)| *end <= self.settled) {
            job.done.send(Ok(())).ok();
        }
    }

    /// The next event can never be published: its whole job fails.
    pub(super) fn refuse(&mut self, error: BusError) {
        if let Some((end, job)) = self.jobs.pop_front() {
            self.settled = end;
            job.done.send(Err(error)).ok();
        }
    }

    /// Leaves jobs whose time is over; their publishers have been told already.
    pub(super) fn give_up_expired(&mut self) {
        let now = Instant::now();
        while let Some((end, _)) = self
            .jobs
            .pop_front_if(|(_, job)| job.publish.deadline <= now)
        {
            self.settled = end;
        }
    }
}
