//! Tests of the log's files: segments, a torn end, snapshots.

use std::ops::Range;

use super::super::record::{BATCH_HEAD, FRAME};
use super::super::rewrite::Job;
use super::super::write::ROOM;
use super::*;

const SNAPSHOT: &[u8] = b"{}";

fn opening() -> Opening {
    Opening {
        snapshot: Bytes::from_static(SNAPSHOT),
        live: Bytes::new(),
    }
}

fn create(dir: &Path, segment_bytes: u64) -> Log {
    Log::create(dir.join("s"), segment_bytes, opening()).unwrap()
}

/// Says of each segment that it is needed, or not.
fn needed(is_needed: impl Fn(u64) -> bool) -> impl Fn(u64) -> Need {
    move |number| Need {
        messages: 0,
        bytes: u64::from(is_needed(number)),
    }
}

fn deleted(seq: u64) -> Record {
    Record::Deleted { seq }
}

fn append(log: &mut Log, seqs: impl IntoIterator<Item = u64>) -> Written {
    let mut bytes = BytesMut::new();
    for seq in seqs {
        record::encode(&mut bytes, &deleted(seq));
    }
    let written = log.write(bytes.freeze(), opening).run().unwrap();
    let copy = Written {
        segment: written.segment,
        offset: written.offset,
        begun: None,
        end: written.end,
        room: written.room,
    };
    log.finish(written);
    copy
}

fn reopen(dir: &Path) -> (Log, Vec<u64>) {
    let mut seqs = Vec::new();
    let log = Log::open(dir.join("s"), 1 << 20, |_, record, _| match record {
        Record::Deleted { seq } => seqs.push(seq),
        Record::Snapshot(json) => assert_eq!(json, SNAPSHOT),
        Record::Live(_) => {}
        other => panic!("unexpected {other:?}"),
    });
    (log.unwrap(), seqs)
}

fn last_segment(dir: &Path) -> PathBuf {
    let dir = dir.join("s");
    segment_path(&dir, *segment_numbers(&dir).unwrap().last().unwrap())
}

#[test]
fn batches_come_back_in_order_over_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 100);
    for seq in 1..=40 {
        append(&mut log, [seq]);
    }
    assert!(log.segments.len() > 3);
    drop(log);
    assert_eq!(reopen(dir.path()).1, (1..=40).collect::<Vec<_>>());
}

/// Makes a log with a batch of three records, and one of several pages that is not acknowledged yet and may be the first of
/// its segment. Returns the last segment, and where in it the second batch is or, if it is the first, all of the segment.
fn unfinished(dir: &Path, is_first: bool) -> (PathBuf, Range<usize>) {
    let mut log = create(dir, 1 << 20);
    let before = append(&mut log, 1..=3);
    if is_first {
        log.end_segment();
    }
    let written = append(&mut log, 4..=700);
    assert!(written.end - written.offset > 3 * 4096);
    let begin = if is_first { 0 } else { before.end as usize };
    (last_segment(dir), begin..written.end as usize)
}

#[test]
fn a_batch_of_which_a_crash_left_out_any_pages_counts_not_at_all() {
    for is_first in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (path, batch) = unfinished(dir.path(), is_first);
        let whole = fs::read(&path).unwrap();
        for page_len in [512, 4096] {
            let pages: Vec<_> = (batch.start / page_len * page_len..batch.end)
                .step_by(page_len)
                .map(|at| at.max(batch.start)..(at + page_len).min(batch.end))
                .collect();
            for (number, page) in pages.iter().enumerate() {
                let mut without = whole.clone();
                without[page.clone()].fill(0);
                let mut alone = whole.clone();
                alone[batch.clone()].fill(0);
                alone[page.clone()].copy_from_slice(&whole[page.clone()]);
                for bytes in [without, alone] {
                    fs::write(&path, bytes).unwrap();
                    let (mut log, seqs) = reopen(dir.path());
                    assert_eq!(seqs, [1, 2, 3], "page {number} of {page_len} bytes");
                    append(&mut log, [9]);
                    drop(log);
                    assert_eq!(reopen(dir.path()).1, [1, 2, 3, 9]);
                    if is_first {
                        fs::remove_file(last_segment(dir.path())).unwrap();
                    }
                }
            }
        }
        let copies = fs::read_dir(dir.path().join("s")).unwrap();
        let mut copies = copies.map(|file| file.unwrap().path());
        assert!(
            !copies.any(|path| path.extension().unwrap() == "damaged"),
            "what was never acknowledged is no damage"
        );
    }
}

