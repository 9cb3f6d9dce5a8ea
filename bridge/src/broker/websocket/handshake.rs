//! The request that opens a websocket, and the answer to it.
//!
//! Before it is answered a client costs no more than the request, whose length is bounded.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use super::{WebSocketSettings, origin};

/// The longest request: browsers send their cookies.
const LONGEST_REQUEST: usize = 16 << 10;
/// What nats-server serves at paths with these ends is not served here.
const OTHER_PROTOCOLS: [&str; 2] = ["/mqtt", "/leafnode"];

/// Why no websocket is opened: as the client is told, and as the log is.
type Refusal = (StatusCode, String);

/// Answers a client that asks for a websocket.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    settings: &WebSocketSettings,
    is_secure: bool,
) -> io::Result<S> {
    let asked = read(&mut stream).await?;
    let refused = match asked.and_then(|request| answer(&request, settings, is_secure)) {
        Ok(answer) => {
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            return Ok(stream);
        }
        Err(refused) => refused,
    };
    let (status, reason) = refused;
    let text = status.canonical_reason().unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {} {text}\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{text}\n",
        status.as_u16(),
        text.len() + 1
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Reads a request and nothing behind it.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Result<Request, Refusal>> {
    let mut read = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match Request::try_parse(&read) {
            Ok(Some((length, request))) if length == read.len() => return Ok(Ok(request)),
            Ok(Some(_)) => {
                let reason = "the client sent data before the handshake is complete";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Ok(None) if read.len() < LONGEST_REQUEST => {}
            Ok(None) => {
                let reason = "the request is too long".to_owned();
                return Ok(Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)));
            }
            Err(error) => return Ok(Err(refusal(&error))),
        }
    }
}

fn refusal(error: &Error) -> Refusal {
    let status = match error {
        Error::Protocol(ProtocolError::WrongHttpMethod) => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, error.to_string())
}

/// The answer to a request that is all right.
fn answer(
    request: &Request,
    settings: &WebSocketSettings,
    is_secure: bool,
) -> Result<String, Refusal> {
    let path = request.uri().path();
    if OTHER_PROTOCOLS.iter().any(|other| path.ends_with(other)) {
        let reason = format!("nothing is served at `{path}`");
        return Err((StatusCode::NOT_FOUND, reason));
    }
    if request.headers().get("host").is_none() {
        return Err((StatusCode::BAD_REQUEST, "'Host' is missing".to_owned()));
    }
    create_response(request).map_err(|error| refusal(&error))?;
    origin::check(settings, request, is_secure)
        .map_err(|reason| (StatusCode::FORBIDDEN, reason.to_owned()))?;
    let key = request.headers().get("sec-websocket-key");
    let key = key.map_or(&[][..], |key| key.as_bytes());
    // Compression is negotiated by an extension that is not named here.
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key)
    ))
}
