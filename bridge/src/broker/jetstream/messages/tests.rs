//! Tests of the index against what a plain list of messages says.

use super::super::filter::Filter;
use super::super::retention::Limits;
use super::search::Search;
use super::*;

fn filled() -> Messages {
    let mut messages = Messages::default();
    for (seq, subject) in [(1, "a.x"), (2, "a.y"), (3, "a.x"), (4, "b"), (5, "a.y")] {
        let position = Position {
            segment: seq / 3,
            offset: seq,
            len: 1,
        };
        messages.insert(seq, subject, position, seq as i64 * 10, 100);
    }
    messages
}

#[test]
fn wanted_messages_are_found_and_counted() {
    let messages = filled();
    for (patterns, from, first, count) in [
        (vec![], 2, Some(2), 4),
        (vec!["a.x"], 2, Some(3), 1),
        (vec!["a.x"], 4, None, 0),
        (vec!["a.*"], 3, Some(3), 2),
        (vec!["b", "a.y"], 3, Some(4), 2),
        (vec!["c"], 0, None, 0),
        (vec!["x.*", "a.z", "b", "*.y", "c"], 0, Some(2), 3),
        (vec!["x.*", "a.z", "b", "*.y", "c"], 3, Some(4), 2),
        (vec!["x.*", "a.z", "b", "*.y", "c"], 6, None, 0),
    ] {
        let filter = Filter::of(&patterns);
        assert_eq!(
            messages.next_wanted(from, &filter),
            first,
            "{patterns:?} from {from}"
        );
        assert_eq!(
            messages.count_wanted(from, &filter),
            count,
            "{patterns:?} from {from}"
        );
    }
    assert_eq!(
        (
            messages.last_on("a.*"),
            messages.last_on("a.x"),
            messages.last_on("c")
        ),
        (Some(5), Some(3), None)
    );
    assert_eq!(messages.first_since(25), Some(3));
}

#[test]
fn removals_leave_holes_and_dead_segments() {
    let mut messages = filled();
    for seq in [1, 2, 4] {
        messages.remove(seq).unwrap();
    }
    assert!(messages.remove(4).is_none());
    assert_eq!(
        (messages.first_seq(), messages.last_seq, messages.bytes),
        (3, 5, 200)
    );
    assert_eq!(
        (messages.deleted(10), messages.deleted_count()),
        (vec![4], 1)
    );
    assert_eq!(
        [0, 1].map(|segment| messages.need(segment, 0).messages),
        [0, 2]
    );
    assert_eq!(messages.subject_count(), 2);
    messages.remove(3);
    messages.remove(5);
    assert_eq!(
        (messages.first_seq(), messages.last_seq, messages.len()),
        (6, 5, 0)
    );
}

#[test]
fn purges_are_bounded_by_filter_sequence_and_count() {
    let messages = filled();
    assert_eq!(messages.to_purge(&Filter::All, None, 0), [1, 2, 3, 4, 5]);
    assert_eq!(messages.to_purge(&Filter::All, Some(3), 0), [1, 2]);
    assert_eq!(messages.to_purge(&Filter::of(&["a.*"]), None, 1), [1, 2, 3]);
}

/// What the index was before it was compact, for comparison.
fn plain(seq: u64) -> (String, Position, u64) {
    let position = Position {
        segment: seq / 1000,
        offset: (seq % 1000) * 250,
        len: 242,
    };
    (format!("s.{}", seq % 7), position, 247)
}

fn many(count: u64) -> Messages {
    let mut messages = Messages::default();
    for seq in 1..=count {
        let (subject, position, size) = plain(seq);
        let time = 1_700_000_000_000_000_000 + seq as i64 * 5_700;
        messages.insert(seq, &subject, position, time, size);
    }
    messages
}

#[test]
fn a_message_takes_a_few_bytes_of_memory() {
    let messages = many(100_000);
    let bytes: usize = messages.chunks.values().map(Chunk::memory).sum();
    let each = bytes as f64 / 100_000.0;
    assert!(each < 8.0, "{each} bytes a message");
}

