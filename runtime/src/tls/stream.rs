//! The socket of a server's client, with or without TLS. A client that speaks plain text where TLS is needed is told so in its own
//! protocol before the connection ends: to the client the answer of TLS would be noise. Reading and writing both wait for the handshake, so
//! that its deadline is here: a server that writes first would never come to its own deadline for what it reads.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::{Accept, server::TlsStream};

use super::ServerTls;

/// The first byte of what a client with TLS sends.
const HANDSHAKE: u8 = 0x16;
/// How much is read at once, and how often, of what a client in plain text sends until it has read its answer.
const READ: usize = 4 << 10;
const MAX_READS: usize = 64;

/// What a client in plain text is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plaintext {
    /// HTTP/2: no settings, and the end of the connection with `INADEQUATE_SECURITY` and the reason.
    Http2,
    /// HTTP/1.1.
    Http1,
}

impl Plaintext {
    fn answer(self) -> &'static [u8] {
        match self {
            // The lengths of a frame are its first three bytes: 0, and 8 before the reason of 36 bytes.
            Self::Http2 => {
                b"\0\0\0\x04\0\0\0\0\0\0\0\x2c\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0cthis service is called over TLS only"
            }
            Self::Http1 => {
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 41\r\n\
                  connection: close\r\n\r\nThese pages are served over HTTPS alone.\n"
            }
        }
    }
}

/// The socket of a client.
#[derive(Debug)]
pub(crate) struct ServerStream {
    state: State,
    /// None without TLS, and after the handshake.
    deadline: Option<Pin<Box<Sleep>>>,
}

enum State {
    Plain(TcpStream),
    /// Nothing has come yet.
    Silent(TcpStream, ServerTls, Plaintext),
    Handshake(Box<Accept<TcpStream>>),
    Secured(Box<TlsStream<TcpStream>>),
    /// It speaks plain text, and has been told so far.
    Refused(TcpStream, &'static [u8]),
    Ended,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Silent(..) => "Silent",
            Self::Handshake(_) => "Handshake",
            Self::Secured(_) => "Secured",
            Self::Refused(..) => "Refused",
            Self::Ended => "Ended",
        })
    }
}

/// A stream over which the client can be spoken with.
enum Open<'a> {
    Plain(&'a mut TcpStream),
    Secured(&'a mut TlsStream<TcpStream>),
}

impl ServerStream {
    /// The socket of a client that needs TLS if there is a certificate, and then has until `deadline` for the handshake.
    pub(crate) fn new(
        socket: TcpStream,
        tls: Option<&ServerTls>,
        plaintext: Plaintext,
        deadline: Duration,
    ) -> Self {
        match tls {
            None => Self {
                state: State::Plain(socket),
                deadline: None,
            },
            Some(tls) => Self {
                state: State::Silent(socket, tls.clone(), plaintext),
                deadline: Some(Box::pin(sleep(deadline))),
            },
        }
    }

    /// Shakes hands, or refuses a client in plain text. A client that lets that wait for too long has timed out.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Open<'_>>> {
        match self.poll_handshake(context) {
            Poll::Ready(opened) => {
                opened?;
                self.deadline = None;
            }
            Poll::Pending => {
                if let Some(deadline) = &mut self.deadline {
                    ready!(deadline.as_mut().poll(context));
                    self.state = State::Ended;
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(match &mut self.state {
            State::Plain(socket) => Ok(Open::Plain(socket)),
            State::Secured(stream) => Ok(Open::Secured(stream)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let next = match &mut self.state {
                State::Plain(_) | State::Secured(_) => return Poll::Ready(Ok(())),
                State::Silent(socket, tls, plaintext) => {
                    let mut first = [0; 1];
                    let mut peeked = ReadBuf::new(&mut first);
                    match ready!(socket.poll_peek(context, &mut peeked))? {
                        0 => State::Ended,
                        _ => {
                            let (acceptor, answer) = (tls.acceptor(), plaintext.answer());
                            let State::Silent(socket, ..) =
                                std::mem::replace(&mut self.state, State::Ended)
                            else {
                                continue;
                            };
                            match first {
                                [HANDSHAKE] => State::Handshake(Box::new(acceptor.accept(socket))),
                                _ => State::Refused(socket, answer),
                            }
                        }
                    }
                }
                State::Handshake(handshake) => {
                    match ready!(Pin::new(handshake.as_mut()).poll(context)) {
                        Ok(stream) => State::Secured(Box::new(stream)),
                        Err(error) => {
                            tracing::debug!("a client was refused by TLS: {error}");
                            self.state = State::Ended;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                State::Refused(socket, answer) => {
                    while !answer.is_empty() {
                        let written = ready!(Pin::new(&mut *socket).poll_write(context, answer))?;
                        *answer = answer.get(written..).unwrap_or_default();
                    }
                    ready!(Pin::new(&mut *socket).poll_shutdown(context))?;
                    // A socket that is closed with something unread takes the answer along. The deadline of the
                    // handshake is that for this, too.
                    for _ in 0..MAX_READS {
                        let mut unread = [0; READ];
                        let mut unread = ReadBuf::new(&mut unread);
                        let read = Pin::new(&mut *socket).poll_read(context, &mut unread);
                        if ready!(read).is_err() || unread.filled().is_empty() {
                            break;
                        }
                    }
                    State::Ended
                }
                State::Ended => {
                    let reason = "the client does not speak TLS";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
                }
            };
            self.state = next;
        }
    }

    /// Whether the connection has TLS.
    pub(crate) fn has_tls(&self) -> bool {
        !matches!(self.state, State::Plain(_))
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.poll_open(context))? {
            Open::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Open::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_open(context))? {
            Open::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Open::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.poll_open(context))? {
            Open::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Open::Secured(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_flush(context),
            State::Secured(stream) => Pin::new(stream).poll_flush(context),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            State::Secured(stream) => Pin::new(stream).poll_shutdown(context),
            _ => Poll::Ready(Ok(())),
        }
    }
}
