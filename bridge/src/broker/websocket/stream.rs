//! The bytes inside a websocket, read and written as those of a socket are.
//!
//! Pings are answered and closing is acknowledged on the way, by the library.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::Limits;
use crate::broker::outbound::Outbound;
use crate::broker::protocol::PAYLOAD_VIOLATION;

/// A frame that closes a websocket is a short one.
const LONGEST_REASON: usize = 120;
const READ_BUFFER: usize = 16 << 10;
/// How much is taken at a time. It counts as written from then on, and the memory for it stays with the websocket.
const LONGEST_WRITE: usize = 64 << 10;
/// How much may wait to be written: what was taken, with answers to pings.
const WRITE_BUFFER: usize = 2 * LONGEST_WRITE;

/// An open websocket.
pub(super) struct WebSocket<S> {
    stream: WebSocketStream<Gate<S>>,
    /// What is left of the last message.
    unread: Bytes,
    outbound: Arc<Outbound>,
    /// What the client is told when it is closed and has been told no error of the protocol.
    farewell: (CloseCode, String),
    is_closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// A websocket of the client that has this queue.
    pub(super) async fn new(stream: S, limits: Limits, outbound: Arc<Outbound>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limits.message))
            .max_frame_size(Some(limits.message));
        let gate = Gate {
            inner: stream,
            left: limits.before,
            limits,
        };
        WebSocket {
            stream: WebSocketStream::from_raw_socket(gate, Role::Server, Some(config)).await,
            unread: Bytes::new(),
            outbound,
            farewell: (CloseCode::Away, String::new()),
            is_closing: false,
        }
    }

    fn stream(&mut self) -> Pin<&mut WebSocketStream<Gate<S>>> {
        Pin::new(&mut self.stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.stream().poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(text))) => self.unread = text.into(),
                Some(Ok(_)) => {}
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => {
                    let code = match error {
                        Error::Capacity(_) => CloseCode::Size,
                        Error::Utf8(_) => CloseCode::Invalid,
                        _ => CloseCode::Protocol,
                    };
                    self.farewell = (
                        code,
                        error.to_string().chars().take(LONGEST_REASON).collect(),
                    );
                    return Poll::Ready(Err(io_error(error)));
                }
            }
        }
        let length = self.unread.len().min(buffer.remaining());
        let taken = self.unread.split_to(length);
        buffer.put_slice(&taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    /// Takes as much as goes into one message.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What was taken before goes first, so that there is room.
        ready!(self.as_mut().poll_flush(context))?;
        let (taken, _) = bytes.split_at(bytes.len().min(LONGEST_WRITE));
        let message = Message::Binary(Bytes::copy_from_slice(taken));
        self.stream().start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            self.is_closing = true;
            let (code, reason) = match self.outbound.failure() {
                None => self.farewell.clone(),
                Some(error) if error == PAYLOAD_VIOLATION => (CloseCode::Size, error.to_owned()),
                Some(error) => (CloseCode::Policy, error.to_owned()),
            };
            let reason = Utf8Bytes::from(reason);
            let farewell = Message::Close(Some(CloseFrame { code, reason }));
            // It fails when the client has closed the websocket: then that is answered already.
            let _ = self.stream().start_send(farewell);
        }
        let _ = ready!(self.as_mut().poll_flush(context));
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

/// Lets only so many bytes of a client through until it is admitted: what is announced takes no memory before it arrives.
struct Gate<S> {
    inner: S,
    left: usize,
    limits: Limits,
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.limits.admitted.load(Ordering::Relaxed) {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        if self.left == 0 {
            let reason = "too much is sent before the introduction";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let length = buffer.remaining().min(self.left);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(length));
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let read = part.filled().len();
        self.left -= read;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn little_is_taken_at_a_time() {
        let (socket, _client) = tokio::io::duplex(1);
        let limits = Limits {
            message: 1,
            before: 1,
            admitted: Arc::default(),
        };
        let mut websocket = WebSocket::new(socket, limits, Outbound::new(1, 1)).await;
        let taken = websocket.write(&[b'x'; 1 << 20]).await.unwrap();
        // What is taken counts as written, and its memory stays.
        assert_eq!(taken, LONGEST_WRITE);
    }
}