#[test]
fn any_order_of_removals_leaves_the_right_messages() {
    let mut messages = many(3000);
    let mut left: std::collections::BTreeMap<u64, String> =
        (1..=3000).map(|seq| (seq, plain(seq).0)).collect();
    let mut seed = 7_u64;
    while left.len() > 5 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let from = (seed >> 33) % 3000;
        let Some(seq) = left.range(from..).next().map(|(seq, _)| *seq) else {
            continue;
        };
        let subject = left.remove(&seq).unwrap();
        assert_eq!(messages.remove(seq).as_deref(), Some(&*subject));
        assert!(!messages.contains(seq) && messages.remove(seq).is_none());
        if left.len().is_multiple_of(100) {
            let one = Filter::of(&[&subject]);
            let on_one = |(_, other): &(&u64, &String)| **other == subject;
            assert_eq!(messages.first_seq(), *left.keys().next().unwrap());
            assert_eq!(
                messages.next_wanted(from, &one),
                left.range(from..).find(on_one).map(|(seq, _)| *seq)
            );
            assert_eq!(
                messages.count_wanted(from, &one),
                left.range(from..).filter(on_one).count() as u64
            );
            assert_eq!(
                messages.count_wanted(from, &Filter::All),
                left.range(from..).count() as u64
            );
            assert_eq!(
                messages.last_on(&subject),
                left.iter().filter(on_one).map(|(seq, _)| *seq).max()
            );
            let seqs: Vec<u64> = messages.range(0).map(|entry| entry.seq).collect();
            assert_eq!(seqs, left.keys().copied().collect::<Vec<_>>());
            assert_eq!(messages.bytes, left.len() as u64 * 247);
            let holes = messages.deleted(usize::MAX).len() as u64;
            assert_eq!(holes, messages.deleted_count());
        }
    }
}

/// It would take minutes if each chunk that becomes empty moved those behind it.
#[test]
fn a_purge_may_empty_very_many_chunks() {
    const EACH: u64 = 150_000;
    let mut messages = Messages::default();
    for number in 1..=2 * EACH {
        let subject = if number <= EACH { "stays" } else { "goes" };
        let position = Position {
            segment: 1,
            offset: number,
            len: 1,
        };
        // As far from one another as the messages of one chunk are not.
        let seq = number * u64::from(super::super::chunk::CAPACITY);
        messages.insert(seq, subject, position, 0, 1);
    }
    let goes = messages.to_purge(&Filter::of(&["goes"]), None, 0);
    assert_eq!(messages.chunks.len() as u64, 2 * EACH);
    for seq in goes {
        messages.remove(seq).unwrap();
    }
    assert_eq!(messages.chunks.len() as u64, EACH);
    assert_eq!(messages.len(), messages.count_on("stays"));
}

const SUBJECTS: u64 = 50_000;

/// Messages up to a sequence, each on its subject.
fn on_subjects(last: u64, subject_of: impl Fn(u64) -> String) -> Messages {
    let mut messages = Messages::default();
    for seq in 1..=last {
        let subject = subject_of(seq);
        let position = Position {
            segment: 1,
            offset: seq,
            len: 1,
        };
        messages.insert(seq, &subject, position, 0, 1);
    }
    messages
}

/// So many messages on each of very many subjects, as far from one another as can be.
fn rounds(count: u64) -> Messages {
    on_subjects(count * SUBJECTS, |seq| format!("s.{}", seq % SUBJECTS))
}

#[test]
fn wanted_subjects_are_those_of_their_patterns_in_order() {
    let mut messages = Messages::default();
    let names = ["a.b", "a", "b.a", "a.c.d", "a.b.c", "ab", "a.b.d", "a.bc"];
    for (seq, name) in (1..).zip(names) {
        messages.insert(seq, name, Position::default(), 0, 1);
    }
    messages.remove(5).unwrap();
    for patterns in [
        vec![],
        vec!["a"],
        vec!["a.b"],
        vec!["a.*"],
        vec!["a.>"],
        vec!["*.a"],
        vec!["a.*.d", "b.>"],
        vec!["a.b", "a.b.>", "a.b.d"],
        vec!["ab", "a", "c", "b.a", "a.bc"],
    ] {
        let filter = Filter::of(&patterns);
        let mut expected: Vec<_> = names.into_iter().filter(|name| *name != "a.b.c").collect();
        expected.retain(|name| filter.takes(name));
        expected.sort_unstable();
        let wanted: Vec<_> = messages.subjects(&filter).map(|(name, _)| name).collect();
        assert_eq!(wanted, expected, "{patterns:?}");
    }
}

