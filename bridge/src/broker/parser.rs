//! An incremental, bounded parser of what clients send. It keeps no state: a line is read again when more of it has arrived.

use bytes::{Buf, Bytes, BytesMut};

use super::protocol::{Limits, Message, Operation, ProtocolError};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Publish,
    PublishWithHeaders,
    Subscribe,
    Unsubscribe,
    Ping,
    Pong,
    Connect,
    Info,
    Ok,
    Error,
}

/// The words of the protocol. Those met most often come first.
const VERBS: [(&[u8], Verb); 10] = [
    (b"PUB", Verb::Publish),
    (b"HPUB", Verb::PublishWithHeaders),
    (b"SUB", Verb::Subscribe),
    (b"UNSUB", Verb::Unsubscribe),
    (b"PING", Verb::Ping),
    (b"PONG", Verb::Pong),
    (b"CONNECT", Verb::Connect),
    (b"INFO", Verb::Info),
    (b"+OK", Verb::Ok),
    (b"-ERR", Verb::Error),
];

/// Takes the next complete operation off the front of `input`; `None` when more bytes are needed.
///
/// What cannot become an operation any more is refused at the byte that is wrong.
pub(super) fn parse(
    input: &mut BytesMut,
    limits: Limits,
) -> Result<Option<Operation>, ProtocolError> {
    let Some((verb, verb_len)) = read_verb(input)? else {
        return Ok(None);
    };
    let after_verb = input.get(verb_len..).unwrap_or_default();
    let blanks = after_verb
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let arguments = after_verb.get(blanks..).unwrap_or_default();
    match (verb, blanks, arguments.first()) {
        _ if blanks > limits.control_line => return Err(ProtocolError::ControlLine),
        (_, _, None) => return Ok(None),
        (Verb::Ping | Verb::Pong | Verb::Connect | Verb::Info | Verb::Ok, _, _) => {}
        (_, 0, Some(_)) => return Err(ProtocolError::UnknownOperation),
        _ => {}
    }
    // The line may be as long as the limit, and end with two bytes more.
    let searched = arguments
        .get(..limits.control_line + 2)
        .unwrap_or(arguments);
    let Some(end) = memchr::memchr(b'\n', searched) else {
        return if arguments.len() > limits.control_line + 1 {
            Err(ProtocolError::ControlLine)
        } else {
            Ok(None)
        };
    };
    let line = arguments.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > limits.control_line {
        return Err(ProtocolError::ControlLine);
    }
    let line_len = verb_len + blanks + end + 1;
    let operation = match verb {
        Verb::Publish => {
            let line = Words::of(line)?.publish(false)?;
            return publish(input, line_len, line, limits.payload);
        }
        Verb::PublishWithHeaders => {
            let line = Words::of(line)?.publish(true)?;
            return publish(input, line_len, line, limits.payload);
        }
        Verb::Subscribe => Words::of(line)?.subscribe()?,
        Verb::Unsubscribe => Words::of(line)?.unsubscribe()?,
        Verb::Ping => Operation::Ping,
        Verb::Pong => Operation::Pong,
        Verb::Connect => Operation::Connect(Bytes::copy_from_slice(line)),
        Verb::Info | Verb::Ok => Operation::Nothing,
        Verb::Error => return Err(ProtocolError::Malformed),
    };
    input.advance(line_len);
    Ok(Some(operation))
}

/// The word at the front, in any case, and its length; `None` when it is not whole yet.
fn read_verb(input: &[u8]) -> Result<Option<(Verb, usize)>, ProtocolError> {
    for (word, verb) in VERBS {
        let pairs = input.iter().zip(word);
        let same = pairs
            .take_while(|(byte, letter)| byte.eq_ignore_ascii_case(letter))
            .count();
        if same == word.len() {
            return Ok(Some((verb, same)));
        }
        if same == input.len() {
            return Ok(None);
        }
    }
    Err(ProtocolError::UnknownOperation)
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
    if line.header_len > line.total_len {
        return Err(ProtocolError::Malformed);
    }
    if line.total_len > max_payload {
        return Err(ProtocolError::Payload);
    }
    let end = line_len + line.total_len;
    match input.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => {
            let missing = (end + 2).saturating_sub(input.len());
            input.reserve(missing);
            return Ok(None);
        }
        _ => return Err(ProtocolError::UnknownOperation),
    }
    input.advance(line_len);
    let headers = take(input, line.header_len);
    let payload = take(input, line.total_len - line.header_len);
    input.advance(2);
    Ok(Some(Operation::Publish(Message {
        subject: line.subject,
        reply: line.reply,
        headers,
        payload,
    })))
}

/// The next bytes. Nothing costs nothing: even an empty piece of `input` is counted by it.
fn take(input: &mut BytesMut, len: usize) -> Bytes {
    if len == 0 {
        return Bytes::new();
    }
    input.split_to(len).freeze()
}

/// The arguments of an operation: four at most, and one more when there are too many.
struct Words<'a> {
    words: [&'a str; 5],
    count: usize,
}

