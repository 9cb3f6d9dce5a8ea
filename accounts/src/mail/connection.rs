//! A connection to a mail server, for one mail. All that the server says has a limit: it cannot fill our memory with a greeting that does not end.

use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use lettre::{
    Message,
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{
            AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
        },
        extension::ClientId,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{BadMailSetting, SendError, SmtpUrl, TlsUse};
use crate::authorities;

/// How many bytes a server may say while it takes one mail, certificates included. An answer is read anew with each of its lines, so that
/// a larger one would cost more than its length.
const MAX_SAID: usize = 32 * 1_024;

/// How long a server may take to say goodbye. The mail is taken then.
const FAREWELL: Duration = Duration::from_secs(2);

/// How much of a server's own words is told, in characters.
const MAX_REASON: usize = 200;

/// Answers of a server that are about us, not about the mail: it wants another name, password or more of TLS.
const ABOUT_US: [u16; 5] = [530, 534, 535, 538, 554];

/// The server, and how it is spoken to.
#[derive(Clone)]
pub(super) struct MailServer {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
    hello: ClientId,
}

#[derive(Clone)]
enum Security {
    FromTheBeginning(TlsConnector, ServerName<'static>),
    AfterStartTls(TlsParameters),
    Never,
}

impl MailServer {
    /// The server of a setting. `hello` is what we call ourselves.
    ///
    /// # Errors
    ///
    /// The setting that is wrong.
    pub(super) fn new(
        url: &SmtpUrl,
        ca_file: Option<&Path>,
        hello: ClientId,
    ) -> Result<Self, BadMailSetting> {
        let bad = |flag, reason: String| BadMailSetting { flag, reason };
        let host = url.host.trim_start_matches('[').trim_end_matches(']');
        let no_tls =
            |error: String| bad("smtp-url", format!("cannot be spoken to by TLS: {error}"));
        let bad_file = |reason| bad("smtp-ca-file", reason);
        let security = match url.tls {
            TlsUse::FromTheBeginning => {
                let name = ServerName::try_from(host.to_owned());
                let name = name.map_err(|error| no_tls(error.to_string()))?;
                let connector = authorities::connector(ca_file).map_err(bad_file)?;
                Security::FromTheBeginning(connector, name)
            }
            TlsUse::AfterStartTls => {
                let mut parameters = TlsParameters::builder(host.to_owned());
                if ca_file.is_some() {
                    parameters = parameters.certificate_store(CertificateStore::None);
                    for authority in authorities::read(ca_file).map_err(bad_file)? {
                        let authority = Certificate::from_der(authority.to_vec());
                        let authority = authority.map_err(|error| bad_file(error.to_string()))?;
                        parameters = parameters.add_root_certificate(authority);
                    }
                }
                let parameters = parameters.build();
                Security::AfterStartTls(parameters.map_err(|error| no_tls(error.to_string()))?)
            }
            TlsUse::Never if ca_file.is_some() => {
                return Err(bad_file("is of use only with TLS".to_owned()));
            }
            TlsUse::Never => Security::Never,
        };
        let credentials = url.credentials.clone();
        Ok(Self {
            host: host.to_owned(),
            port: url.port,
            security,
            credentials: credentials.map(|(name, password)| Credentials::new(name, password)),
            hello,
        })
    }

    /// Gives the server a mail. The caller sees to the deadline.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    pub(super) async fn take(&self, message: &Message) -> Result<(), SendError> {
        let line = self.connect().await;
        let line = line.map_err(|error| SendError::Transient(in_short(&error)))?;
        let mut connection = self.greet(line).await.map_err(|error| failed(&error))?;
        let text = message.formatted();
        let taken = connection.send(message.envelope(), &text).await;
        taken.map_err(|error| failed(&error))?;
        // Whatever becomes of that, the mail is not sent once more.
        let _ = timeout(FAREWELL, connection.quit()).await;
        Ok(())
    }

    async fn connect(&self) -> io::Result<Box<dyn AsyncTokioStream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let peer = stream.peer_addr()?;
        Ok(match &self.security {
            Security::FromTheBeginning(connector, name) => {
                let stream = connector.connect(name.clone(), stream).await?;
                Box::new(Line::new(stream, peer))
            }
            Security::AfterStartTls(_) | Security::Never => Box::new(Line::new(stream, peer)),
        })
    }

    async fn greet(
        &self,
        line: Box<dyn AsyncTokioStream>,
    ) -> Result<AsyncSmtpConnection, smtp::Error> {
        let mut connection = AsyncSmtpConnection::connect_with_transport(line, &self.hello).await?;
        if let Security::AfterStartTls(parameters) = &self.security {
            connection.starttls(parameters.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// What is read from a server, up to [`MAX_SAID`].
struct Line<S> {
    stream: S,
    peer: SocketAddr,
    left: usize,
}

impl<S> Line<S> {
    fn new(stream: S, peer: SocketAddr) -> Self {
        let left = MAX_SAID;
        Self { stream, peer, left }
    }
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Line<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let said = buffer.filled().len().saturating_sub(before);
        match self.left.checked_sub(said) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("it says too much"))),
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn failed(error: &smtp::Error) -> SendError {
    let is_about_us = error.status().is_some_and(|code| {
        let code = u16::from(code);
        ABOUT_US.contains(&code)
    });
    match error.is_permanent() && !is_about_us {
        true => SendError::Permanent(in_short(error)),
        false => SendError::Transient(in_short(error)),
    }
}

/// An error with its causes, as much of it as is told.
fn in_short(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    let visible = reason.chars().filter(|letter| !letter.is_control());
    visible.take(MAX_REASON).collect()
}
