//! The records of a stream's log, and their frames: length, checksum, body.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before each record's body: its length and its checksum, both 32-bit little-endian.
pub(in crate::broker) const FRAME: usize = 8;
/// What a record takes that holds nothing but a message's id, besides the id.
pub(in crate::broker) const ID_OVERHEAD: u64 = FRAME as u64 + 21;
/// What the record at the head of each batch takes.
pub(in crate::broker) const BATCH_HEAD: usize = FRAME + 21;

/// What happened to a stream, in the order it happened. Replaying the records of a log restores the stream.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::broker) enum Record {
    Message(StoredMessage),
    /// A consumer is done with a message.
    Done {
        consumer: u32,
        seq: u64,
    },
    /// A consumer was handed everything up to here for the first time.
    Delivered {
        consumer: u32,
        seq: u64,
        consumer_seq: u64,
    },
    /// A consumer was handed a message again.
    Attempts {
        consumer: u32,
        seq: u64,
        count: u32,
        /// The latest of its own sequences that the message has; 0 in the logs of older brokers.
        consumer_seq: u64,
    },
    /// A message was deleted by request.
    Deleted {
        seq: u64,
    },
    /// Everything before this was deleted by request.
    PurgedBelow {
        seq: u64,
    },
    /// A sequence was given to a message that is not there: no consumer wanted it, or it is gone and its segment was
    /// rewritten without it. Its id, if it has one, is known all the same.
    Skipped {
        seq: u64,
        time: i64,
        id: Box<str>,
    },
    /// What was too old at a time had left.
    Expired {
        time: i64,
    },
    /// A rarer change, as JSON.
    Change(Bytes),
    /// The whole state but the messages, as JSON; replaces what earlier records said. Second in every segment.
    Snapshot(Bytes),
    /// First in every segment: how much of the segment before it counts, whether this one is what was left of others, and
    /// the mark of its batches; 0 if it has none. The segments of an older broker have a `PurgedBelow` there, and no `Live`.
    Start {
        previous_len: u64,
        is_rewritten: bool,
        mark: u64,
    },
    /// The sequences of the messages that there were when the segment was begun ([`super::live`]). Third in every segment
    /// that was not rewritten.
    Live(Bytes),
    /// First in every batch: the length and the checksum of the records behind it that were written with it. The mark of the
    /// segment, which no client knows, tells it from what a message holds.
    Batch {
        len: u64,
        checksum: u32,
        mark: u64,
    },
}

/// A message of a stream. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::broker) struct StoredMessage {
    pub(in crate::broker) seq: u64,
    pub(in crate::broker) time: i64,
    pub(in crate::broker) subject: Box<str>,
    pub(in crate::broker) headers: Bytes,
    pub(in crate::broker) payload: Bytes,
}

/// Appends a record with its frame. Returns the length of its body.
pub(in crate::broker) fn encode(out: &mut BytesMut, record: &Record) -> usize {
    let start = out.len();
    out.put_bytes(0, FRAME);
    match record {
        Record::Message(message) => put_message(out, message),
        Record::Done { consumer, seq } => put_numbers(out, 2, *consumer, &[*seq]),
        Record::Delivered {
            consumer,
            seq,
            consumer_seq,
        } => put_numbers(out, 3, *consumer, &[*seq, *consumer_seq]),
        Record::Attempts {
            consumer,
            seq,
            count,
            consumer_seq,
        } => put_numbers(out, 4, *consumer, &[*seq, u64::from(*count), *consumer_seq]),
        Record::Deleted { seq } => put_numbers(out, 5, 0, &[*seq]),
        Record::PurgedBelow { seq } => put_numbers(out, 6, 0, &[*seq]),
        Record::Skipped { seq, time, id } => {
            put_numbers(out, 9, 0, &[*seq, time.cast_unsigned()]);
            out.put_slice(id.as_bytes());
        }
        Record::Expired { time } => put_numbers(out, 13, 0, &[time.cast_unsigned()]),
        Record::Change(json) => put_bytes(out, 7, json),
        Record::Snapshot(json) => put_bytes(out, 8, json),
        Record::Start {
            previous_len,
            is_rewritten,
            mark,
        } => put_numbers(out, 10, u32::from(*is_rewritten), &[*previous_len, *mark]),
        Record::Live(runs) => put_bytes(out, 11, runs),
        Record::Batch {
            len,
            checksum,
            mark,
        } => put_numbers(out, 12, *checksum, &[*len, *mark]),
    }
    let body = out.get(start + FRAME..).unwrap_or_default();
    let (length, checksum) = (body.len(), crc32fast::hash(body));
    if let Some(mut frame) = out.get_mut(start..start + FRAME) {
        frame.put_u32_le(u32::try_from(length).expect("records are far smaller than 4 GiB"));
        frame.put_u32_le(checksum);
    }
    length
}

