//! Header blocks: reading one value out of a client's, and building the server's own.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

const VERSION: &[u8] = b"NATS/1.0";

/// The first value of a header, names compared exactly as the servers in the field do.
pub(super) fn value<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
    let value = values(block, name).next()?;
    std::str::from_utf8(value.trim_ascii()).ok()
}

/// All headers that have a value, with their values.
pub(super) fn all(block: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    let mut rest = split_line(block).1;
    while let Some(behind) = rest {
        let line;
        (line, rest) = split_line(behind);
        let text = String::from_utf8_lossy(line);
        if let Some((name, value)) = text.split_once(':')
            && !value.trim().is_empty()
        {
            let values = all.entry(name.to_owned()).or_default();
            values.push(value.trim().to_owned());
        }
    }
    all
}

/// Whether a block has no header for servers but the one of this name. Then no other needs to be looked for.
pub(super) fn has_no_other(block: &[u8], name: &str) -> bool {
    let mut rest = split_line(block).1;
    while let Some(behind) = rest {
        let line;
        (line, rest) = split_line(behind);
        let is_of_name = line.strip_prefix(name.as_bytes());
        let is_of_name = is_of_name.is_some_and(|value| value.starts_with(b":"));
        let is_for_servers = line.starts_with(b"Nats-") || line.starts_with(b"KV-");
        if is_for_servers && !is_of_name {
            return false;
        }
    }
    true
}

/// How many values a header has.
pub(super) fn count(block: &[u8], name: &str) -> usize {
    values(block, name).count()
}

/// All values of a header. The version of the block comes before the first.
fn values<'a>(block: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = split_line(block).1;
    std::iter::from_fn(move || {
        loop {
            let (line, behind) = split_line(rest?);
            rest = behind;
            let value = line.strip_prefix(name.as_bytes());
            if let Some(value) = value.and_then(|value| value.strip_prefix(b":")) {
                return Some(value);
            }
        }
    })
}

/// The first line, and what is behind its end if it has one.
fn split_line(block: &[u8]) -> (&[u8], Option<&[u8]>) {
    for end in memchr::memchr_iter(b'\n', block) {
        let line = block.get(..end).unwrap_or_default();
        if let Some(line) = line.strip_suffix(b"\r") {
            return (line, block.get(end + 1..));
        }
    }
    (block, None)
}

/// A block that only carries a status, such as `404 No Messages`.
pub(super) fn status(code_and_text: &str) -> Bytes {
    with_status(code_and_text, &[])
}

/// A status with headers.
pub(super) fn with_status(code_and_text: &str, headers: &[(&str, &str)]) -> Bytes {
    let mut block = BytesMut::with_capacity(64 + headers.len() * 48);
    block.put_slice(VERSION);
    if !code_and_text.is_empty() {
        block.put_u8(b' ');
        block.put_slice(code_and_text.as_bytes());
    }
    block.put_slice(b"\r\n");
    put(&mut block, headers);
    block.freeze()
}

/// A client's block without a status, which only servers have; `None` if it has none. A client that gets a message with one takes it for
/// word of a server.
pub(super) fn without_status(block: &[u8]) -> Option<Bytes> {
    let (line, rest) = split_line(block);
    let status = line.strip_prefix(VERSION)?;
    let rest = rest.filter(|_| !status.is_empty())?;
    Some([VERSION, b"\r\n", rest].concat().into())
}

/// A client's block, possibly empty, with more headers at its end.
pub(super) fn extended(block: &[u8], headers: &[(&str, &str)]) -> Bytes {
    let Some(body) = block.strip_suffix(b"\r\n") else {
        return with_status("", headers);
    };
    let mut extended = BytesMut::with_capacity(block.len() + headers.len() * 48);
    extended.put_slice(body);
    put(&mut extended, headers);
    extended.freeze()
}

