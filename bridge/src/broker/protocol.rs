//! The client protocol on the wire: an incremental, bounded parser of what clients send, and what the server writes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a line before its payload.
    pub(super) control_line: usize,
    /// Bytes of a message, headers included.
    pub(super) payload: usize,
}

/// One operation of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Operation {
    Connect(Bytes),
    Ping,
    Pong,
    Subscribe {
        subject: Box<str>,
        queue: Option<Box<str>>,
        sid: Box<str>,
    },
    Unsubscribe {
        sid: Box<str>,
        after: Option<u64>,
    },
    Publish(Message),
}

/// A message as it travels: the headers are the whole block, from `NATS/1.0` to the empty line, or empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) subject: Box<str>,
    pub(super) reply: Option<Box<str>>,
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

/// What a client did wrong; the text is what it is told before the connection is closed.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub(super) enum ProtocolError {
    #[error("Unknown Protocol Operation")]
    UnknownOperation,
    #[error("Parser Error")]
    Malformed,
    #[error("maximum control line exceeded")]
    ControlLine,
    #[error("Maximum Payload Violation")]
    Payload,
}

/// Takes the next complete operation off the front of `input`; `None` when more bytes are needed.
pub(super) fn parse(
    input: &mut BytesMut,
    limits: Limits,
) -> Result<Option<Operation>, ProtocolError> {
    let Some(end) = input
        .iter()
        .take(limits.control_line)
        .position(|byte| *byte == b'\n')
    else {
        return if input.len() >= limits.control_line {
            Err(ProtocolError::ControlLine)
        } else {
            Ok(None)
        };
    };
    let line = input.get(..end).unwrap_or_default();
    let line = std::str::from_utf8(line)
        .map_err(|_| ProtocolError::Malformed)?
        .trim_ascii();
    let (verb, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let words = Words::of(arguments);
    let operation = match verb.to_ascii_uppercase().as_str() {
        "PUB" => return publish(input, end + 1, words.publish(false)?, limits.payload),
        "HPUB" => return publish(input, end + 1, words.publish(true)?, limits.payload),
        "PING" => Operation::Ping,
        "PONG" => Operation::Pong,
        "SUB" => words.subscribe()?,
        "UNSUB" => words.unsubscribe()?,
        "CONNECT" => Operation::Connect(Bytes::copy_from_slice(arguments.trim_ascii().as_bytes())),
        _ => return Err(ProtocolError::UnknownOperation),
    };
    input.advance(end + 1);
    Ok(Some(operation))
}

/// The sizes and names of a publish line.
struct PublishLine {
    subject: Box<str>,
    reply: Option<Box<str>>,
    header_len: usize,
    total_len: usize,
}

fn publish(
    input: &mut BytesMut,
    line_len: usize,
    line: PublishLine,
    max_payload: usize,
) -> Result<Option<Operation>, ProtocolError> {
    if line.total_len > max_payload {
        return Err(ProtocolError::Payload);
    }
    if line.header_len > line.total_len {
        return Err(ProtocolError::Malformed);
    }
    let whole = line_len + line.total_len + 2;
    if input.len() < whole {
        input.reserve(whole - input.len());
        return Ok(None);
    }
    input.advance(line_len);
    let headers = input.split_to(line.header_len).freeze();
    let payload = input.split_to(line.total_len - line.header_len).freeze();
    if !input.starts_with(b"\r\n") {
        return Err(ProtocolError::Malformed);
    }
    input.advance(2);
    Ok(Some(Operation::Publish(Message {
        subject: line.subject,
        reply: line.reply,
        headers,
        payload,
    })))
}

/// The arguments of an operation: at most five matter.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(arguments: &'a str) -> Self {
        Words(arguments.split_ascii_whitespace().take(5).collect())
    }

    fn publish(&self, with_headers: bool) -> Result<PublishLine, ProtocolError> {
        let (subject, reply, header_len, total_len) = match (with_headers, self.0.as_slice()) {
            (false, [subject, total]) => (subject, None, "0", *total),
            (false, [subject, reply, total]) => (subject, Some(*reply), "0", *total),
            (true, [subject, header, total]) => (subject, None, *header, *total),
            (true, [subject, reply, header, total]) => (subject, Some(*reply), *header, *total),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(PublishLine {
            subject: (*subject).into(),
            reply: reply.map(Into::into),
            header_len: size(header_len)?,
            total_len: size(total_len)?,
        })
    }

    fn subscribe(&self) -> Result<Operation, ProtocolError> {
        match self.0.as_slice() {
            [subject, sid] => Ok(Operation::Subscribe {
                subject: (*subject).into(),
                queue: None,
                sid: (*sid).into(),
            }),
            [subject, queue, sid] => Ok(Operation::Subscribe {
                subject: (*subject).into(),
                queue: Some((*queue).into()),
                sid: (*sid).into(),
            }),
            _ => Err(ProtocolError::Malformed),
        }
    }

    fn unsubscribe(&self) -> Result<Operation, ProtocolError> {
        match self.0.as_slice() {
            [sid] => Ok(Operation::Unsubscribe {
                sid: (*sid).into(),
                after: None,
            }),
            [sid, after] => {
                let after = after.parse().map_err(|_| ProtocolError::Malformed)?;
                Ok(Operation::Unsubscribe {
                    sid: (*sid).into(),
                    after: Some(after).filter(|after| *after > 0),
                })
            }
            _ => Err(ProtocolError::Malformed),
        }
    }
}

