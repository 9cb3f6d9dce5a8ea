//! Tests of the log's files: segments, a torn end, snapshots.

use super::super::record::FRAME;
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

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    drop(log);
    let path = last_segment(dir.path());
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(written.end - 5).unwrap();
    let (mut log, seqs) = reopen(dir.path());
    assert_eq!(seqs, [1, 2]);
    append(&mut log, [4]);
    drop(log);
    assert_eq!(reopen(dir.path()).1, [1, 2, 4]);
}

#[test]
fn garbage_at_the_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = create(dir.path(), 1 << 20);
    let written = append(&mut log, 1..=3);
    drop(log);
    for garbage in [vec![0xff; 4096], vec![0xff; 100], vec![3, 0, 0]] {
        let file = File::options()
            .write(true)
            .open(last_segment(dir.path()))
            .unwrap();
        file.write_all_at(&garbage, written.end).unwrap();
        assert_eq!(reopen(dir.path()).1, [1, 2, 3]);
        assert_eq!(file.metadata().unwrap().len(), written.end);
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
    assert_eq!(append(&mut log, [4]).offset, written.end);
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
    log.delete(&log.dead_front(needed(|_| false)));
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
    let mut long = BytesMut::new();
    for seq in 100..=140 {
        record::encode(&mut long, &deleted(seq));
    }
    let first = segment_path(&dir.path().join("s"), 1);
    let mut bytes = fs::read(&first).unwrap();
    bytes.extend_from_slice(&long);
    fs::write(&first, &bytes).unwrap();
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
    log.delete(&log.dead_front(needed(|number| number == numbers[2])));
    let left: Vec<_> = log.segments.iter().map(|segment| segment.number).collect();
    assert_eq!(left, numbers[2..]);
    log.delete(&log.dead_front(needed(|_| false)));
    assert_eq!(log.segments.len(), 1);
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
    assert_eq!(append(1000), 1);
    assert_eq!(append(1000), 2);
}

#[test]
fn all_records_of_an_older_log_count_until_a_new_segment_says_what_there_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    fs::create_dir(&path).unwrap();
    let mut previous_len = 0;
    for number in 1..=2 {
        let mut bytes = BytesMut::new();
        let start = Record::PurgedBelow { seq: previous_len };
        let snapshot = Record::Snapshot(Bytes::from_static(SNAPSHOT));
        for record in [start, snapshot, deleted(number)] {
            record::encode(&mut bytes, &record);
        }
        previous_len = bytes.len() as u64;
        fs::write(segment_path(&path, number), &bytes).unwrap();
    }
    let reopen = || {
        let mut found = Vec::new();
        let log = Log::open(path.clone(), 100, |_, record, replay| {
            if let Record::Deleted { seq } = record {
                found.push((seq, replay));
            }
        });
        (log.unwrap(), found)
    };
    let (mut log, found) = reopen();
    assert_eq!(found, [(1, Replay::Whole), (2, Replay::Whole)]);
    append(&mut log, [3]);
    assert_eq!(reopen().1.last(), Some(&(3, Replay::Whole)));
    log.end_segment();
    append(&mut log, [4]);
    let stored = [1, 2, 3].map(|seq| (seq, Replay::Stored));
    assert_eq!(reopen().1, [&stored[..], &[(4, Replay::Whole)]].concat());
}
