//! Where the requests in the bytes of a connection end, by the rules that actix-http's parser has.
//!
//! It reads of a head only what says how long the body is. What it cannot frame it calls broken, and
//! nothing that follows is handed to the parser: the two never disagree about a second request.

/// More of a line is not looked at. No header that matters here is longer.
const LINE_LIMIT: usize = 256;

/// Counts the heads of requests in the bytes that have been handed over.
#[derive(Debug, Default)]
pub(super) struct RequestFraming {
    /// How many heads are complete.
    heads: u64,
    state: State,
    line: Line,
    body: Body,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a request.
    #[default]
    Between,
    /// In the headers of a request.
    Head,
    /// In a body of which so many bytes are left.
    Body(u64),
    /// In the line that gives the size of a chunk.
    ChunkSize,
    /// In a chunk of which so many bytes are left, its line break included.
    Chunk(u64),
    /// After the last chunk.
    Trailers,
    /// All the rest belongs to one request.
    Rest,
    /// It cannot be said what follows.
    Broken,
}

/// What the headers read so far say of the body.
#[derive(Debug, Default)]
struct Body {
    length: Option<u64>,
    is_chunked: bool,
    is_rest: bool,
    is_connect: bool,
    is_unknown: bool,
}

#[derive(Debug, Default)]
struct Line {
    start: Vec<u8>,
    is_cut: bool,
}

impl RequestFraming {
    /// How many heads are complete.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the last request is complete and nothing of a next one has come.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Between && self.line.start.is_empty()
    }

    /// Whether nothing that follows may be handed over.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Reads `bytes` until so many heads are complete, and returns how many bytes that were.
    pub(super) fn advance(&mut self, bytes: &[u8], most_heads: u64) -> usize {
        let mut left = bytes;
        while !left.is_empty() && self.heads < most_heads && !self.is_broken() {
            left = match self.state {
                State::Rest => &[],
                State::Body(length) => self.skip(left, length, State::Body, State::Between),
                State::Chunk(length) => self.skip(left, length, State::Chunk, State::ChunkSize),
                _ => self.read_line(left),
            };
        }
        bytes.len() - left.len()
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        length: u64,
        more: fn(u64) -> State,
        end: State,
    ) -> &'b [u8] {
        let there = bytes.len() as u64;
        if there < length {
            self.state = more(length - there);
            return &[];
        }
        self.state = end;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        bytes.get(length..).unwrap_or_default()
    }

    fn read_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.push(bytes);
            return &[];
        };
        let (line, rest) = bytes.split_at(end);
        self.line.push(line);
        let line = std::mem::take(&mut self.line);
        self.state = self.after_line(&line);
        if self.state == State::Between || self.state == State::Head {
            // A head is read again and again on a connection: keep the memory of its lines.
            self.line.start = line.start;
            self.line.start.clear();
        }
        rest.get(1..).unwrap_or_default()
    }

    fn after_line(&mut self, line: &Line) -> State {
        let text = line.start.trim_ascii_end();
        match self.state {
            State::Between if text.is_empty() => State::Between,
            State::Between => {
                self.body = Body::default();
                self.body.is_connect = text.starts_with(b"CONNECT ");
                State::Head
            }
            State::Head if text.is_empty() => {
                self.heads += 1;
                self.body.state()
            }
            State::Head => {
                // The parser answers only once it has the whole head.
                self.body.is_unknown |= self.body.read_header(text, line.is_cut).is_none();
                State::Head
            }
            State::ChunkSize => match chunk_size(text) {
                Some(0) => State::Trailers,
                // The line break after the chunk belongs to it.
                Some(size) => State::Chunk(size.saturating_add(2)),
                None => State::Broken,
            },
            State::Trailers if text.is_empty() => State::Between,
            state => state,
        }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT - self.start.len();
        self.is_cut |= bytes.len() > room;
        self.start
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

impl Body {
    /// Takes in one header; `None` if the body's length cannot be known.
    fn read_header(&mut self, line: &[u8], is_cut: bool) -> Option<()> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = str::from_utf8(value).ok()?.parse().ok();
            if is_cut || !is_number || self.length.is_some() || self.is_chunked {
                return None;
            }
            self.length = Some(length?);
        } else if is("transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            if is_cut || !is_chunked || self.length.is_some() || self.is_chunked {
                return None;
            }
            self.is_chunked = true;
        } else if is("upgrade") {
            self.is_rest |= value.eq_ignore_ascii_case(b"websocket");
        }
        Some(())
    }

    fn state(&self) -> State {
        match self.length {
            _ if self.is_unknown => State::Broken,
            _ if self.is_chunked => State::ChunkSize,
            _ if self.is_rest => State::Rest,
            Some(0) => State::Between,
            Some(length) => State::Body(length),
            None if self.is_connect => State::Rest,
            None => State::Between,
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .split(|byte| matches!(byte, b';' | b' ' | b'\t'))
        .next()?;
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: films\r\n\r\n";

    fn heads_of(text: &str) -> (u64, State) {
        // Byte by byte and at once are the same.
        let mut slow = RequestFraming::default();
        for byte in text.as_bytes() {
            slow.advance(&[*byte], u64::MAX);
        }
        let mut framing = RequestFraming::default();
        framing.advance(text.as_bytes(), u64::MAX);
        assert_eq!((slow.heads, slow.state), (framing.heads, framing.state));
        (framing.heads, framing.state)
    }

    #[test]
    fn requests_are_counted_and_their_bodies_are_not() {
        let get = str::from_utf8(GET).unwrap();
        let post = |headers: &str, body: &str| {
            format!("POST / HTTP/1.1\r\nhost: films\r\n{headers}\r\n\r\n{body}{get}")
        };
        for two in [
            format!("{get}{get}"),
            format!("\r\n\n{get}\r\n{get}"),
            "GET / HTTP/1.1\nhost: films\n\n".repeat(2),
            post("Content-Length:  4 ", "\r\n\r\n"),
            post("content-length: 0", ""),
            post("Transfer-Encoding: chunked", "4\r\n\r\n\r\n\r\n0\r\n\r\n"),
            post(
                "transfer-encoding: Chunked",
                "2;a=b\r\n\n\n\r\n0 \r\nx: y\r\n\r\n",
            ),
        ] {
            assert_eq!(heads_of(&two), (2, State::Between), "{two:?}");
        }
    }

    #[test]
    fn nothing_is_handed_over_after_what_cannot_be_framed() {
        for headers in [
            "content-length: 1\r\ncontent-length: 1",
            "content-length: +1",
            "content-length: ",
            "content-length: 99999999999999999999",
            "transfer-encoding: gzip",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 1",
            "content-length: 1\r\ntransfer-encoding: chunked",
            "no header",
        ] {
            let text = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\nGET / HTTP/1.1\r\n\r\n");
            assert_eq!(heads_of(&text), (1, State::Broken), "{headers:?}");
        }
        let chunk = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nz\r\n";
        assert_eq!(heads_of(chunk), (1, State::Broken));
    }

    #[test]
    fn all_that_follows_an_upgrade_belongs_to_it() {
        let text = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(heads_of(text), (1, State::Rest));
    }

    #[test]
    fn it_stops_after_as_many_heads_as_are_wanted() {
        let mut framing = RequestFraming::default();
        let bytes = GET.repeat(10);
        assert_eq!(framing.advance(&bytes, 3), 3 * GET.len());
        assert_eq!(framing.advance(&bytes, 3), 0);
        assert_eq!(framing.advance(&bytes, 4), GET.len());
        assert!(framing.is_between() && !framing.is_broken());
    }
}
