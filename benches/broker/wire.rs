//! A client of the NATS protocol that does as little as a client can: a socket, and a buffer of what came.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::program::PATIENCE;

/// How much is read at once.
const BUFFER: usize = 256 * 1024;
/// Until when a server has to greet.
const GREETING: Duration = Duration::from_secs(5);
const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"bench\",\"version\":\"1\"}\r\n";

/// One connection. All waits end after [`PATIENCE`], with an error.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// A message as it came.
pub(crate) struct Received<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) reply: &'a [u8],
    /// Headers, if there are any, and payload.
    pub(crate) body: &'a [u8],
}

impl Client {
    /// Connects, and waits until the server has taken the introduction.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(GREETING))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut client = Client {
            socket,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
        };
        client.send(CONNECT)?;
        client.flush()?;
        client.socket.set_read_timeout(Some(PATIENCE))?;
        Ok(client)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.send(format!("SUB {subject} 1\r\n").as_bytes())
            .unwrap();
        self.flush().unwrap();
    }

    /// Waits until the server has read all that was sent. No message may be on its way to this client.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.send(b"PING\r\n")?;
        loop {
            let line = self.line()?;
            match self.buffer[line.0..line.1]
                .split(u8::is_ascii_whitespace)
                .next()
            {
                Some(b"PONG") => return Ok(()),
                Some(b"INFO") => {}
                Some(b"PING") => self.send(b"PONG\r\n")?,
                _ => return Err(self.surprised(line)),
            }
        }
    }

    /// Takes `count` messages that each look exactly like `expected` on the wire.
    pub(crate) fn receive_alike(&mut self, expected: &[u8], count: usize) -> io::Result<()> {
        let mut missing = count;
        while missing > 0 {
            let unread = &self.buffer[self.start..self.end];
            if unread.len() >= expected.len() {
                if unread.starts_with(expected) {
                    self.start += expected.len();
                    missing -= 1;
                } else {
                    self.answer_ping()?;
                }
            } else if unread.starts_with(b"PING\r\n") {
                self.answer_ping()?;
            } else {
                self.fill()?;
            }
        }
        Ok(())
    }

    fn answer_ping(&mut self) -> io::Result<()> {
        let line = self.line()?;
        if &self.buffer[line.0..line.1] != b"PING" {
            return Err(self.surprised(line));
        }
        self.send(b"PONG\r\n")
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        let line = loop {
            let line = self.line()?;
            match &self.buffer[line.0..line.1] {
                b"PING" => self.send(b"PONG\r\n")?,
                text if text.starts_with(b"MSG ") || text.starts_with(b"HMSG ") => break line,
                _ => return Err(self.surprised(line)),
            }
        };
        let words = || self.buffer[line.0..line.1].split(|byte| *byte == b' ');
        let length = words()
            .next_back()
            .and_then(|word| str::from_utf8(word).ok());
        let length: usize = length.and_then(|word| word.parse().ok()).unwrap();
        // What comes after the line may move while the rest of the message is read.
        let head = line.1 - line.0 + 2;
        self.start = line.0;
        while self.end - self.start < head + length + 2 {
            self.fill()?;
        }
        let line = &self.buffer[self.start..self.start + head - 2];
        let body = &self.buffer[self.start + head..self.start + head + length];
        self.start += head + length + 2;
        let mut words = line.split(|byte| *byte == b' ');
        let without_reply = if words.next() == Some(b"HMSG") { 5 } else { 4 };
        let subject = words.next().unwrap();
        let has_reply = line.split(|byte| *byte == b' ').count() > without_reply;
        let reply = if has_reply {
            words.nth(1).unwrap()
        } else {
            &[]
        };
        Ok(Received {
            subject,
            reply,
            body,
        })
    }

    /// Whether a message has come already, or a part of it.
    pub(crate) fn has_message(&self) -> bool {
        matches!(self.buffer[self.start..self.end].first(), Some(b'M' | b'H'))
    }

    /// Asks and waits for the answer, which is JSON.
    pub(crate) fn ask(&mut self, subject: &str, body: &str) -> io::Result<Value> {
        let length = body.len();
        let request = format!(
            "SUB _INBOX.ask 9\r\nUNSUB 9 1\r\nPUB {subject} _INBOX.ask {length}\r\n{body}\r\n"
        );
        self.send(request.as_bytes())?;
        let answer = self.receive()?;
        Ok(serde_json::from_slice(answer.body).unwrap_or(Value::Null))
    }

    /// The next line without its end, as places in the buffer.
    fn line(&mut self) -> io::Result<(usize, usize)> {
        let mut looked_at = 0;
        loop {
            let unread = &self.buffer[self.start + looked_at..self.end];
            if let Some(place) = unread.iter().position(|byte| *byte == b'\n') {
                let start = self.start;
                self.start += looked_at + place + 1;
                return Ok((start, self.start - 2));
            }
            looked_at = self.end - self.start;
            self.fill()?;
        }
    }

    /// Reads what is there, and waits for something if nothing is.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let read = self.socket.read(&mut self.buffer[self.end..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += read;
        Ok(())
    }

    fn surprised(&self, line: (usize, usize)) -> io::Error {
        let text = String::from_utf8_lossy(&self.buffer[line.0..line.1]);
        io::Error::other(format!("unexpected: {text}"))
    }
}
