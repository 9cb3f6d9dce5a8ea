//! What the fuzz targets of `bridge/fuzz` try with any bytes. Each test run tries some of it, in [`properties`](super::properties).

use std::fs;
use std::path::Path;

use bytes::{Buf, Bytes, BytesMut};

use super::jetstream::recovery_check::{self, TIME};
use super::parser::{Parsed, parse};
use super::protocol::{Limits, ProtocolError};
use super::store::record::{self, Record, StoredMessage};
use super::subjects::{self, SubjectTrie};

/// Small, so that little is needed to come to them.
pub(super) const LIMITS: Limits = Limits {
    control_line: 64,
    payload: 40,
};
/// The mark of the batches of a segment that has one.
const MARK: u64 = 0x1122_3344_5566_7788;
/// How many patterns are tried with one subject.
const MAX_PATTERNS: usize = 12;

/// The operations as they are printed, and what is left over or wrong in the end.
pub(super) type Understood = (Vec<String>, Result<BytesMut, ProtocolError>);

/// Reads what arrives piece by piece.
pub(super) fn read(pieces: &[&[u8]]) -> Understood {
    let (mut input, mut operations) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match parse(&input, LIMITS) {
                Ok(Parsed::Whole(operation, len)) => {
                    operations.push(format!("{operation:?}"));
                    input.advance(len);
                }
                Ok(Parsed::Part(_)) => break,
                Err(error) => return (operations, Err(error)),
            }
        }
        // A verb, blanks, a line and its payload are all that ever waits.
        let most = 8 + 2 * (LIMITS.control_line + 2) + LIMITS.payload + 2;
        assert!(
            input.len() <= most + piece.len(),
            "{} bytes wait",
            input.len()
        );
    }
    (operations, Ok(input))
}

/// What arrives in pieces is read as what arrives whole. The first two bytes say where the pieces end.
pub fn parser(data: &[u8]) {
    let Some(([first, second], sent)) = data.split_first_chunk() else {
        return;
    };
    let (begin, rest) = sent.split_at(usize::from(*first).min(sent.len()));
    let (middle, end) = rest.split_at(usize::from(*second).min(rest.len()));
    assert_eq!(read(&[begin, middle, end]), read(&[sent]));
}

/// The matcher, the trie, and what is said of two patterns, against a plain model. The first line is a subject, the others are
/// patterns.
pub fn subjects(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let subject = lines.next().unwrap_or_default();
    if !subjects::is_routable(subject) {
        return;
    }
    let patterns: Vec<&str> = lines
        .filter(|line| subjects::is_valid_pattern(line))
        .take(MAX_PATTERNS)
        .collect();
    let mut trie = SubjectTrie::default();
    let mut expected = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let is_match = matches_plainly(&tokens(pattern), &tokens(subject));
        assert_eq!(subjects::matches(pattern, subject), is_match, "{pattern}");
        expected.extend(is_match.then_some(number));
        trie.insert(pattern, number);
    }
    let mut found = Vec::new();
    trie.for_each_match(subject, &mut |number| found.push(*number));
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(trie.has_match(subject), !expected.is_empty());
    for (number, pattern) in patterns.iter().enumerate() {
        patterns.iter().for_each(|other| check_two(pattern, other));
        assert_eq!(trie.remove(pattern, |other| *other == number), 1);
    }
    assert!(!trie.has_match(subject));
}

fn tokens(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

fn matches_plainly(pattern: &[&str], subject: &[&str]) -> bool {
    match (pattern.split_first(), subject.split_first()) {
        (None, None) => true,
        (Some((&">", _)), Some(_)) => true,
        (Some((&"*", pattern)), Some((_, subject))) => matches_plainly(pattern, subject),
        (Some((word, pattern)), Some((token, subject))) => {
            word == token && matches_plainly(pattern, subject)
        }
        _ => false,
    }
}

fn check_two(left: &str, right: &str) {
    let witness = common_subject(&tokens(left), &tokens(right));
    assert_eq!(
        subjects::overlap(left, right),
        witness.is_some(),
        "{left} {right}"
    );
    assert_eq!(subjects::overlap(right, left), witness.is_some());
    if let Some(witness) = witness {
        let witness = witness.join(".");
        assert!(subjects::matches(left, &witness) && subjects::matches(right, &witness));
    }
    if subjects::is_subset(left, right) {
        // A subject of the narrow one that no other pattern has a word of.
        let subject: Vec<&str> = tokens(left).into_iter().map(plain).collect();
        assert!(
            subjects::matches(right, &subject.join(".")),
            "{left} {right}"
        );
    }
}

/// A subject that matches both patterns, if there is one.
fn common_subject<'a>(left: &[&'a str], right: &[&'a str]) -> Option<Vec<&'a str>> {
    let (Some((first, left)), Some((second, right))) = (left.split_first(), right.split_first())
    else {
        return (left.is_empty() && right.is_empty()).then(Vec::new);
    };
    let rest = |token: &'a str, others: &[&'a str]| {
        let all = std::iter::once(token).chain(others.iter().copied());
        Some(all.map(plain).collect())
    };
    match (*first, *second) {
        (">", token) => rest(token, right),
        (token, ">") => rest(token, left),
        (one, other) if one == other || one == "*" || other == "*" => {
            let token = if one == "*" { other } else { one };
            let mut common = common_subject(left, right)?;
            common.insert(0, plain(token));
            Some(common)
        }
        _ => None,
    }
}