impl<'a> Words<'a> {
    /// Subjects are text here, which they need not be for other servers.
    fn of(line: &'a [u8]) -> Result<Self, ProtocolError> {
        let line = std::str::from_utf8(line).map_err(|_| ProtocolError::Malformed)?;
        let mut words = Words {
            words: [""; 5],
            count: 0,
        };
        let found = line
            .split([' ', '\t', '\r'])
            .filter(|word| !word.is_empty());
        for (place, word) in words.words.iter_mut().zip(found) {
            *place = word;
            words.count += 1;
        }
        Ok(words)
    }

    fn as_slice(&self) -> &[&'a str] {
        self.words.get(..self.count).unwrap_or_default()
    }

    fn publish(&self, with_headers: bool) -> Result<PublishLine, ProtocolError> {
        let (subject, reply, header_len, total_len) = match (with_headers, self.as_slice()) {
            (false, [subject, total]) => (subject, None, "0", *total),
            (false, [subject, reply, total]) => (subject, Some(*reply), "0", *total),
            (true, [subject, header, total]) => (subject, None, *header, *total),
            (true, [subject, reply, header, total]) => (subject, Some(*reply), *header, *total),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(PublishLine {
            subject: (*subject).into(),
            reply: reply.map(Into::into),
            header_len: size(header_len).ok_or(ProtocolError::Malformed)?,
            total_len: size(total_len).ok_or(ProtocolError::Malformed)?,
        })
    }

    fn subscribe(&self) -> Result<Operation, ProtocolError> {
        match self.as_slice() {
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

    /// A number that is none means the same as none at all.
    fn unsubscribe(&self) -> Result<Operation, ProtocolError> {
        let (sid, after) = match self.as_slice() {
            [sid] => (sid, None),
            [sid, after] => (sid, size(after)),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(Operation::Unsubscribe {
            sid: (*sid).into(),
            after: after.filter(|after| *after > 0).map(|after| after as u64),
        })
    }
}

/// A number of at most nine digits, which cannot overflow.
fn size(digits: &str) -> Option<usize> {
    let is_number = digits.len() <= 9 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

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
            ("PUB a 9999999999\r\n", ProtocolError::Malformed),
            ("PUB a -1\r\n", ProtocolError::Malformed),
            ("PUB a +1\r\n", ProtocolError::Malformed),
            ("PUB a\r\n", ProtocolError::Malformed),
            ("PUB a b c 1\r\n", ProtocolError::Malformed),
            ("PUB \r\n", ProtocolError::Malformed),
            ("HPUB a 5 4\r\nabcd\r\n", ProtocolError::Malformed),
            ("HPUB a 4\r\n", ProtocolError::Malformed),
            ("SUB a\r\n", ProtocolError::Malformed),
            ("SUB a b c d\r\n", ProtocolError::Malformed),
            ("UNSUB 1 2 3\r\n", ProtocolError::Malformed),
            ("-ERR 'x'\r\n", ProtocolError::Malformed),
            ("PUB a 1\r\nx\n", ProtocolError::UnknownOperation),
            ("PUB a 1\r\nxy", ProtocolError::UnknownOperation),
            ("PUB a 1\r\nx\rz", ProtocolError::UnknownOperation),
            ("GET / HTTP/1.1\r\n", ProtocolError::UnknownOperation),
            ("\r\n", ProtocolError::UnknownOperation),
            (" PING\r\n", ProtocolError::UnknownOperation),
            ("PUBa 1\r\n", ProtocolError::UnknownOperation),
            ("SUB\r\n", ProtocolError::UnknownOperation),
            ("+O\r", ProtocolError::UnknownOperation),
            ("x", ProtocolError::UnknownOperation),
        ] {
            assert_eq!(all(input), Err(expected), "{input}");
        }
    }

    #[test]
    fn a_line_is_as_long_as_the_limit_and_no_longer() {
        let line = |len: usize| format!("SUB {} 1", "a".repeat(len - 2));
        let longest = line(LIMITS.control_line);
        assert_eq!(all(&format!("{longest}\r\n")).unwrap().len(), 1);
        assert_eq!(all(&format!("{longest}\n")).unwrap().len(), 1);
        for sent in [
            format!("{}\r\n", line(LIMITS.control_line + 1)),
            line(LIMITS.control_line + 2),
            format!("PUB{}", " ".repeat(LIMITS.control_line + 1)),
        ] {
            assert_eq!(all(&sent), Err(ProtocolError::ControlLine));
        }
        let mut begun = BytesMut::from(longest.as_str());
        assert_eq!(parse(&mut begun, LIMITS), Ok(None));
    }

    #[test]
    fn what_servers_say_means_nothing_and_a_number_that_is_none_is_none() {
        assert_eq!(
            all("INFO {}\r\n+OK\r\nPINGx\r\n").unwrap(),
            [Operation::Nothing, Operation::Nothing, Operation::Ping]
        );
        for text in [
            "UNSUB 1 0",
            "UNSUB 1 x",
            "UNSUB 1 -1",
            "UNSUB\t1 9999999999",
        ] {
            let at_once = Operation::Unsubscribe {
                sid: "1".into(),
                after: None,
            };
            assert_eq!(all(&format!("{text}\r\n")).unwrap(), [at_once], "{text}");
        }
    }
}
