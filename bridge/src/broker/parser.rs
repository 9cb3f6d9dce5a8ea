//! An incremental, bounded parser of what clients send. It keeps no state: a line is read again when more of it has arrived.

use super::protocol::{Delivery, Limits, Operation, ProtocolError};

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

/// What is at the front of what was read.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed<'a> {
    /// An operation, and how many bytes it takes.
    Whole(Operation<'a>, usize),
    /// The begin of one; at least so many bytes are to come.
    Part(usize),
}

/// Reads the operation at the front of `input`.
///
/// What cannot become an operation any more is refused at the byte that is wrong.
pub(super) fn parse(input: &[u8], limits: Limits) -> Result<Parsed<'_>, ProtocolError> {
    let Some((verb, verb_len)) = read_verb(input)? else {
        return Ok(Parsed::Part(1));
    };
    let after_verb = input.get(verb_len..).unwrap_or_default();
    let blanks = after_verb
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let arguments = after_verb.get(blanks..).unwrap_or_default();
    match (verb, blanks, arguments.first()) {
        _ if blanks > limits.control_line => return Err(ProtocolError::ControlLine),
        (_, _, None) => return Ok(Parsed::Part(1)),
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
            Ok(Parsed::Part(1))
        };
    };
    let line = arguments.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > limits.control_line {
        return Err(ProtocolError::ControlLine);
    }
    let line_len = verb_len + blanks + end + 1;
    let operation = match verb {
        Verb::Publish | Verb::PublishWithHeaders => {
            let line = Words::of(line)?.publish(verb == Verb::PublishWithHeaders)?;
            let after_line = arguments.get(end + 1..).unwrap_or_default();
            return publish(after_line, line_len, &line, limits.payload);
        }
        Verb::Subscribe => Words::of(line)?.subscribe()?,
        Verb::Unsubscribe => Words::of(line)?.unsubscribe()?,
        Verb::Ping => Operation::Ping,
        Verb::Pong => Operation::Pong,
        Verb::Connect => Operation::Connect(line),
        Verb::Info | Verb::Ok => Operation::Nothing,
        Verb::Error => return Err(ProtocolError::Malformed),
    };
    Ok(Parsed::Whole(operation, line_len))
}

/// The word at the front, in any case, and its length; `None` when it is not whole yet.
fn read_verb(input: &[u8]) -> Result<Option<(Verb, usize)>, ProtocolError> {
    for (word, verb) in VERBS {
        let begin = input.get(..word.len()).unwrap_or(input);
        if word
            .get(..begin.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(begin))
        {
            return Ok((begin.len() == word.len()).then_some((verb, word.len())));
        }
    }
    Err(ProtocolError::UnknownOperation)
}

/// What a publish line says.
struct PublishLine<'a> {
    subject: &'a str,
    reply: Option<&'a str>,
    header_len: usize,
    total_len: usize,
}

