//! An HTTP client that costs little beside the server that it measures.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::report::Spread;

/// The header by which the pages that the benchmark itself serves know the user.
pub(crate) const USER_HEADER: &str = "x-user";

/// What one request looks like, and what a page that came for it was like.
#[derive(Clone)]
pub(crate) struct Visitor {
    address: SocketAddr,
    headers: String,
    /// As how many users it asks, one after the other; as no user in particular if 0.
    users: usize,
    asked: Arc<AtomicUsize>,
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Visitor {
    /// A visitor who has been on the site before, as its cookies tell.
    pub(crate) async fn returning(address: SocketAddr) -> Self {
        let mut visitor = Self {
            address,
            headers: String::new(),
            users: 0,
            asked: Arc::default(),
        };
        let (head, _) = visitor.connect().await.get(&visitor, "/").await;
        let cookies = head.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_cookie = name.eq_ignore_ascii_case("set-cookie");
            is_cookie.then(|| value.trim().split(';').next().unwrap_or_default())
        });
        let cookies: Vec<&str> = cookies.collect();
        if !cookies.is_empty() {
            visitor.headers = format!("cookie: {}\r\n", cookies.join("; "));
        }
        visitor
    }

    /// Visitors of the benchmark's own pages, as so many users one after the other.
    pub(crate) fn as_users(&self, users: usize) -> Self {
        Self {
            users,
            ..self.clone()
        }
    }

    /// The same visitor with a browser that takes compressed pages.
    pub(crate) fn taking_gzip(&self) -> Self {
        self.with_header("accept-encoding: gzip\r\n")
    }

    /// The same visitor, who sends one line more.
    pub(crate) fn with_header(&self, line: &str) -> Self {
        Self {
            headers: format!("{}{line}", self.headers),
            ..self.clone()
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream,
            buffer: Vec::with_capacity(64 << 10),
        }
    }

    /// Fetches `path` over and over, by `connections` at once: pages a second, how long each took, and bytes of one.
    pub(crate) async fn load(
        &self,
        path: &'static str,
        connections: usize,
        time: Duration,
    ) -> (f64, Spread, usize) {
        let visitor = Arc::new(self.clone());
        let mut fetching = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..connections {
            let visitor = visitor.clone();
            fetching.spawn(async move {
                let mut connection = visitor.connect().await;
                let (mut times, mut bytes) = (Vec::new(), 0);
                while begun.elapsed() < time {
                    let asked = Instant::now();
                    bytes = connection.get(&visitor, path).await.1;
                    times.push(asked.elapsed());
                }
                (times, bytes)
            });
        }
        let (mut times, mut bytes) = (Vec::new(), 0);
        while let Some(done) = fetching.join_next().await {
            let (some, size) = done.unwrap();
            times.extend(some);
            bytes = size;
        }
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        (rate, Spread::new(times), bytes)
    }
}

impl Connection {
    /// Fetches a page: its head, and how many bytes its body has.
    pub(crate) async fn get(&mut self, visitor: &Visitor, path: &str) -> (String, usize) {
        let user = match visitor.users {
            0 => String::new(),
            users => {
                let user = visitor.asked.fetch_add(1, Ordering::Relaxed) % users + 1;
                format!("{USER_HEADER}: {user}\r\n")
            }
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\n{user}{}\r\n",
            visitor.address, visitor.headers
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        let head = loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server hung up");
            let end = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).into_owned();
        assert!(
            text.starts_with("HTTP/1.1 200"),
            "{path} was answered {text}"
        );
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().unwrap())
        });
        match length {
            Some(length) => {
                while self.buffer.len() < head + length {
                    let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
                    assert!(read > 0, "the server hung up");
                }
            }
            // In chunks, of which the last is empty.
            None => {
                while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                    let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
                    assert!(read > 0, "the server hung up");
                }
            }
        }
        (text, self.buffer.len() - head)
    }
}