/// A token of a subject that a token of a pattern takes.
fn plain(token: &str) -> &str {
    match token {
        "*" | ">" => "\u{1f}",
        word => word,
    }
}

/// Whatever is in the segment of a stream, it is recovered, and the same the next time. The folder is one for this alone. Returns
/// what was recovered.
pub fn store(dir: &Path, data: &[u8]) -> Option<String> {
    let dir = dir.join("streams");
    let _ = fs::remove_dir_all(&dir);
    let dir = dir.join("s");
    fs::create_dir_all(&dir).expect("the folder can be written to");
    // Of the first of two not everything counts.
    let (first, second) = match data.first() {
        Some(kind) if kind % 2 == 1 => data.split_at(data.len() / 2),
        _ => (data, [].as_slice()),
    };
    let first = segment(first, 0);
    if !second.is_empty() {
        let second = segment(second, first.len() as u64);
        fs::write(dir.join("0000000000000002.log"), second).expect("there is room");
    }
    fs::write(dir.join("0000000000000001.log"), first).expect("there is room");
    recovery_check::check(&dir)
}

const CONFIG: &str = r#"{"name":"s","subjects":["a","b.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"allow_rollup_hdrs":true,"allow_msg_ttl":true"#;
const HEADERS: [&str; 8] = [
    "",
    "Nats-Msg-Id: 1",
    "Nats-Msg-Id: 2",
    "Nats-TTL: 1",
    "Nats-TTL: never",
    "Nats-Rollup: sub",
    "Nats-Rollup: all",
    "Nats-Marker-Reason: MaxAge",
];