fn put_message(out: &mut BytesMut, message: &StoredMessage) {
    out.reserve(message.subject.len() + message.headers.len() + message.payload.len() + 32);
    out.put_u8(1);
    out.put_u64_le(message.seq);
    out.put_i64_le(message.time);
    out.put_u32_le(u32::try_from(message.subject.len()).expect("a subject fits a control line"));
    out.put_u32_le(u32::try_from(message.headers.len()).expect("headers fit the largest payload"));
    out.put_slice(message.subject.as_bytes());
    out.put_slice(&message.headers);
    out.put_slice(&message.payload);
}

fn put_numbers(out: &mut BytesMut, kind: u8, consumer: u32, numbers: &[u64]) {
    out.put_u8(kind);
    out.put_u32_le(consumer);
    for number in numbers {
        out.put_u64_le(*number);
    }
}

fn put_bytes(out: &mut BytesMut, kind: u8, bytes: &[u8]) {
    out.put_u8(kind);
    out.put_slice(bytes);
}

/// Reads the body of a record; `None` when it is none of ours.
pub(in crate::broker) fn decode(mut body: Bytes) -> Option<Record> {
    let kind = body.try_get_u8().ok()?;
    match kind {
        1 => decode_message(body).map(Record::Message),
        7 => Some(Record::Change(body)),
        8 => Some(Record::Snapshot(body)),
        11 => Some(Record::Live(body)),
        _ => {
            let consumer = body.try_get_u32_le().ok()?;
            let seq = body.try_get_u64_le().ok()?;
            match kind {
                2 => Some(Record::Done { consumer, seq }),
                3 => Some(Record::Delivered {
                    consumer,
                    seq,
                    consumer_seq: body.try_get_u64_le().ok()?,
                }),
                4 => Some(Record::Attempts {
                    consumer,
                    seq,
                    count: u32::try_from(body.try_get_u64_le().ok()?).ok()?,
                    consumer_seq: body.try_get_u64_le().unwrap_or(0),
                }),
                5 => Some(Record::Deleted { seq }),
                6 => Some(Record::PurgedBelow { seq }),
                9 => Some(Record::Skipped {
                    seq,
                    time: body.try_get_i64_le().ok()?,
                    id: std::str::from_utf8(&body).ok()?.into(),
                }),
                10 => Some(Record::Start {
                    previous_len: seq,
                    is_rewritten: consumer != 0,
                    mark: body.try_get_u64_le().unwrap_or(0),
                }),
                13 => Some(Record::Expired {
                    time: seq.cast_signed(),
                }),
                12 => Some(Record::Batch {
                    len: seq,
                    checksum: consumer,
                    mark: body.try_get_u64_le().ok()?,
                }),
                _ => None,
            }
        }
    }
}

fn decode_message(mut body: Bytes) -> Option<StoredMessage> {
    let seq = body.try_get_u64_le().ok()?;
    let time = body.try_get_i64_le().ok()?;
    let subject_len = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    let header_len = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    if body.len() < subject_len.checked_add(header_len)? {
        return None;
    }
    let subject = body.split_to(subject_len);
    let headers = body.split_to(header_len);
    Some(StoredMessage {
        seq,
        time,
        subject: std::str::from_utf8(&subject).ok()?.into(),
        headers,
        payload: body,
    })
}

/// The body of the record whose frame starts at `offset`, if it is whole and undamaged.
pub(in crate::broker) fn body_at(bytes: &Bytes, offset: usize) -> Option<Bytes> {
    let mut frame = bytes.get(offset..offset.checked_add(FRAME)?)?;
    let length = frame_len(frame)?;
    frame.advance(4);
    let checksum = frame.get_u32_le();
    let end = offset.checked_add(FRAME)?.checked_add(length)?;
    if length == 0 || end > bytes.len() {
        return None;
    }
    let body = bytes.slice(offset + FRAME..end);
    (crc32fast::hash(&body) == checksum).then_some(body)
}