/// It would take minutes if each were searched for from the end.
#[test]
fn the_last_messages_of_very_many_subjects_are_found_at_once() {
    let mut messages = rounds(2);
    let lasts: Vec<u64> = (SUBJECTS + 1..=2 * SUBJECTS).collect();
    let firsts: Vec<u64> = (1..=SUBJECTS).collect();
    let last_of_each = |messages: &Messages, from, up_to| {
        messages.last_of_each(&Filter::of(&["s.*"]), from, up_to)
    };
    assert_eq!(last_of_each(&messages, 0, u64::MAX), lasts);
    assert_eq!(last_of_each(&messages, 0, SUBJECTS), firsts);
    let between = (SUBJECTS / 2..=SUBJECTS + 10).collect::<Vec<_>>();
    assert_eq!(last_of_each(&messages, between[0], SUBJECTS + 10), between);
    for seq in lasts {
        messages.remove(seq).unwrap();
    }
    assert_eq!(last_of_each(&messages, 0, u64::MAX), firsts);
    assert_eq!(messages.last_on("s.*"), Some(SUBJECTS));
    assert_eq!(messages.last_on("s.7"), Some(7));
}

/// It would take minutes if each filter were tried for each subject or message.
#[test]
fn very_many_filters_find_messages_on_very_many_subjects() {
    let messages = rounds(2);
    let filters = |prefix: &str, from| {
        let patterns = (from..from + 10_000).map(|number| format!("{prefix}.{number}"));
        Filter::of(&patterns.collect::<Vec<_>>())
    };
    let (none, some) = (filters("*", SUBJECTS), filters("*", SUBJECTS - 10));
    for (filter, all, behind) in [(&none, 0, 0), (&some, 20, 10)] {
        let half = SUBJECTS + 1;
        assert_eq!(messages.count_wanted(0, filter), all);
        assert_eq!(messages.count_wanted(SUBJECTS / 2, filter), all);
        assert_eq!(messages.count_wanted(half, filter), behind);
        assert_eq!(messages.to_purge(filter, None, 0).len() as u64, all);
        assert_eq!(
            messages.last_of_each(filter, 0, u64::MAX).len() as u64,
            behind
        );
        assert_eq!(messages.next_wanted(half, filter).is_some(), behind > 0);
    }
    // No stream takes a subject that is as long as these.
    let patterns = vec!["*.".repeat(200_000) + ">"; 10];
    assert_eq!(messages.count_wanted(0, &Filter::of(&patterns)), 0);
}

/// It would take minutes if the subjects were looked at one after the other.
#[test]
fn the_share_of_very_many_subjects_may_become_smaller() {
    let mut messages = rounds(3);
    let limits = Limits {
        max_msgs_per_subject: Some(1),
        ..Limits::default()
    };
    for seq in messages.beyond_shares(&limits) {
        messages.remove(seq).unwrap();
    }
    assert_eq!(
        (messages.len(), messages.first_seq()),
        (SUBJECTS, 2 * SUBJECTS + 1)
    );
    assert!(messages.beyond_shares(&limits).is_empty());
    assert_eq!(messages.surplus(&limits, Some("s.7")), None);
}

