//! The answers that actix-http's parser gives by itself, to what is no request or comes too late.
//!
//! No middleware sees them. They are recognised among the bytes that are about to be sent, and sent
//! with the headers that every response carries, and an id by which the log tells of them.

use super::HEADERS;
use crate::request_id::{REQUEST_ID_HEADER, RequestId};

/// What such an answer is shorter than: a status line, a length, a date and sometimes `connection`.
/// A response of an application is longer, because it has the headers already.
const LONGEST: usize = 192;
const END: &[u8] = b"\r\n\r\n";
const STATUSES: [&[u8]; 4] = [b"400", b"408", b"431", b"500"];

/// Where in `bytes`, which are about to be sent, a bare answer begins. It is always the last one of a
/// connection.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(END) {
        return None;
    }
    let tail = bytes.len().saturating_sub(LONGEST);
    let window = bytes.get(tail..)?;
    let at = (0..window.len()).rev().find(|at| {
        let line = window.get(*at..).unwrap_or_default();
        let status = line.get(9..12).unwrap_or_default();
        line.starts_with(b"HTTP/1.") && STATUSES.contains(&status)
    })?;
    let answer = window.get(at..)?;
    let has = |part: &[u8]| answer.windows(part.len()).any(|there| there == part);
    let is_head = answer.windows(END.len()).filter(|w| *w == END).count() == 1;
    (is_head && has(b"\r\ncontent-length: 0\r\n")).then_some(tail + at)
}

/// The bare answer `answer` with the headers that every response carries, and `id`.
pub(super) fn secured(answer: &[u8], id: &RequestId) -> Vec<u8> {
    let mut secured = answer.strip_suffix(b"\r\n").unwrap_or(answer).to_vec();
    for (name, value) in HEADERS {
        secured.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    secured.extend_from_slice(format!("{REQUEST_ID_HEADER}: {id}\r\n\r\n").as_bytes());
    secured
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\
        date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_answer_is_found_after_other_answers_and_gets_headers() {
        assert_eq!(find(BARE), Some(0));
        assert_eq!(find(&[b"earlier", BARE].concat()), Some(7));
        let id = RequestId::parse("an-id").unwrap();
        let secured = String::from_utf8(secured(BARE, &id)).unwrap();
        assert!(secured.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n"));
        assert!(secured.contains("\r\nx-content-type-options: nosniff\r\n"));
        assert!(secured.contains("\r\nx-request-id: an-id\r\n"));
        assert!(secured.ends_with("\r\n\r\n") && secured.matches("\r\n\r\n").count() == 1);
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        let secured = secured(BARE, &RequestId::random());
        let text = str::from_utf8(BARE).unwrap();
        for other in [
            &secured[..],
            b"",
            b"\r\n\r\n",
            text.trim_end().as_bytes(),
            text.replace("400", "200").as_bytes(),
            text.replace("length: 0", "length: 7").as_bytes(),
            &[BARE, b"body\r\n\r\n"].concat(),
        ] {
            assert_eq!(find(other), None);
        }
    }
}