// Nine digits are more than any payload may have and cannot overflow.
fn size(digits: &str) -> Result<usize, ProtocolError> {
    if digits.len() > 9 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(ProtocolError::Payload);
    }
    digits.parse().map_err(|_| ProtocolError::Malformed)
}

/// A message to a client, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery<'a> {
    pub(super) subject: &'a str,
    pub(super) reply: Option<&'a str>,
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Delivery<'_> {
    /// The bytes that the message counts for.
    pub(super) fn size(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }

    /// About how many bytes the message takes on the wire.
    fn wire_len(&self) -> usize {
        self.size() + self.reply.map_or(0, str::len) + 64
    }

    /// Writes the message for the subscription `sid`; a client without header support gets the payload alone.
    pub(super) fn write(&self, out: &mut BytesMut, sid: &str, with_headers: bool) {
        let headers = if with_headers { self.headers } else { &[] };
        out.reserve(self.wire_len() + sid.len());
        out.put_slice(if headers.is_empty() {
            b"MSG "
        } else {
            b"HMSG "
        });
        out.put_slice(self.subject.as_bytes());
        out.put_u8(b' ');
        out.put_slice(sid.as_bytes());
        out.put_u8(b' ');
        if let Some(reply) = self.reply {
            out.put_slice(reply.as_bytes());
            out.put_u8(b' ');
        }
        if !headers.is_empty() {
            put_number(out, headers.len());
            out.put_u8(b' ');
        }
        put_number(out, headers.len() + self.payload.len());
        out.put_slice(b"\r\n");
        out.put_slice(headers);
        out.put_slice(self.payload);
        out.put_slice(b"\r\n");
    }
}

fn put_number(out: &mut BytesMut, number: usize) {
    use std::fmt::Write;
    write!(out, "{number}").expect("writing to memory cannot fail");
}

