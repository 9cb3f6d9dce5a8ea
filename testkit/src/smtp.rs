//! A mail server, in memory: enough of SMTP (RFC 5321) to take mail, with TLS if it is to have it. It keeps what it was given, and can leave, hang,
//! refuse, answer twice, greet without an end, and end a connection instead of confirming.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::{interval, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{FakeAuthority, LIMIT, UNPOISONED, eventually, server::FakeServer};

/// The longest line and the longest mail that it takes, in bytes.
const MAX_MAIL: usize = 1 << 20;

/// The mail server. Clones are the same.
#[derive(Clone)]
pub struct FakeMailServer {
    state: Arc<Mutex<State>>,
    server: FakeServer,
}

#[derive(Default)]
struct State {
    caught: Vec<CaughtMail>,
    fault: Option<MailFault>,
    password: Option<(String, String)>,
    tls: Option<(MailTls, TlsAcceptor)>,
    connections: usize,
}

/// When a mail server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// From the beginning.
    FromTheBeginning,
    /// After STARTTLS; it takes no mail before.
    AfterStartTls,
}

/// How often a byte comes that dribbles.
const DRIBBLE: Duration = Duration::from_millis(20);

/// What a mail server does instead of taking a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailFault {
    /// It accepts connections, and says nothing.
    Hangs,
    /// It answers this code to the address of the recipient, for example 450 or 550.
    RefusesRecipient(u16),
    /// It answers this code to the mail itself, for example 452 or 554.
    RefusesMail(u16),
    /// It says everything twice.
    AnswersTwice,
    /// It takes the mail, and ends the connection instead of saying so.
    TakesInSilence,
    /// It says something that is no SMTP.
    Babbles,
    /// Its greeting is one line that does not end.
    GreetsWithoutEnd,
    /// Its greeting has line after line.
    GreetsLineByLine,
    /// Its greeting comes byte by byte, and does not end.
    Dribbles,
    /// It takes the mail, and does not answer to a goodbye.
    KeepsTheLine,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaughtMail {
    /// The sender that the envelope names.
    pub from: String,
    /// The recipients that the envelope names.
    pub to: Vec<String>,
    /// Head and body, as they were sent.
    pub raw: String,
}

impl CaughtMail {
    /// The value of a field of the head, unfolded; as it was sent, `subject` decodes. Nothing if there is none.
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.raw.split_once("\r\n\r\n")?;
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            let is_it = field.eq_ignore_ascii_case(name);
            is_it.then(|| value.trim().to_owned())
        })
    }

    /// The subject as a person reads it.
    pub fn subject(&self) -> String {
        let subject = self.header("Subject").unwrap_or_default();
        let (mut decoded, mut was_encoded) = (String::new(), true);
        for word in subject.split(' ') {
            let encoded = word
                .strip_prefix("=?utf-8?b?")
                .and_then(|word| word.strip_suffix("?="));
            // RFC 2047: what is between two encoded words is no space.
            let is_joined = was_encoded && encoded.is_some();
            if !is_joined && !decoded.is_empty() {
                decoded.push(' ');
            }
            match encoded {
                Some(encoded) => decoded += &text(STANDARD.decode(encoded).unwrap_or_default()),
                None => decoded += word,
            }
            was_encoded = encoded.is_some();
        }
        decoded
    }

    /// The body as a person reads it, with `\n` at the ends of lines.
    pub fn body(&self) -> String {
        let body = self.raw.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let encoding = self.header("Content-Transfer-Encoding");
        let decoded = match encoding.unwrap_or_default().to_ascii_lowercase().as_str() {
            "quoted-printable" => text(unquoted(body)),
            "base64" => {
                let one_line: String = body.split_whitespace().collect();
                text(STANDARD.decode(one_line).unwrap_or_default())
            }
            _ => body.to_owned(),
        };
        decoded.replace("\r\n", "\n")
    }

    /// The first address in the body that begins with `https://` or `http://`.
    pub fn link(&self) -> Option<String> {
        let body = self.body();
        let mut words = body.split_whitespace();
        let link = words.find(|word| word.starts_with("https://") || word.starts_with("http://"));
        link.map(str::to_owned)
    }
}

impl FakeMailServer {
    /// A server that takes mail.
    pub fn new() -> Self {
        let server = Self::absent();
        server.serve();
        server
    }

    /// A server at whose address nothing answers yet.
    pub fn absent() -> Self {
        Self {
            state: Arc::default(),
            server: FakeServer::new(),
        }
    }