#[test]
fn a_small_batch_of_which_there_is_only_the_head_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    append(&mut log, 1..=3);
    let written = append(&mut log, [4]);
    drop(log);
    let path = last_segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[written.offset as usize..written.end as usize].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_eq!(reopen(dir.path()).1, [1, 2, 3]);
    assert!(!is_reported(&path));
}

#[test]
fn a_batch_that_is_cut_short_counts_not_at_all_and_is_written_over() {
    for is_first in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (path, batch) = unfinished(dir.path(), is_first);
        let whole = fs::read(&path).unwrap();
        for end in batch.clone().step_by(97) {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(reopen(dir.path()).1, [1, 2, 3], "cut at {end}");
        }
        let (mut log, _) = reopen(dir.path());
        append(&mut log, [4]);
        drop(log);
        assert_eq!(reopen(dir.path()).1, [1, 2, 3, 4]);
    }
}

/// Whether a copy is kept of a segment that is damaged.
fn is_reported(segment: &Path) -> bool {
    segment.with_extension("damaged").exists()
}

#[test]
fn garbage_at_the_end_does_not_count_and_is_kept() {
    for garbage in [vec![0xff; 4096], vec![0xff; 100], vec![3, 0, 0]] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = create(dir.path(), 1 << 20);
        let written = append(&mut log, 1..=3);
        drop(log);
        let path = last_segment(dir.path());
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&garbage, written.end).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (mut log, seqs) = reopen(dir.path());
        assert_eq!(seqs, [1, 2, 3]);
        append(&mut log, [4]);
        drop(log);
        assert_eq!(reopen(dir.path()).1, [1, 2, 3, 4]);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(is_reported(&path));
    }
}

#[test]
fn rot_of_any_byte_costs_no_more_than_its_record_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let mut records = Vec::new();
    for seqs in [1..=1, 2..=4, 5..=5, 6..=7] {
        let written = append(&mut log, seqs.clone());
        let len = (written.end - written.offset) / seqs.clone().count() as u64;
        for (place, seq) in seqs.clone().enumerate() {
            let begin = written.offset + place as u64 * len;
            records.push((seq, begin..begin + len, *seqs.end()));
        }
    }
    let begin = records[0].1.start;
    let end = records.last().unwrap().1.end;
    drop(log);
    let path = last_segment(dir.path());
    let whole = fs::read(&path).unwrap();
    for at in begin - BATCH_HEAD as u64..end {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 1 << (at % 8);
        fs::write(&path, bytes).unwrap();
        let (mut log, seqs) = reopen(dir.path());
        let hit = records.iter().find(|(_, place, _)| place.contains(&at));
        let is_lost = |seq: u64| {
            hit.is_some_and(|(hit, place, last)| {
                // Where the record behind a length is that cannot be right is not known, but where the next batch is.
                let in_length = at < place.start + 4;
                seq == *hit || in_length && (*hit..=*last).contains(&seq)
            })
        };
        let mut expected: Vec<_> = (1..=7).filter(|seq| !is_lost(*seq)).collect();
        assert_eq!(seqs, expected, "changed at {at}");
        assert!(is_reported(&path), "changed at {at}");
        expected.push(8);
        append(&mut log, [8]);
        let added = last_segment(dir.path());
        drop(log);
        assert_eq!(reopen(dir.path()).1, expected, "changed at {at}");
        assert!(is_reported(&path), "changed at {at}");
        fs::remove_file(path.with_extension("damaged")).unwrap();
        fs::remove_file(added).unwrap();
    }
}

#[test]
fn a_message_that_holds_the_bytes_of_a_batch_is_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let log = create(dir.path(), 1 << 20);
    let mark = log.segments[0].mark;
    let mut forged = BytesMut::new();
    for mark in [mark ^ 2, mark] {
        let mut record = BytesMut::new();
        record::encode(&mut record, &deleted(9));
        let head = Record::Batch {
            len: record.len() as u64,
            checksum: crc32fast::hash(&record),
            mark,
        };
        record::encode(&mut forged, &head);
        forged.unsplit(record);
        let mut bytes = BytesMut::new();
        record::encode(&mut bytes, &Record::Live(forged.clone().freeze()));
        let written = log.write(bytes.freeze(), opening).run().unwrap();
        // What it holds could be found when its own head is damaged; who knows the mark would have it count.
        let at = written.offset - 20;
        log.segments[0].file.write_all_at(&[0xee], at).unwrap();
        let expected: &[u64] = if mark == log.segments[0].mark {
            &[9]
        } else {
            &[]
        };
        assert_eq!(reopen(dir.path()).1, expected);
    }
}