#[test]
fn the_last_message_is_found_after_those_behind_it_have_gone() {
    let mut messages = rounds(3);
    let (second, third) = (SUBJECTS + 7, 2 * SUBJECTS + 7);
    assert_eq!(messages.last_on("s.7"), Some(third));
    messages.remove(third).unwrap();
    assert_eq!(messages.last_on("s.7"), Some(second));
    messages.remove(7).unwrap();
    assert_eq!(messages.last_on("s.7"), Some(second));
    let one = Filter::of(&["s.7"]);
    assert_eq!(messages.next_wanted(0, &one), Some(second));
    messages.remove(second).unwrap();
    assert_eq!(messages.last_on("s.7"), None);
    for seq in third..=3 * SUBJECTS {
        messages.remove(seq);
    }
    assert_eq!(messages.last_on("s.*"), Some(third - 1));
}

/// A message on `rare.a` at either end, and so many on a few other subjects between them.
fn rare(between: u64) -> Messages {
    let last = between + 2;
    on_subjects(last, |seq| {
        if seq == 1 || seq == last {
            "rare.a".to_owned()
        } else {
            format!("s.{}", seq % 5)
        }
    })
}

#[test]
fn a_search_leaves_out_what_cannot_be_wanted() {
    const BETWEEN: u64 = 100_000;
    let messages = rare(BETWEEN);
    let last = BETWEEN + 2;
    let search = |from, pattern| messages.search(from, &Filter::of(&[pattern]), 2000);
    for pattern in ["rare.a", "rare.*", "*.a"] {
        assert_eq!(search(1, pattern), Search::Found(1));
        assert_eq!(search(2, pattern), Search::Found(last), "{pattern}");
        assert_eq!(search(last + 1, pattern), Search::Nothing);
    }
    for pattern in ["nosuch.*", "nosuch", "*.nosuch"] {
        assert_eq!(search(1, pattern), Search::Nothing, "{pattern}");
    }
    // On subjects that came late.
    let mut messages = messages;
    for seq in last + 1..=last + 2 {
        messages.insert(seq, "late.x", Position::default(), 0, 1);
    }
    let late = Filter::of(&["late.*"]);
    assert_eq!(messages.search(2, &late, 300), Search::Found(last + 1));
    assert_eq!(messages.count_wanted(last + 2, &late), 1);
}

#[test]
fn a_search_among_very_many_subjects_is_made_in_steps() {
    let messages = rounds(2);
    let filter = Filter::of(&["*.7"]);
    let (mut from, mut steps) = (8, 0);
    while let Search::Further(next) = messages.search(from, &filter, 1000) {
        assert!(next > from);
        (from, steps) = (next, steps + 1);
    }
    assert!(steps > 10, "{steps} steps");
    let found = messages.search(from, &filter, 1000);
    assert_eq!(found, Search::Found(SUBJECTS + 7));
    assert_eq!(messages.next_wanted(8, &filter), Some(SUBJECTS + 7));
}

/// It would take minutes if each message were looked at.
#[test]
fn the_first_message_since_a_time_is_found_at_once_although_the_clock_was_set_back() {
    let time_of = |seq: i64| if seq < 60_000 { seq } else { seq - 30_000 };
    let mut messages = Messages::default();
    for seq in 1..=100_000 {
        let position = Position {
            segment: seq / 30_000,
            offset: seq,
            len: 1,
        };
        messages.insert(seq, "a", position, time_of(seq as i64), 1);
    }
    for seq in (1..=100_000).filter(|seq| seq % 3 == 0) {
        messages.remove(seq).unwrap();
    }
    // A part of them is rewritten.
    let moved: Vec<_> = messages.range(30_000).map(|entry| entry.seq).collect();
    let moved = moved.into_iter().take_while(|seq| *seq < 90_000);
    let moved: Vec<_> = moved.map(|seq| (seq, seq)).collect();
    messages.relocate(&[1, 2], &moved, 0, 0);
    let left = |seq: u64| if seq.is_multiple_of(3) { seq + 1 } else { seq };
    for time in (0..80_000).step_by(2) {
        // The time comes a second time behind what has a later one.
        let seq = match time {
            0 => Some(1),
            time if time < 60_000 => Some(left(time)),
            time => Some(left(time + 30_000)).filter(|seq| *seq <= 100_000),
        };
        assert_eq!(messages.first_since(time as i64), seq, "{time}");
    }
    assert_eq!(messages.first_since(i64::MAX), None);
}