    /// Begins to answer.
    pub fn serve(&self) {
        let state = self.state.clone();
        self.server.serve_on(async move |listener| {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                let tls = {
                    let mut state = state.lock().expect(UNPOISONED);
                    state.connections += 1;
                    state.tls.clone()
                };
                // A client may leave.
                tokio::spawn(timeout(LIMIT, async move {
                    let stream: Box<dyn Stream> = match tls {
                        Some((MailTls::FromTheBeginning, acceptor)) => {
                            Box::new(acceptor.accept(stream).await.map_err(|_| Ended)?)
                        }
                        _ => Box::new(stream),
                    };
                    Conversation::new(stream, state).hold().await
                }));
            }
        });
    }

    /// Ends, with all connections. What it was given stays.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The setting that names it.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address())
    }

    /// Takes mail only from who signs in with this name and password, from now on.
    pub fn require_password(&self, name: &str, password: &str) {
        self.lock().password = Some((name.into(), password.into()));
    }

    /// Speaks TLS from now on, by the certificate that the authority has signed.
    pub fn require_tls(&self, tls: MailTls, authority: &FakeAuthority) {
        self.lock().tls = Some((tls, authority.acceptor.clone()));
    }

    /// Does this from now on, or takes mail again.
    pub fn set_fault(&self, fault: Option<MailFault>) {
        self.lock().fault = fault;
    }

    /// All mail that it took, the oldest first.
    pub fn caught(&self) -> Vec<CaughtMail> {
        self.lock().caught.clone()
    }

    /// How often a client has connected.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Waits for a mail to this address, and returns the newest one.
    ///
    /// # Panics
    ///
    /// If there is none within [`LIMIT`].
    pub async fn mail_to(&self, recipient: &str) -> CaughtMail {
        let mut found = None;
        let what = format!("there is a mail to {recipient}");
        eventually(&what, async || {
            let caught = self.caught();
            let of_recipient = |mail: &&CaughtMail| mail.to.iter().any(|to| to == recipient);
            found = caught.iter().rev().find(of_recipient).cloned();
            found.is_some()
        })
        .await;
        found.expect("it was waited for")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

impl Default for FakeMailServer {
    fn default() -> Self {
        Self::new()
    }
}

/// What a connection is read from and written to.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
    state: Arc<Mutex<State>>,
}

/// The client has left, or is to be left.
struct Ended;

impl Conversation {
    fn new(stream: Box<dyn Stream>, state: Arc<Mutex<State>>) -> Self {
        let stream = BufReader::new(stream);
        Self { stream, state }
    }

    fn fault(&self) -> Option<MailFault> {
        self.state.lock().expect(UNPOISONED).fault.clone()
    }

