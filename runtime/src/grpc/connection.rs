//! The connections of a gRPC server: how many there are, how long one may stay silent, and which one gives way to a new one.
//!
//! tonic's own listener has no limit, keeps a silent connection without limit, and
//! spins when there are no file descriptors left.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    time::{Sleep, sleep},
};
use tonic::transport::server::Connected;

use super::GrpcLimits;
use crate::{
    connection_limit::{Activity, ConnectionLimit, ConnectionPermit},
    tls::{Plaintext, ServerStream, ServerTls},
};

/// The length of what an HTTP/2 client sends first.
const PREFACE_LEN: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
/// How long accepting pauses after an error that does not belong to one connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections to `listener`, as many at once as may be.
pub(super) fn accepted(
    listener: TcpListener,
    limits: GrpcLimits,
    tls: Option<ServerTls>,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = ConnectionLimit::new(limits.connections);
    let state = (listener, places, tls);
    stream::unfold(state, move |(listener, places, tls)| async move {
        let stream = loop {
            match listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::debug!("no gRPC connection can be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let place = places.take().await;
        // A connection without it is slower, and no worse.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            stream: ServerStream::new(
                stream,
                tls.as_ref(),
                Plaintext::Http2,
                limits.preface_deadline,
            ),
            preface: Some(Preface {
                received: 0,
                deadline: Box::pin(sleep(limits.preface_deadline)),
            }),
            place,
        };
        Some((Ok(connection), (listener, places, tls)))
    })
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A connection that is closed if its client does not send the HTTP/2 preface in time. What comes
/// after the preface is watched by HTTP/2's own keep-alive. It also ends when another client needs its place and no call is
/// under way.
#[derive(Debug)]
pub(super) struct Connection {
    stream: ServerStream,
    preface: Option<Preface>,
    place: ConnectionPermit,
}

#[derive(Debug)]
struct Preface {
    received: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Connection {
    /// What came of writing. HTTP/2 sends its settings before it reads: while a client has not finished its TLS handshake nothing is read, so that
    /// the connection has to give way here.
    fn unless_it_gives_way(
        &self,
        context: &Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() && self.preface.is_some() && self.place.gives_way(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        written
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.place.heard();
        } else if self.place.gives_way(context) {
            // To HTTP/2 the client has left.
            return Poll::Ready(Ok(()));
        }
        if let Some(preface) = &mut self.preface {
            preface.received += buffer.filled().len() - filled;
            if preface.received >= PREFACE_LEN {
                self.preface = None;
            } else if read.is_pending() {
                ready!(preface.deadline.as_mut().poll(context));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_it_gives_way(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.unless_it_gives_way(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    /// Where the calls of the connection are put down.
    type ConnectInfo = Activity;

    fn connect_info(&self) -> Activity {
        self.place.activity().clone()
    }
}
