//! The client protocol on the wire: the operations of clients, which [`parser`](super::parser) reads, and what the server writes.

use bytes::Bytes;

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of a line before its payload.
    pub(super) control_line: usize,
    /// Bytes of a message, headers included.
    pub(super) payload: usize,
}

/// One operation of a client, borrowed from what was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation<'a> {
    Connect(&'a [u8]),
    Ping,
    Pong,
    Subscribe {
        subject: &'a str,
        queue: Option<&'a str>,
        sid: &'a str,
    },
    Unsubscribe {
        sid: &'a str,
        after: Option<u64>,
    },
    Publish(Delivery<'a>),
    /// What only servers say, and means nothing from a client.
    Nothing,
}

/// A message as it travels: the headers are the whole block, from `NATS/1.0` to the empty line, or empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) subject: Box<str>,
    pub(super) reply: Option<Box<str>>,
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

/// What a client did wrong. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ProtocolError {
    UnknownOperation,
    /// Arguments that make no sense; of these the client is not told.
    Malformed,
    ControlLine,
    /// A message that is larger than one may be, in bytes.
    Payload {
        size: usize,
        most: usize,
    },
}

/// What a client is told whose message is too large.
pub(super) const PAYLOAD_VIOLATION: &str = "Maximum Payload Violation";

impl ProtocolError {
    pub(super) fn text(self) -> &'static str {
        match self {
            ProtocolError::UnknownOperation => "Unknown Protocol Operation",
            ProtocolError::Malformed => "arguments that make no sense",
            ProtocolError::ControlLine => "maximum control line exceeded",
            ProtocolError::Payload { .. } => PAYLOAD_VIOLATION,
        }
    }
}

/// A message from or to a client, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Delivery<'a> {
    pub(super) subject: &'a str,
    pub(super) reply: Option<&'a str>,
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Delivery<'_> {
    /// A copy that lives as long as it is needed, and holds on to nothing else that was read.
    pub(super) fn to_message(self) -> Message {
        let mut content = Bytes::from([self.headers, self.payload].concat());
        Message {
            subject: self.subject.into(),
            reply: self.reply.map(Into::into),
            headers: content.split_to(self.headers.len()),
            payload: content,
        }
    }

    /// The bytes that the message counts for.
    pub(super) fn size(&self) -> usize {
        self.subject.len() + self.headers.len() + self.payload.len()
    }

    /// The bytes that monitoring counts, as nats-server does: headers and payload.
    pub(super) fn content_len(&self) -> usize {
        self.headers.len() + self.payload.len()
    }

    /// About how many bytes the message takes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        self.size() + self.reply.map_or(0, str::len) + 64
    }

    /// Writes the message for the subscription `sid`; a client without header support gets the payload alone.
    pub(super) fn write(&self, out: &mut Vec<u8>, sid: &str, with_headers: bool) {
        let headers = if with_headers { self.headers } else { &[] };
        out.reserve(self.wire_len() + sid.len());
        let verb: &[u8] = if headers.is_empty() {
            b"MSG "
        } else {
            b"HMSG "
        };
        out.extend_from_slice(verb);
        out.extend_from_slice(self.subject.as_bytes());
        out.push(b' ');
        out.extend_from_slice(sid.as_bytes());
        out.push(b' ');
        if let Some(reply) = self.reply {
            out.extend_from_slice(reply.as_bytes());
            out.push(b' ');
        }
        if !headers.is_empty() {
            put_number(out, headers.len());
            out.push(b' ');
        }
        put_number(out, headers.len() + self.payload.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(headers);
        out.extend_from_slice(self.payload);
        out.extend_from_slice(b"\r\n");
    }
}

fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes an error line.
pub(super) fn write_error(out: &mut Vec<u8>, message: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_with_and_without_headers() {
        let mut out = Vec::new();
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