#[test]
fn room_is_written_over_also_after_a_restart_and_given_back_at_the_end_of_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 2 * ROOM);
    let written = append(&mut log, 1..=3);
    let file = log.segments[0].file.clone();
    let len = || file.metadata().unwrap().len();
    assert_eq!((written.room, len()), (ROOM, ROOM));
    drop(log);
    let (mut log, seqs) = reopen(dir.path());
    assert_eq!(seqs, [1, 2, 3]);
    let offset = written.end + BATCH_HEAD as u64;
    assert_eq!(append(&mut log, [4]).offset, offset);
    assert_eq!(len(), ROOM);
    drop(log);
    let mut log = Log::open(dir.path().join("s"), 200, |_, _, _| {}).unwrap();
    for seq in 5..=20 {
        append(&mut log, [seq]);
    }
    assert!(log.segments.len() > 1);
    assert_eq!(len(), log.segments[0].len);
    drop(log);
    assert_eq!(reopen(dir.path()).1, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_damaged_record_in_the_middle_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    drop(log);
    let file = File::options()
        .write(true)
        .open(last_segment(dir.path()))
        .unwrap();
    let record_len = (written.end - written.offset) / 3;
    file.write_all_at(&[0xee], written.offset + record_len + FRAME as u64 + 6)
        .unwrap();
    assert_eq!(reopen(dir.path()).1, [1, 3]);
}

#[test]
fn a_segment_that_was_never_finished_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    append(&mut log, [1]);
    drop(log);
    fs::write(segment_path(&dir.path().join("s"), 2), b"half").unwrap();
    let (mut log, seqs) = reopen(dir.path());
    assert_eq!(seqs, [1]);
    append(&mut log, [2]);
    drop(log);
    assert_eq!(reopen(dir.path()).1, [1, 2]);
}

#[test]
fn what_a_failed_write_left_behind_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    append(&mut log, [1]);
    // The bytes reached the file, but the broker was told that they had not.
    let mut lost = BytesMut::new();
    record::encode(&mut lost, &deleted(2));
    log.write(lost.freeze(), opening).run().unwrap();
    log.failed();
    append(&mut log, [3]);
    assert_eq!(log.segments.len(), 2);
    drop(log);
    assert_eq!(reopen(dir.path()).1, [1, 3]);
}

#[test]
fn rot_in_the_length_of_a_record_cuts_off_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 100);
    let damaged = append(&mut log, [1]);
    for seq in 2..=40 {
        append(&mut log, [seq]);
    }
    let (first, last) = (log.segments[0].clone(), log.segments.len());
    assert!(last > 3 && damaged.segment == first.number && damaged.end < first.len);
    drop(log);
    first.file.write_all_at(&[0xff; 3], damaged.offset).unwrap();
    for _ in 0..2 {
        let (_, seqs) = reopen(dir.path());
        assert!(!seqs.contains(&1) && seqs.ends_with(&[39, 40]), "{seqs:?}");
        assert_eq!(first.file.metadata().unwrap().len(), first.len);
    }
    // What of it can be read is no longer needed, but the rest may be, and is not cut off with the next segment either.
    let log = reopen(dir.path()).0;
    assert!(!log.settling(&[log.segments[1].number]).is_needed());
    drop(log);
    let mut log = reopen(dir.path()).0;
    log.delete(&log.dead_front(needed(|_| false))).unwrap();
    let kept = segment_path(&dir.path().join("s"), first.number).with_extension("damaged");
    assert_eq!(fs::metadata(kept).unwrap().len(), first.len);
}

#[test]
fn a_segment_without_a_beginning_takes_nothing_from_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 100);
    for seq in 1..=20 {
        append(&mut log, [seq]);
    }
    let second = log.segments[1].clone();
    drop(log);
    // The first is made longer than the second, whose length the third knows.
    let first = segment_path(&dir.path().join("s"), 1);
    let mut log = Log::open(dir.path().join("s"), 1 << 20, |_, _, _| {}).unwrap();
    log.segments.truncate(1);
    append(&mut log, 100..=140);
    drop(log);
    let bytes = fs::read(&first).unwrap();
    second.file.write_all_at(&[0xee], FRAME as u64 + 1).unwrap();
    let (_, seqs) = reopen(dir.path());
    assert!(seqs.contains(&140) && seqs.ends_with(&[19, 20]), "{seqs:?}");
    assert_eq!(fs::metadata(&first).unwrap().len(), bytes.len() as u64);
}