    async fn hold(mut self) -> Result<(), Ended> {
        match self.fault() {
            Some(MailFault::Hangs) => std::future::pending().await,
            Some(MailFault::Babbles) => {
                let written = self.stream.write_all(b"\x00\xff\xfeno mail here\r\n").await;
                written.map_err(|_| Ended)?;
                return self.read_line().await.map(drop);
            }
            Some(MailFault::GreetsWithoutEnd) => return self.write_for_ever(&[b'a'; 4_096]).await,
            Some(MailFault::GreetsLineByLine) => {
                let line = format!("220-{}\r\n", "welcome ".repeat(60));
                return self.write_for_ever(line.as_bytes()).await;
            }
            Some(MailFault::Dribbles) => {
                let mut next = interval(DRIBBLE);
                loop {
                    next.tick().await;
                    self.write(b"2").await?;
                }
            }
            _ => self.say("220 caught.test ESMTP").await?,
        }
        let mut mail = CaughtMail {
            from: String::new(),
            to: vec![],
            raw: String::new(),
        };
        let mut is_trusted = self.state.lock().expect(UNPOISONED).password.is_none();
        let mut awaited = self.state.lock().expect(UNPOISONED).tls.clone();
        let is_asked = |tls: &(MailTls, TlsAcceptor)| tls.0 == MailTls::AfterStartTls;
        awaited = awaited.filter(is_asked);
        loop {
            let line = self.read_line().await?;
            let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match command.to_ascii_uppercase().as_str() {
                "EHLO" if awaited.is_some() => self.say("250-caught.test\r\n250 STARTTLS").await?,
                "STARTTLS" => {
                    let Some((_, acceptor)) = awaited.take() else {
                        return self.say("502 what").await;
                    };
                    self.say("220 go on").await?;
                    self = self.secure(&acceptor).await?;
                }
                "MAIL" | "AUTH" if awaited.is_some() => self.say("530 by TLS alone").await?,
                "EHLO" if is_trusted => self.say("250-caught.test\r\n250 8BITMIME").await?,
                "EHLO" => {
                    self.say("250-caught.test\r\n250-8BITMIME\r\n250 AUTH PLAIN")
                        .await?
                }
                "HELO" | "NOOP" => self.say("250 fine").await?,
                "AUTH" => {
                    is_trusted = self.is_password(rest);
                    let answer = if is_trusted {
                        "235 welcome"
                    } else {
                        "535 wrong name or password"
                    };
                    self.say(answer).await?;
                }
                "MAIL" if !is_trusted => self.say("530 who are you").await?,
                "MAIL" => {
                    mail.from = address(rest);
                    self.say("250 fine").await?;
                }
                "RCPT" => match self.fault() {
                    Some(MailFault::RefusesRecipient(code)) => {
                        self.say(&format!("{code} not to this one")).await?
                    }
                    _ => {
                        mail.to.push(address(rest));
                        self.say("250 fine").await?;
                    }
                },
                "DATA" if mail.to.is_empty() => self.say("503 to whom").await?,
                "DATA" => {
                    self.say("354 go on").await?;
                    mail.raw = self.read_mail().await?;
                    let taken = std::mem::replace(
                        &mut mail,
                        CaughtMail {
                            from: String::new(),
                            to: vec![],
                            raw: String::new(),
                        },
                    );
                    match self.fault() {
                        Some(MailFault::RefusesMail(code)) => {
                            self.say(&format!("{code} not this one")).await?
                        }
                        Some(MailFault::TakesInSilence) => {
                            self.state.lock().expect(UNPOISONED).caught.push(taken);
                            return Ok(());
                        }
                        _ => {
                            self.state.lock().expect(UNPOISONED).caught.push(taken);
                            self.say("250 taken").await?;
                        }
                    }
                }
                "RSET" => {
                    mail.to.clear();
                    self.say("250 fine").await?;
                }
                "QUIT" if self.fault() == Some(MailFault::KeepsTheLine) => {
                    std::future::pending().await
                }
                "QUIT" => {
                    self.say("221 bye").await?;
                    return Ok(());
                }
                _ => self.say("502 what").await?,
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|_| Ended)?;
        self.stream.flush().await.map_err(|_| Ended)
    }

    async fn write_for_ever(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        loop {
            self.write(bytes).await?;
        }
    }

    /// Goes on by TLS.
    async fn secure(self, acceptor: &TlsAcceptor) -> Result<Self, Ended> {
        let stream = acceptor.accept(self.stream.into_inner()).await;
        let stream = stream.map_err(|_| Ended)?;
        Ok(Self::new(Box::new(stream), self.state))
    }

    async fn say(&mut self, answer: &str) -> Result<(), Ended> {
        let once = format!("{answer}\r\n");
        let said = match self.fault() {
            Some(MailFault::AnswersTwice) => once.repeat(2),
            _ => once,
        };
        self.write(said.as_bytes()).await
    }

    async fn read_line(&mut self) -> Result<String, Ended> {
        let mut line = vec![];
        let read = self.stream.read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|read| read > 0) || line.len() > MAX_MAIL {
            return Err(Ended);
        }
        let line = text(line);
        Ok(line.strip_suffix("\r\n").unwrap_or(&line).to_owned())
    }

    /// Reads until the line that has only a dot.
    async fn read_mail(&mut self) -> Result<String, Ended> {
        let mut mail = String::new();
        loop {
            let line = self.read_line().await?;
            if line == "." {
                return Ok(mail);
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
            mail.push_str("\r\n");
            if mail.len() > MAX_MAIL {
                return Err(Ended);
            }
        }
    }

    /// Whether `PLAIN …` has the name and the password.
    fn is_password(&self, rest: &str) -> bool {
        let expected = self.state.lock().expect(UNPOISONED).password.clone();
        let shown = rest.strip_prefix("PLAIN ").unwrap_or_default();
        let shown = text(STANDARD.decode(shown).unwrap_or_default());
        expected.is_none_or(|(name, password)| shown == format!("\0{name}\0{password}"))
    }
}

/// The address in `FROM:<…>` and `TO:<…>`.
fn address(rest: &str) -> String {
    let inside = rest.split_once('<').map_or("", |(_, inside)| inside);
    inside.split('>').next().unwrap_or_default().to_owned()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Decodes quoted-printable, RFC 2045.
fn unquoted(body: &str) -> Vec<u8> {
    let joined = body.replace("=\r\n", "");
    let mut decoded = vec![];
    let mut rest = joined.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        let hex = match (first, others) {
            (b'=', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match (hex, others) {
            (Some(byte), [_, _, after @ ..]) => {
                decoded.push(byte);
                rest = after;
            }
            _ => decoded.push(*first),
        }
    }
    decoded
}