fn publish<'a>(
    after_line: &'a [u8],
    line_len: usize,
    line: &PublishLine<'a>,
    max_payload: usize,
) -> Result<Parsed<'a>, ProtocolError> {
    if line.header_len > line.total_len {
        return Err(ProtocolError::Malformed);
    }
    if line.total_len > max_payload {
        return Err(ProtocolError::Payload {
            size: line.total_len,
            most: max_payload,
        });
    }
    let Some((content, end)) = after_line.split_at_checked(line.total_len) else {
        return Ok(Parsed::Part(line.total_len + 2 - after_line.len()));
    };
    match end {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(Parsed::Part(2 - end.len())),
        _ => return Err(ProtocolError::UnknownOperation),
    }
    let (headers, payload) = content
        .split_at_checked(line.header_len)
        .unwrap_or_default();
    let publication = Operation::Publish(Delivery {
        subject: line.subject,
        reply: line.reply,
        headers,
        payload,
    });
    Ok(Parsed::Whole(publication, line_len + line.total_len + 2))
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
        let (bytes, mut rest) = (line.as_bytes(), 0..0);
        for place in &mut words.words {
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
            let unread = bytes.get(rest.end..).unwrap_or_default();
            let Some(blanks) = unread.iter().position(|byte| !is_blank(byte)) else {
                break;
            };
            let unread = unread.get(blanks..).unwrap_or_default();
            let len = unread.iter().position(is_blank).unwrap_or(unread.len());
            rest = rest.end + blanks..rest.end + blanks + len;
            *place = line.get(rest.clone()).unwrap_or_default();
            words.count += 1;
        }
        Ok(words)
    }

    fn as_slice(&self) -> &[&'a str] {
        self.words.get(..self.count).unwrap_or_default()
    }

    fn publish(&self, with_headers: bool) -> Result<PublishLine<'a>, ProtocolError> {
        let (subject, reply, header_len, total_len) = match (with_headers, self.as_slice()) {
            (false, [subject, total]) => (subject, None, "0", *total),
            (false, [subject, reply, total]) => (subject, Some(*reply), "0", *total),
            (true, [subject, header, total]) => (subject, None, *header, *total),
            (true, [subject, reply, header, total]) => (subject, Some(*reply), *header, *total),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(PublishLine {
            subject,
            reply,
            header_len: size(header_len).ok_or(ProtocolError::Malformed)?,
            total_len: size(total_len).ok_or(ProtocolError::Malformed)?,
        })
    }

    fn subscribe(&self) -> Result<Operation<'a>, ProtocolError> {
        let (subject, queue, sid) = match self.as_slice() {
            [subject, sid] => (subject, None, sid),
            [subject, queue, sid] => (subject, Some(*queue), sid),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(Operation::Subscribe {
            subject,
            queue,
            sid,
        })
    }

    /// A number that is none means the same as none at all.
    fn unsubscribe(&self) -> Result<Operation<'a>, ProtocolError> {
        let (sid, after) = match self.as_slice() {
            [sid] => (sid, None),
            [sid, after] => (sid, size(after)),
            _ => return Err(ProtocolError::Malformed),
        };
        Ok(Operation::Unsubscribe {
            sid,
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
    use super::*;

    const LIMITS: Limits = Limits {
        control_line: 4096,
        payload: 100,
    };

    fn all(mut input: &str) -> Result<Vec<Operation<'_>>, ProtocolError> {
        let mut operations = Vec::new();
        while let Parsed::Whole(operation, len) = parse(input.as_bytes(), LIMITS)? {
            operations.push(operation);
            input = &input[len..];
        }
        assert!(input.is_empty(), "left over: {input:?}");
        Ok(operations)
    }

    fn message<'a>(
        subject: &'a str,
        reply: Option<&'a str>,
        headers: &'a str,
        payload: &'a str,
    ) -> Operation<'a> {
        Operation::Publish(Delivery {
            subject,
            reply,
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
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
                    sid: "1",
                    after: None
                },
                message("a", Some("b"), "", "hi"),
                message("s", Some("r"), "", "ab"),
                message("s", None, "NATS/1.0\r\n\r\n", "z"),
                Operation::Subscribe {
                    subject: "a.*",
                    queue: Some("q"),
                    sid: "7"
                },
                Operation::Unsubscribe {
                    sid: "7",
                    after: Some(3)
                },
                Operation::Ping,
                Operation::Pong,
                Operation::Subscribe {
                    subject: "x",
                    queue: None,
                    sid: "9"
                },
                message("e", None, "", ""),
                Operation::Ping,
            ]
        );
    }

    #[test]
    fn a_payload_may_hold_line_ends_and_arrive_byte_by_byte() {
        let sent = "CONNECT {\"a\": 1}\r\nPUB a 6\r\nx\r\ny\r\n\r\nPING\r\n";
        let (mut operations, mut begin) = (Vec::new(), 0);
        for end in 0..=sent.len() {
            let missing = match parse(&sent.as_bytes()[begin..end], LIMITS).unwrap() {
                Parsed::Whole(operation, len) => {
                    operations.push(operation);
                    begin += len;
                    0
                }
                Parsed::Part(missing) => missing,
            };
            assert!(missing <= sent.len() - end, "{missing} bytes more at {end}");
        }
        let connect = Operation::Connect(b"{\"a\": 1}");
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
            (
                "PUB a 101\r\n",
                ProtocolError::Payload {
                    size: 101,
                    most: 100,
                },
            ),
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
        assert_eq!(parse(longest.as_bytes(), LIMITS), Ok(Parsed::Part(1)));
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
                sid: "1",
                after: None,
            };
            assert_eq!(all(&format!("{text}\r\n")).unwrap(), [at_once], "{text}");
        }
    }
}
