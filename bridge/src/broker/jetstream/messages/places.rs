//! Where messages lie: what each segment of the log holds that is still needed, and what moves when one is rewritten.

use bytes::Bytes;

use super::super::chunk::{Chunk, Entry};
use super::Messages;
use crate::broker::store::live::{RunWriter, Runs};
use crate::broker::store::log::Need;
use crate::broker::store::record::{FRAME, ID_OVERHEAD};

/// What is needed of a segment.
#[derive(Debug, Default)]
pub(super) struct SegmentUse {
    messages: u64,
    bytes: u64,
    /// What the ids of its messages take, those that are gone too, and when the last of these was stored.
    id_bytes: u64,
    last_id: i64,
}

fn record_len(entry: &Entry) -> u64 {
    FRAME as u64 + u64::from(entry.position.len)
}

impl Messages {
    pub(super) fn count_in(&mut self, entry: &Entry) {
        let segment = self.segments.entry(entry.position.segment).or_default();
        segment.messages += 1;
        segment.bytes += record_len(entry);
        self.disk_bytes += record_len(entry);
    }

    pub(super) fn count_out(&mut self, entry: &Entry) {
        if let Some(segment) = self.segments.get_mut(&entry.position.segment) {
            segment.messages -= 1;
            segment.bytes -= record_len(entry);
            self.disk_bytes -= record_len(entry);
        }
    }

    /// Takes note that the id of a message is known by a segment's records.
    pub(in crate::broker::jetstream) fn note_id(&mut self, segment: u64, id: &str, time: i64) {
        if !id.is_empty() {
            let segment = self.segments.entry(segment).or_default();
            segment.id_bytes += ID_OVERHEAD + id.len() as u64;
            segment.last_id = segment.last_id.max(time);
        }
    }

    /// What is needed of a segment, when ids are known since a time.
    pub(in crate::broker::jetstream) fn need(&self, segment: u64, ids_since: i64) -> Need {
        let Some(segment) = self.segments.get(&segment) else {
            return Need::default();
        };
        let has_ids = segment.last_id >= ids_since;
        Need {
            messages: segment.messages,
            bytes: segment.bytes + if has_ids { segment.id_bytes } else { 0 },
        }
    }

    /// Takes note that segments are not there any more.
    pub(in crate::broker::jetstream) fn forget_segments(&mut self, segments: &[u64]) {
        for segment in segments {
            self.segments.remove(segment);
        }
    }

    /// Which messages there are, as runs of their sequences.
    pub(in crate::broker::jetstream) fn live(&self) -> Bytes {
        let mut runs = RunWriter::default();
        for (first, last) in self.chunks.values().flat_map(Chunk::runs) {
            runs.push(first, last);
        }
        runs.finish()
    }

    /// The messages that are in no run.
    pub(in crate::broker::jetstream) fn not_in(&self, live: Bytes) -> Vec<u64> {
        let mut live = Runs::new(live);
        let seqs = self.range(0).map(|entry| entry.seq);
        seqs.filter(|seq| !live.contains(*seq)).collect()
    }

    /// Takes note that the messages of some segments are in the first of them now: `moved` says where the bodies are of
    /// these messages, and of some that have gone since. The ids of the segment are counted anew.
    pub(in crate::broker::jetstream) fn relocate(
        &mut self,
        segments: &[u64],
        moved: &[(u64, u64)],
        id_bytes: u64,
        last_id: i64,
    ) {
        let (Some(first), Some(last)) = (segments.first().copied(), segments.last().copied())
        else {
            return;
        };
        // Each message that is there was moved.
        let begin = moved.first().map_or(u64::MAX, |(seq, _)| *seq);
        let end = moved.last().map_or(0, |(seq, _)| *seq);
        let old = self
            .chunks_from(begin)
            .take_while(|chunk| chunk.first_seq() <= end);
        let old = old.filter(|chunk| (first..=last).contains(&chunk.segment()));
        let old: Vec<u64> = old.map(Chunk::first_seq).collect();
        let old: Vec<Chunk> = old
            .iter()
            .filter_map(|seq| self.chunks.remove(seq))
            .collect();
        let mut places = moved.iter().copied();
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut segment = SegmentUse {
            id_bytes,
            last_id,
            ..SegmentUse::default()
        };
        for mut entry in old.iter().flat_map(Chunk::entries) {
            let place = places.find(|(seq, _)| *seq == entry.seq);
            entry.position.segment = first;
            entry.position.offset = place.map_or(0, |(_, offset)| offset);
            segment.messages += 1;
            segment.bytes += record_len(&entry);
            if !chunks.last_mut().is_some_and(|last| last.push(entry)) {
                let before = chunks.last().or_else(|| self.chunk_of(entry.seq));
                chunks.push(Chunk::new(entry).behind(before));
            }
        }
        self.forget_segments(segments);
        self.segments.insert(first, segment);
        let chunks = chunks.into_iter().map(|chunk| (chunk.first_seq(), chunk));
        self.chunks.extend(chunks);
        self.first = self.front();
    }
}