#[test]
fn a_segment_whose_successor_is_unusable_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    let first = log.segments[0].clone();
    drop(log);
    fs::write(segment_path(&dir.path().join("s"), 2), b"half").unwrap();
    let record_len = (written.end - written.offset) / 3;
    first
        .file
        .write_all_at(&[0xff; 3], written.offset + record_len)
        .unwrap();
    let (mut log, seqs) = reopen(dir.path());
    assert_eq!(seqs, [1]);
    append(&mut log, [4]);
    drop(log);
    assert_eq!(first.file.metadata().unwrap().len(), written.room);
    assert_eq!(reopen(dir.path()).1, [1, 4]);
}

#[test]
fn segments_are_dropped_from_the_front_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1);
    for seq in 1..=4 {
        log.end_segment();
        append(&mut log, [seq]);
    }
    let numbers: Vec<_> = log.segments.iter().map(|segment| segment.number).collect();
    log.delete(&log.dead_front(needed(|number| number == numbers[2])))
        .unwrap();
    let left: Vec<_> = log.segments.iter().map(|segment| segment.number).collect();
    assert_eq!(left, numbers[2..]);
    log.delete(&log.dead_front(needed(|_| false))).unwrap();
    assert_eq!(log.segments.len(), 1);
}

/// A log of three segments, the first of which has records that were refused.
fn with_refused_records(dir: &Path) -> Log {
    let mut log = create(dir, 1 << 20);
    append(&mut log, [1]);
    let mut refused = BytesMut::new();
    record::encode(&mut refused, &deleted(7));
    log.write(refused.freeze(), opening).run().unwrap();
    log.failed();
    append(&mut log, [2]);
    log.end_segment();
    append(&mut log, [3]);
    log
}

#[test]
fn a_segment_that_cannot_be_deleted_brings_back_nothing_that_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = with_refused_records(dir.path());
    let first = segment_path(log.dir(), 1);
    let elsewhere = first.with_extension("elsewhere");
    // A folder is no file that can be deleted.
    fs::rename(&first, &elsewhere).unwrap();
    fs::create_dir(&first).unwrap();
    log.delete(&[1, 2]).unwrap_err();
    fs::remove_dir(&first).unwrap();
    fs::rename(&elsewhere, &first).unwrap();
    assert_eq!(reopen(dir.path()).1, [1, 2, 3]);
    assert_eq!(log.dead_front(needed(|_| false)), [1, 2]);
    log.delete(&[1, 2]).unwrap();
    assert_eq!(reopen(dir.path()).1, [3]);
}

#[test]
fn segments_that_are_settled_bring_back_nothing_that_was_refused_whichever_of_them_a_crash_leaves()
{
    for left in [[1, 3], [2, 3]] {
        let dir = tempfile::tempdir().unwrap();
        let log = with_refused_records(dir.path());
        Job::Settle(log.settling(&[1, 2])).run().unwrap();
        let deleted = 3 - left[0];
        fs::remove_file(segment_path(log.dir(), deleted)).unwrap();
        assert_eq!(reopen(dir.path()).1, left);
    }
}

#[test]
fn records_are_read_where_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    append(&mut log, 1..=2);
    let mut positions = Vec::new();
    drop(log);
    let log = Log::open(dir.path().join("s"), 1 << 20, |position, _, _| {
        positions.push(position)
    })
    .unwrap();
    let bodies = log.reader(positions).read().unwrap();
    let records: Vec<_> = bodies
        .into_iter()
        .filter_map(record::decode)
        .skip(2)
        .collect();
    assert_eq!(records, [deleted(1), deleted(2)]);
}

#[test]
fn a_state_that_is_larger_than_a_segment_begins_no_new_one_with_every_batch() {
    let dir = tempfile::tempdir().unwrap();
    let large = Opening {
        snapshot: Bytes::from_static(&[b'x'; 10_000]),
        live: Bytes::new(),
    };
    let mut log = Log::create(dir.path().join("s"), 100, large.clone()).unwrap();
    let mut append = |count| {
        for seq in 0..count {
            let mut bytes = BytesMut::new();
            record::encode(&mut bytes, &deleted(seq));
            let written = log.write(bytes.freeze(), || large.clone()).run().unwrap();
            log.finish(written);
        }
        log.segments.len()
    };
    assert_eq!(append(500), 1);
    assert_eq!(append(1000), 2);
}