/// Writes an error line.
pub(super) fn write_error(out: &mut BytesMut, message: &str) {
    out.put_slice(b"-ERR '");
    out.put_slice(message.as_bytes());
    out.put_slice(b"'\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        control_line: 4096,
        payload: 100,
    };

    fn all(input: &str) -> Result<Vec<Operation>, ProtocolError> {
        let mut input = BytesMut::from(input);
        let mut operations = Vec::new();
        while let Some(operation) = parse(&mut input, LIMITS)? {
            operations.push(operation);
        }
        assert!(input.is_empty(), "left over: {input:?}");
        Ok(operations)
    }

    fn message(subject: &str, reply: Option<&str>, headers: &str, payload: &str) -> Operation {
        Operation::Publish(Message {
            subject: subject.into(),
            reply: reply.map(Into::into),
            headers: Bytes::copy_from_slice(headers.as_bytes()),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        })
    }

    #[test]
    fn what_real_clients_send_is_understood() {
        let operations = all(
            "PUB foo  1\r\nx\r\nUNSUB 1 \r\npub a b 2\r\nhi\r\nHPUB s r 0 2\r\nab\r\nhPuB s 12 13\r\nNATS/1.0\r\n\r\nz\r\nsub a.* q 7\r\nUnsub 7 3\r\nping\r\nPONG\r\nSUB\tx\t9\r\nPUB e 0\r\n\r\nPING\n",
        );
        assert_eq!(
            operations.unwrap(),
            [
                message("foo", None, "", "x"),
                Operation::Unsubscribe {
                    sid: "1".into(),
                    after: None
                },
                message("a", Some("b"), "", "hi"),
                message("s", Some("r"), "", "ab"),
                message("s", None, "NATS/1.0\r\n\r\n", "z"),
                Operation::Subscribe {
                    subject: "a.*".into(),
                    queue: Some("q".into()),
                    sid: "7".into()
                },
                Operation::Unsubscribe {
                    sid: "7".into(),
                    after: Some(3)
                },
                Operation::Ping,
                Operation::Pong,
                Operation::Subscribe {
                    subject: "x".into(),
                    queue: None,
                    sid: "9".into()
                },
                message("e", None, "", ""),
                Operation::Ping,
            ]
        );
    }

    #[test]
    fn a_payload_may_hold_line_ends_and_arrive_byte_by_byte() {
        let sent = b"CONNECT {\"a\": 1}\r\nPUB a 6\r\nx\r\ny\r\n\r\nPING\r\n";
        let mut input = BytesMut::new();
        let mut operations = Vec::new();
        for byte in sent {
            input.put_u8(*byte);
            while let Some(operation) = parse(&mut input, LIMITS).unwrap() {
                operations.push(operation);
            }
        }
        let connect = Operation::Connect(Bytes::from_static(b"{\"a\": 1}"));
        assert_eq!(
            operations,
            [
                connect,
                message("a", None, "", "x\r\ny\r\n"),
                Operation::Ping
            ]
        );
    }

    #[test]
    fn what_breaks_the_bounds_or_the_grammar_is_refused() {
        for (input, expected) in [
            ("PUB a 101\r\n", ProtocolError::Payload),
            ("PUB a 99999999999999999999\r\n", ProtocolError::Payload),
            ("PUB a -1\r\n", ProtocolError::Malformed),
            ("PUB a\r\n", ProtocolError::Malformed),
            ("PUB a b c 1\r\n", ProtocolError::Malformed),
            ("HPUB a 5 4\r\nabcd\r\n", ProtocolError::Malformed),
            ("PUB a 1\r\nxyz", ProtocolError::Malformed),
            ("SUB a\r\n", ProtocolError::Malformed),
            ("GET / HTTP/1.1\r\n", ProtocolError::UnknownOperation),
            ("\r\n", ProtocolError::UnknownOperation),
        ] {
            assert_eq!(all(input), Err(expected), "{input}");
        }
        assert_eq!(
            all(&"x".repeat(LIMITS.control_line)),
            Err(ProtocolError::ControlLine)
        );
    }

    #[test]
    fn messages_are_written_with_and_without_headers() {
        let mut out = BytesMut::new();
        let delivery = Delivery {
            subject: "a",
            reply: Some("r"),
            headers: b"NATS/1.0\r\n\r\n",
            payload: b"hi",
        };
        delivery.write(&mut out, "1", true);
        delivery.write(&mut out, "2", false);
        write_error(&mut out, "Slow Consumer");
        assert_eq!(&out[..], b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG a 2 r 2\r\nhi\r\n-ERR 'Slow Consumer'\r\n".as_slice());
    }
}
