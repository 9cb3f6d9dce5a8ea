//! The bytes of a connection, encrypted or not, and how a connection comes to be the one or the other.
//!
//! A client learns from the greeting that it has to speak TLS, unless TLS comes before the greeting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, CertificateNames};
use super::clients::Encryption;
use super::tls::{HandshakeFirst, Tls};

/// The first byte of a TLS handshake; no operation of the protocol begins with it.
const HANDSHAKE: u8 = 0x16;

/// What a client sends.
pub(super) enum Reader {
    Plain(OwnedReadHalf),
    Layered(ReadHalf<Box<dyn Layer>>),
}

/// What lies on a socket: TLS, a websocket, or this on that.
pub(super) trait Layer: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Layer for S {}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Reader::Plain(half) => Pin::new(half).poll_read(context, buffer),
            Reader::Layered(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

/// What a client is sent.
pub(super) enum Writer {
    Plain(Arc<OwnedWriteHalf>),
    Layered(WriteHalf<Box<dyn Layer>>),
}

impl Writer {
    /// Hands all of it to the operating system.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Writer::Plain(half) => write_plain(half, bytes).await,
            Writer::Layered(half) => {
                half.write_all(bytes).await?;
                half.flush().await
            }
        }
    }

    /// The socket, where others may write to it between two writes of this.
    pub(super) fn shared(&self) -> Option<Arc<OwnedWriteHalf>> {
        match self {
            Writer::Plain(half) => Some(Arc::clone(half)),
            Writer::Layered(_) => None,
        }
    }

    /// Says that nothing more comes. A plain socket is told when nothing holds it any more.
    pub(super) async fn shutdown(self) -> io::Result<()> {
        match self {
            Writer::Plain(_) => Ok(()),
            Writer::Layered(mut half) => half.shutdown().await,
        }
    }
}

async fn write_plain(half: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        half.writable().await?;
        match half.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a client showed of itself by TLS; nothing where it does not speak it.
#[derive(Default)]
pub(super) struct TlsPeer {
    /// The names in its certificate.
    pub(super) names: CertificateNames,
    pub(super) encryption: Option<Encryption>,
}

/// A connection on which the protocol can be spoken.
pub(super) struct Opened {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) peer: TlsPeer,
    /// What the client is still to be greeted with; empty when it was.
    pub(super) greeting: String,
}

/// Opens a connection; `None` when the client leaves, or speaks in plain text though it must not. `greeting` is what a
/// client is greeted with, and is told whether the client speaks TLS already.
pub(super) async fn open(
    mut socket: TcpStream,
    tls: Option<&Tls>,
    greeting: impl Fn(bool) -> String,
) -> io::Result<Option<Opened>> {
    let Some(tls) = tls else {
        return Ok(Some(plain(socket, greeting(false))));
    };
    let wait = tls.settings.timeout;
    let first = match tls.settings.handshake_first {
        HandshakeFirst::No => false,
        HandshakeFirst::Yes => true,
        HandshakeFirst::OrGreetAfter(delay) => first_byte(&socket, delay).await?.is_some(),
    };
    if !first {
        timeout(wait, socket.write_all(greeting(false).as_bytes())).await??;
    }
    match first_byte(&socket, wait).await? {
        Some(HANDSHAKE) => {
            let greeting = if first { greeting(true) } else { String::new() };
            let (stream, peer) = handshake(socket, tls).await?;
            Ok(Some(Opened::layered(stream, peer, greeting)))
        }
        _ if tls.settings.allow_non_tls && !first => Ok(Some(plain(socket, String::new()))),
        _ => Ok(None),
    }
}

impl Opened {
    /// A connection through what lies on its socket.
    pub(super) fn layered(layer: impl Layer + 'static, peer: TlsPeer, greeting: String) -> Self {
        let layer: Box<dyn Layer> = Box::new(layer);
        let (reader, writer) = tokio::io::split(layer);
        Opened {
            reader: Reader::Layered(reader),
            writer: Writer::Layered(writer),
            peer,
            greeting,
        }
    }
}

fn plain(socket: TcpStream, greeting: String) -> Opened {
    let (reader, writer) = socket.into_split();
    Opened {
        reader: Reader::Plain(reader),
        writer: Writer::Plain(Arc::new(writer)),
        peer: TlsPeer::default(),
        greeting,
    }
}

/// Speaks TLS on a socket from now on.
pub(super) async fn handshake(
    socket: TcpStream,
    tls: &Tls,
) -> io::Result<(TlsStream<TcpStream>, TlsPeer)> {
    let stream = timeout(tls.settings.timeout, tls.acceptor.accept(socket)).await??;
    let spoken = stream.get_ref().1;
    let shown = spoken.peer_certificates().and_then(<[_]>::first);
    let agreed = spoken
        .protocol_version()
        .zip(spoken.negotiated_cipher_suite());
    let peer = TlsPeer {
        names: shown
            .map(|first| certificate::names(first))
            .unwrap_or_default(),
        encryption: agreed.map(|(version, suite)| Encryption {
            version,
            suite: suite.suite(),
        }),
    };
    Ok((stream, peer))
}

/// The first byte that the client sends, which stays where it is; `None` when there is none in time.
async fn first_byte(socket: &TcpStream, within: Duration) -> io::Result<Option<u8>> {
    let mut byte = [0];
    match timeout(within, socket.peek(&mut byte)).await {
        Err(_) => Ok(None),
        Ok(Ok(0)) => Ok(None),
        Ok(Ok(_)) => Ok(byte.first().copied()),
        Ok(Err(error)) => Err(error),
    }
}
