//! The requests to an identity provider: each on a connection of its own, by TLS unless it is on this machine, with a deadline and a limit
//! for the answer. Redirections are not followed: a provider could send us anywhere in our own network by them.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    client::conn::http1,
    header::{CONNECTION, HOST, HeaderValue},
    http::uri::InvalidUri,
};
use hyper_util::rt::TokioIo;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::settings::is_safe;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The description of the provider has an address that is not safe.
    #[error("its address {0}")]
    Unsafe(String),
    /// There is no connection to it.
    #[error("no connection")]
    Unreachable(#[source] io::Error),
    /// The connection ended, or what came is no HTTP.
    #[error("no answer that can be read")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// Its answer is longer than any that makes sense.
    #[error("an answer of more than {MAX_ANSWER} bytes")]
    TooLong,
    /// The request could not be made.
    #[error("its address cannot be asked for")]
    Request(#[source] InvalidUri),
}

/// Makes the requests.
pub(super) struct HttpClient {
    tls: TlsConnector,
    pub(super) deadline: Duration,
}

impl HttpClient {
    /// Connects by TLS with `tls`.
    pub(super) fn new(tls: TlsConnector) -> Self {
        Self {
            tls,
            deadline: DEADLINE,
        }
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = timeout(self.deadline, self.exchange(request)).await;
        asked.unwrap_or(Err(HttpError::Late(self.deadline)))
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string());
        let url = url.map_err(|error| HttpError::Unsafe(format!("is no URL: {error}")))?;
        is_safe(&url).map_err(HttpError::Unsafe)?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(HttpError::Unreachable)?;
        let request = in_origin_form(request)?;
        if url.scheme() == "http" {
            return exchange_over(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| HttpError::Unsafe("has no name for TLS".to_owned()))?;
        let stream = self.tls.connect(name, stream).await;
        exchange_over(stream.map_err(HttpError::Unreachable)?, request).await
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// The request as a server takes it: path and query, with the host in a field.
fn in_origin_form(request: HttpRequest) -> Result<Request<Full<Bytes>>, HttpError> {
    let (mut head, body) = request.into_parts();
    if let Some(authority) = head.uri.authority() {
        // Without a name and password, which `is_safe` has not looked for.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(host) {
            head.headers.insert(HOST, host);
        }
    }
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("close"));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().map_err(HttpError::Request)?;
    Ok(Request::from_parts(head, Full::new(Bytes::from(body))))
}

async fn exchange_over<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<HttpResponse, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(HttpError::Broken)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(HttpError::Broken)?.into_parts();
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(HttpResponse::from_parts(head, body.to_bytes().into())),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => HttpError::Broken(*error),
            Err(_) => HttpError::TooLong,
        }),
    }
}