/// A client's block without some of its headers; empty if none is left.
pub(super) fn without(block: &[u8], is_gone: impl Fn(&str) -> bool) -> Bytes {
    let mut kept = BytesMut::new();
    let (mut line, mut rest) = split_line(block);
    let mut is_version = true;
    loop {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_gone = !is_version && std::str::from_utf8(name).is_ok_and(&is_gone);
        if !line.is_empty() && !is_gone {
            kept.put_slice(line);
            kept.put_slice(b"\r\n");
        }
        let Some(behind) = rest else {
            break;
        };
        (line, rest) = split_line(behind);
        is_version = false;
    }
    if kept.len() <= VERSION.len() + 2 {
        return Bytes::new();
    }
    kept.put_slice(b"\r\n");
    kept.freeze()
}

fn put(block: &mut BytesMut, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        block.put_slice(name.as_bytes());
        block.put_slice(b": ");
        block.put_slice(value.as_bytes());
        block.put_slice(b"\r\n");
    }
    block.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_have_a_status() {
        let without = without_status(b"NATS/1.0 409 Consumer Deleted\r\na: 1\r\n\r\n");
        assert_eq!(without.unwrap(), "NATS/1.0\r\na: 1\r\n\r\n");
        for plain in [&b""[..], b"NATS/1.0\r\na: 1\r\n\r\n", b"x y\r\n\r\n"] {
            assert_eq!(without_status(plain), None);
        }
    }

    #[test]
    fn a_block_says_nothing_to_servers_but_an_id() {
        let has_no_other = |block: &[u8]| has_no_other(block, "Nats-Msg-Id");
        for plain in [
            &b""[..],
            b"NATS/1.0\r\n\r\n",
            b"NATS/1.0\r\nNats-Msg-Id: 1\r\nOwn: Nats-TTL: 1\r\n\r\n",
            b"NATS/1.0\r\nnats-ttl: 1\r\n\r\n",
        ] {
            assert!(has_no_other(plain));
        }
        for more in [
            &b"NATS/1.0\r\nNats-Msg-Id: 1\r\nNats-TTL: 1s\r\n\r\n"[..],
            b"NATS/1.0\r\nNats-Msg-Ids: 1\r\n\r\n",
            b"NATS/1.0\r\nOwn: 1\r\nKV-Operation: PURGE\r\n\r\n",
        ] {
            assert!(!has_no_other(more));
        }
    }

    #[test]
    fn values_are_found_and_trimmed() {
        let block = b"NATS/1.0\r\nNats-Msg-Id:  a:b \r\nEmpty:\r\nNats-Msg-Id: second\r\n\r\n";
        assert_eq!(value(block, "Nats-Msg-Id"), Some("a:b"));
        assert_eq!(value(block, "Empty"), Some(""));
        assert_eq!(value(block, "nats-msg-id"), None);
        assert_eq!(value(b"", "x"), None);
        assert_eq!((count(block, "Nats-Msg-Id"), count(block, "A")), (2, 0));
        assert_eq!(value(b"NATS/1.0\r\na\nx: 1\r\nx: 2\n3", "x"), Some("2\n3"));
        assert_eq!(value(&[0xff, 0xfe], "x"), None);
    }

    #[test]
    fn headers_are_left_out() {
        let block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\nAb: 3\r\n\r\n";
        assert_eq!(
            without(block, |name| name.starts_with('A')),
            "NATS/1.0\r\nB: 2\r\n\r\n"
        );
        assert_eq!(without(block, |_| true), "");
        assert_eq!(without(b"", |_| false), "");
    }

    #[test]
    fn blocks_are_built() {
        assert_eq!(status("503"), "NATS/1.0 503\r\n\r\n");
        let block = with_status("408 Request Timeout", &[("Nats-Pending-Messages", "1")]);
        assert_eq!(
            block,
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n"
        );
        assert_eq!(
            extended(b"NATS/1.0\r\nA: 1\r\n\r\n", &[("B", "2")]),
            "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n"
        );
        assert_eq!(extended(b"", &[("B", "2")]), "NATS/1.0\r\nB: 2\r\n\r\n");
    }
}
