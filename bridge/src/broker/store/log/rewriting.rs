//! Which segments are to be rewritten or deleted, and putting in their place what was made of them ([`super::super::rewrite`]).

use std::fs;
use std::io;
use std::sync::Arc;

use super::super::rewrite::{Kept, Rewriting, Rewritten, Settling, Source};
use super::{Log, Segment, segment_path};

/// What is still needed of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::broker) struct Need {
    pub(in crate::broker) messages: u64,
    /// The records of these messages, and the ids that are to be kept.
    pub(in crate::broker) bytes: u64,
}

/// What is to become of the segments.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Plan {
    /// They are not needed any more.
    pub(in crate::broker) dead: Vec<u64>,
    pub(in crate::broker) groups: Vec<Group>,
}

/// Segments that follow one another and that one is to be made of.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct Group {
    numbers: Vec<u64>,
    messages: u64,
    bytes: u64,
    /// Over half of one of them is garbage.
    is_wasteful: bool,
}

impl Segment {
    fn garbage(&self, need: Need) -> u64 {
        self.len.saturating_sub(self.preamble + need.bytes)
    }

    /// Over half of it is garbage.
    fn is_wasteful(&self, need: Need) -> bool {
        self.garbage(need) > self.len / 2
    }
}

impl Log {
    /// What is to be done about the segments before another is begun. The last is not rewritten: if the beginning of the
    /// next should rot, it says best what state the stream was in.
    pub(in crate::broker) fn plan(&self, need: impl Fn(u64) -> Need) -> Plan {
        let mut plan = Plan::default();
        let mut group = Group::default();
        let last = self.segments.back().map(|last| last.number);
        for segment in &self.segments {
            let need = need(segment.number);
            if need.bytes == 0 {
                plan.dead.push(segment.number);
                continue;
            }
            let is_wasteful = segment.is_wasteful(need);
            let is_small = need.bytes < self.segment_bytes / 4;
            let stays =
                segment.is_spared || last == Some(segment.number) || !(is_wasteful || is_small);
            if stays || group.bytes + need.bytes > self.segment_bytes {
                plan.add(std::mem::take(&mut group));
            }
            if !stays {
                group.numbers.push(segment.number);
                group.messages += need.messages;
                group.bytes += need.bytes;
                group.is_wasteful |= is_wasteful;
            }
        }
        plan.add(group);
        plan
    }

    /// How many bytes of the disk a new segment, and what then is planned, would give back.
    pub(in crate::broker) fn reclaimable(&self, need: impl Fn(u64) -> Need) -> u64 {
        let garbage = |segment: &Segment| {
            let need = need(segment.number);
            match need.bytes {
                0 => segment.len,
                _ if segment.is_wasteful(need) && !segment.is_spared => segment.garbage(need),
                _ => 0,
            }
        };
        let beginning = self.segments.back().map_or(0, |last| last.preamble);
        let total: u64 = self.segments.iter().map(garbage).sum();
        total.saturating_sub(beginning)
    }

    /// The bytes of all segments.
    pub(in crate::broker) fn total_len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// What is needed to make one segment of a group; `None` if one of it is not there any more.
    pub(in crate::broker) fn rewriting(&self, group: &Group, kept: Kept) -> Option<Rewriting> {
        let source = |number: &u64| {
            let segment = self.segments.get(self.place_of(*number)?)?;
            Some(Source {
                number: *number,
                file: Arc::clone(&segment.file),
                len: segment.len,
            })
        };
        Some(Rewriting {
            dir: self.dir.clone(),
            sources: group.numbers.iter().map(source).collect::<Option<_>>()?,
            kept,
            messages: group.messages,
        })
    }

    /// What has to be on disk before segments are deleted: the names of others, and where those end of which only a
    /// deleted one knew. A crash may leave any of those that are deleted.
    pub(in crate::broker) fn settling(&self, doomed: &[u64]) -> Settling {
        let mut seals = Vec::new();
        let mut before: Option<&Segment> = None;
        for segment in &self.segments {
            let before = before.replace(segment).filter(|before| !before.is_whole);
            if let Some(before) = before
                && doomed.contains(&segment.number)
            {
                seals.push((Arc::clone(&before.file), before.len));
            }
        }
        Settling {
            seals,
            dir: self.dir.clone(),
        }
    }

    /// Puts what was made of segments in the place of the first of them. Readers that have the old file go on with it.
    pub(in crate::broker) fn replace(&mut self, rewritten: Rewritten) -> io::Result<()> {
        let first = rewritten.numbers.first().copied().unwrap_or_default();
        let place = self.place_of(first);
        let Some(segment) = place.and_then(|place| self.segments.get_mut(place)) else {
            rewritten.discard();
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        if let Err(error) = fs::rename(&rewritten.path, segment_path(&self.dir, first)) {
            rewritten.discard();
            return Err(error);
        }
        *segment = Segment {
            number: first,
            file: Arc::new(rewritten.file),
            len: rewritten.len,
            room: rewritten.len,
            preamble: rewritten.preamble,
            mark: 0,
            is_whole: true,
            is_spared: false,
        };
        Ok(())
    }

    /// Leaves segments alone that cannot be rewritten.
    pub(in crate::broker) fn spare(&mut self, group: &Group) {
        for segment in &mut self.segments {
            segment.is_spared |= group.numbers.contains(&segment.number);
        }
    }

    /// Deletes segments from the first on, but never the last. Those that are not settled ([`Log::settling`]) have to be at the
    /// front. One that cannot be deleted stays, and so do those right behind it: the next says how much of it counts.
    ///
    /// # Errors
    /// Why one could not be deleted.
    pub(in crate::broker) fn delete(&mut self, numbers: &[u64]) -> io::Result<()> {
        let last = self.segments.back().map(|last| last.number);
        let (mut refusal, mut is_needed) = (Ok(()), false);
        self.segments.retain(|segment| {
            if !numbers.contains(&segment.number) || last == Some(segment.number) {
                is_needed = false;
                return true;
            }
            if !is_needed
                && let Err(error) = fs::remove_file(segment_path(&self.dir, segment.number))
            {
                is_needed = error.kind() != io::ErrorKind::NotFound;
                if is_needed {
                    refusal = Err(error);
                }
            }
            is_needed
        });
        refusal
    }

    /// The segments at the front that are not needed, without the last.
    pub(in crate::broker) fn dead_front(&self, need: impl Fn(u64) -> Need) -> Vec<u64> {
        let numbers = self.segments.iter().map(|segment| segment.number);
        let earlier = numbers.take(self.segments.len().saturating_sub(1));
        let dead = earlier.take_while(|number| need(*number).bytes == 0);
        dead.collect()
    }
}

impl Plan {
    fn add(&mut self, group: Group) {
        if group.is_wasteful || group.numbers.len() > 1 {
            self.groups.push(group);
        }
    }
}