/// The length that a frame claims, damaged or not.
pub(in crate::broker) fn frame_len(mut frame: &[u8]) -> Option<usize> {
    usize::try_from(frame.try_get_u32_le().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_comes_back_as_it_was() {
        let message = StoredMessage {
            seq: 7,
            time: -3,
            subject: "a.b".into(),
            headers: Bytes::from_static(b"NATS/1.0\r\n\r\n"),
            payload: Bytes::from_static(b"hi"),
        };
        let records = [
            Record::Message(message),
            Record::Done {
                consumer: 1,
                seq: 2,
            },
            Record::Delivered {
                consumer: 1,
                seq: 2,
                consumer_seq: u64::MAX,
            },
            Record::Attempts {
                consumer: 9,
                seq: 2,
                count: 3,
                consumer_seq: 4,
            },
            Record::Deleted { seq: 4 },
            Record::PurgedBelow { seq: 5 },
            Record::Skipped {
                seq: 6,
                time: -1,
                id: "a".into(),
            },
            Record::Expired { time: -7 },
            Record::Start {
                previous_len: 9,
                is_rewritten: true,
                mark: 8,
            },
            Record::Live(Bytes::from_static(&[1, 2])),
            Record::Batch {
                len: 9,
                checksum: u32::MAX,
                mark: u64::MAX,
            },
            Record::Change(Bytes::from_static(b"{}")),
            Record::Snapshot(Bytes::from_static(b"[]")),
        ];
        let mut out = BytesMut::new();
        let lengths: Vec<_> = records
            .iter()
            .map(|record| encode(&mut out, record))
            .collect();
        let bytes = out.freeze();
        let mut offset = 0;
        for (record, length) in records.iter().zip(lengths) {
            let body = body_at(&bytes, offset).unwrap();
            assert_eq!(body.len(), length);
            assert_eq!(decode(body).as_ref(), Some(record));
            offset += FRAME + length;
        }
        assert_eq!(offset, bytes.len());
        assert_eq!(body_at(&bytes, offset), None);
    }

    #[test]
    fn what_older_brokers_wrote_is_read() {
        let read = |kind, numbers: &[u64]| {
            let mut body = BytesMut::new();
            put_numbers(&mut body, kind, 1, numbers);
            decode(body.freeze()).unwrap()
        };
        let attempts = Record::Attempts {
            consumer: 1,
            seq: 2,
            count: 3,
            consumer_seq: 0,
        };
        assert_eq!(read(4, &[2, 3]), attempts);
        let skipped = Record::Skipped {
            seq: 2,
            time: 3,
            id: "".into(),
        };
        assert_eq!(read(9, &[2, 3]), skipped);
        let start = Record::Start {
            previous_len: 2,
            is_rewritten: true,
            mark: 0,
        };
        assert_eq!(read(10, &[2]), start);
    }

    #[test]
    fn damage_is_noticed() {
        let mut out = BytesMut::new();
        encode(
            &mut out,
            &Record::Done {
                consumer: 1,
                seq: 2,
            },
        );
        for at in 0..out.len() {
            let mut damaged = out.clone();
            damaged[at] ^= 1;
            assert_eq!(body_at(&damaged.freeze(), 0), None, "byte {at}");
        }
        for length in 0..out.len() {
            assert_eq!(
                body_at(&out.clone().freeze().slice(..length), 0),
                None,
                "cut at {length}"
            );
        }
        assert_eq!(
            body_at(&Bytes::from_static(&[0; 64]), 0),
            None,
            "a hole in a file"
        );
    }

    #[test]
    fn bodies_that_lie_about_their_parts_are_refused() {
        let mut body = BytesMut::new();
        body.put_u8(1);
        body.put_bytes(0xff, 24);
        assert_eq!(decode(body.freeze()), None);
        assert_eq!(decode(Bytes::new()), None);
        assert_eq!(decode(Bytes::from_static(&[99, 0, 0])), None);
    }
}