/// What the bytes of a segment are made from.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A small number mostly, and sometimes any.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=250 => u64::from(small % 32),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn choose<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let place = usize::from(self.byte()) % from.len().max(1);
        from.get(place).copied().unwrap_or(otherwise)
    }

    fn time(&mut self) -> i64 {
        TIME.wrapping_sub(self.number().cast_signed().wrapping_mul(1_000_000_000))
    }

    fn bytes(&mut self) -> Bytes {
        let len = usize::from(self.byte() % 32).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Bytes::copy_from_slice(bytes)
    }

    fn config(&mut self) -> String {
        let more = [
            "",
            r#","max_msgs":2"#,
            r#","max_msgs_per_subject":1"#,
            r#","max_bytes":100"#,
            r#","max_age":5000000000"#,
            r#","retention":"interest""#,
            r#","retention":"workqueue""#,
            r#","subject_delete_marker_ttl":1000000000"#,
        ];
        // Of two members with the same name JSON takes none.
        let more = self.choose(&more, "");
        let name = more.split(':').next().unwrap_or_default();
        let config = match name {
            "" => CONFIG.to_owned(),
            name => {
                let parts = CONFIG.split(',');
                let others = parts.filter(|part| !part.starts_with(name.trim_start_matches(',')));
                others.collect::<Vec<_>>().join(",")
            }
        };
        format!("{config}{more}}}")
    }

    fn consumer(&mut self) -> String {
        let (id, name) = (self.byte() % 4, self.byte() % 4);
        let policy = self.choose(&["none", "all", "explicit"], "none");
        let filter = self.choose(
            &["", r#","filter_subject":"a""#, r#","filter_subject":"b.*""#],
            "",
        );
        let durable = self.choose(&["", r#","durable_name":"d""#], "");
        let [delivered, delivered_of, floor, floor_of] = [(); 4].map(|()| self.number());
        let pending = self.choose(&["", "[1,1,1]", "[2,2,1],[3,3,7]"], "");
        format!(
            r#"{{"id":{id},"created":0,"config":{{"name":"c{name}","ack_policy":"{policy}","ack_wait":30000000000,"max_deliver":-1{filter}{durable}}},"delivered":{{"consumer_seq":{delivered_of},"stream_seq":{delivered}}},"ack_floor":{{"consumer_seq":{floor_of},"stream_seq":{floor}}},"pending":[{pending}]}}"#
        )
    }

    fn snapshot(&mut self) -> String {
        let config = self.config();
        let [first, last] = [(); 2].map(|()| self.number());
        let consumers: Vec<String> = (0..self.byte() % 3).map(|_| self.consumer()).collect();
        let consumers = consumers.join(",");
        format!(
            r#"{{"config":{config},"created":0,"first_seq":{first},"last_seq":{last},"last_time":0,"next_consumer_id":1,"consumers":[{consumers}]}}"#
        )
    }

    fn change(&mut self) -> String {
        match self.byte() % 4 {
            0 => format!(r#"{{"Configured":{}}}"#, self.config()),
            1 => format!(r#"{{"ConsumerDeleted":"c{}"}}"#, self.byte() % 4),
            _ => format!(r#"{{"ConsumerSaved":{}}}"#, self.consumer()),
        }
    }

    fn message(&mut self, seq: u64) -> Record {
        let line = self.choose(&HEADERS, "");
        let headers = match line {
            "" => String::new(),
            line => format!("NATS/1.0\r\n{line}\r\n\r\n"),
        };
        Record::Message(StoredMessage {
            seq,
            time: self.time(),
            subject: self.choose(&["a", "b.x", "b.y", "b.*", ""], "").into(),
            headers: headers.into(),
            payload: self.bytes(),
        })
    }

    fn record(&mut self, next_seq: &mut u64) -> Record {
        let consumer = u32::from(self.byte() % 4);
        match self.byte() % 14 {
            0 => Record::Done {
                consumer,
                seq: self.number(),
            },
            1 => Record::Delivered {
                consumer,
                seq: self.number(),
                consumer_seq: self.number(),
            },
            2 => Record::Attempts {
                consumer,
                seq: self.number(),
                count: u32::from(self.byte()),
                consumer_seq: self.number(),
            },
            3 => Record::Deleted { seq: self.number() },
            4 => Record::PurgedBelow { seq: self.number() },
            5 => Record::Skipped {
                seq: self.number(),
                time: self.time(),
                id: self.choose(&["", "1", "2"], "").into(),
            },
            6 => Record::Change(self.change().into()),
            7 => Record::Snapshot(self.snapshot().into()),
            8 => {
                let seq = self.number();
                self.message(seq)
            }
            9 => Record::Change(self.bytes()),
            10 => Record::Live(self.bytes()),
            11 => Record::Expired { time: self.time() },
            _ => {
                *next_seq += 1;
                self.message(*next_seq)
            }
        }
    }
}

/// Puts the records of a batch behind what there is, with a head if batches have a mark.
fn end_batch(out: &mut BytesMut, batch: &mut BytesMut, mark: u64) {
    let records = batch.split();
    if mark != 0 {
        let head = Record::Batch {
            len: records.len() as u64,
            checksum: crc32fast::hash(&records),
            mark,
        };
        record::encode(out, &head);
    }
    out.extend_from_slice(&records);
}

/// Bytes that often are a segment, and often nearly are.
fn segment(data: &[u8], previous_len: u64) -> Vec<u8> {
    let mut input = Input(data);
    let kind = input.byte();
    if kind == u8::MAX {
        return input.0.to_vec();
    }
    let mut out = BytesMut::new();
    let is_rewritten = kind % 8 < 2;
    let mark = match kind % 8 {
        4 | 5 => MARK,
        _ => 0,
    };
    let start = match kind % 8 {
        2 | 3 => Record::PurgedBelow { seq: previous_len },
        _ => Record::Start {
            previous_len,
            is_rewritten,
            mark,
        },
    };
    record::encode(&mut out, &start);
    record::encode(&mut out, &Record::Snapshot(input.snapshot().into()));
    if kind % 8 > 3 {
        record::encode(&mut out, &Record::Live(input.bytes()));
    }
    let (mut next_seq, mut batch) = (0, BytesMut::new());
    while !input.0.is_empty() {
        let record = input.record(&mut next_seq);
        record::encode(&mut batch, &record);
        let fault = input.byte();
        if fault % 4 == 1 && fault < 250 {
            continue;
        }
        let from = out.len();
        end_batch(&mut out, &mut batch, mark);
        match fault {
            // One that is damaged.
            250 => {
                let at = from + usize::from(input.byte()) % (out.len() - from);
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << (input.byte() % 8);
                }
            }
            251 => out.truncate(from + usize::from(input.byte()) % (out.len() - from)),
            252 => out.extend_from_slice(&input.bytes()),
            // One that a crash tore.
            253 => {
                let lost = from + usize::from(input.byte()) % (out.len() - from);
                let lost = lost - lost % 512;
                let end = out.len().min(lost + 512);
                if let Some(lost) = out.get_mut(lost.max(from)..end) {
                    lost.fill(0);
                }
            }
            _ => {}
        }
    }
    end_batch(&mut out, &mut batch, mark);
    out.to_vec()
}