#[test]
fn records_count_that_an_older_broker_added_behind_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    let file = Arc::clone(&log.segments[0].file);
    drop(log);
    let mut added = BytesMut::new();
    for seq in 4..=6 {
        record::encode(&mut added, &deleted(seq));
    }
    file.write_all_at(&added, written.end).unwrap();
    let (mut log, seqs) = reopen(dir.path());
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    append(&mut log, 7..=8);
    drop(log);
    assert_eq!(reopen(dir.path()).1, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(!is_reported(&last_segment(dir.path())));
}

/// A log of two segments without batches, as older brokers wrote them.
fn older(dir: &Path, beginning: impl Fn(u64) -> Vec<Record>) {
    let path = dir.join("s");
    fs::create_dir(&path).unwrap();
    let mut previous_len = 0;
    for number in 1..=2 {
        let mut bytes = BytesMut::new();
        let records = [deleted(10 * number), deleted(10 * number + 1)];
        for record in beginning(previous_len).into_iter().chain(records) {
            record::encode(&mut bytes, &record);
        }
        previous_len = bytes.len() as u64;
        fs::write(segment_path(&path, number), &bytes).unwrap();
    }
}

fn reopen_with_replay(dir: &Path) -> (Log, Vec<(u64, Replay)>) {
    let mut found = Vec::new();
    let log = Log::open(dir.join("s"), 100, |_, record, replay| {
        if let Record::Deleted { seq } = record {
            found.push((seq, replay));
        }
    });
    (log.unwrap(), found)
}

#[test]
fn all_records_of_an_older_log_count_until_a_new_segment_says_what_there_was() {
    let dir = tempfile::tempdir().unwrap();
    older(dir.path(), |previous_len| {
        let start = Record::PurgedBelow { seq: previous_len };
        vec![start, Record::Snapshot(Bytes::from_static(SNAPSHOT))]
    });
    let (mut log, found) = reopen_with_replay(dir.path());
    assert_eq!(found, [10, 11, 20, 21].map(|seq| (seq, Replay::Whole)));
    append(&mut log, [30]);
    drop(log);
    let stored = [10, 11, 20, 21].map(|seq| (seq, Replay::Stored));
    let expected = [&stored[..], &[(30, Replay::Whole)]].concat();
    assert_eq!(reopen_with_replay(dir.path()).1, expected);
}

#[test]
fn a_log_from_before_there_were_batches_is_read_and_cut_off_as_it_was_and_goes_on_in_a_new_segment()
{
    let dir = tempfile::tempdir().unwrap();
    older(dir.path(), |previous_len| {
        let start = Record::Start {
            previous_len,
            is_rewritten: false,
            mark: 0,
        };
        let snapshot = Record::Snapshot(Bytes::from_static(SNAPSHOT));
        vec![start, snapshot, Record::Live(Bytes::new())]
    });
    let stored = [10, 11].map(|seq| (seq, Replay::Stored));
    let whole = [20, 21].map(|seq| (seq, Replay::Whole));
    let all = [stored, whole].concat();
    assert_eq!(reopen_with_replay(dir.path()).1, all);
    let last = last_segment(dir.path());
    let file = File::options().write(true).open(&last).unwrap();
    file.set_len(fs::metadata(&last).unwrap().len() - 1)
        .unwrap();
    let (mut log, found) = reopen_with_replay(dir.path());
    assert_eq!(found, all[..3]);
    append(&mut log, [30]);
    drop(log);
    let numbers = segment_numbers(&dir.path().join("s")).unwrap();
    assert_eq!(numbers, [1, 2, 3]);
    let stored = [10, 11, 20].map(|seq| (seq, Replay::Stored));
    let expected = [&stored[..], &[(30, Replay::Whole)]].concat();
    assert_eq!(reopen_with_replay(dir.path()).1, expected);
}

#[test]
fn what_is_not_as_it_was_written_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    let (len, step) = (13, FRAME + 13);
    let positions: Vec<_> = (0..3)
        .map(|place| Position {
            segment: written.segment,
            offset: written.offset + (place * step + FRAME) as u64,
            len,
        })
        .collect();
    assert_eq!(log.reader(positions.clone()).read().unwrap().len(), 3);
    let path = segment_path(log.dir(), 1);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let second = written.offset + step as u64;
    for at in second..second + step as u64 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        // Those before it can be read all the same.
        let bodies = log.reader(positions.clone()).read().unwrap();
        assert_eq!(bodies.len(), 1, "changed at {at}");
        let refused = log.reader(positions[1..].to_vec()).read().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        file.write_all_at(&byte, at).unwrap();
    }
    assert_eq!(log.reader(positions).read().unwrap().len(), 3);
}
