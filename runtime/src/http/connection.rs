//! A connection of an HTTP client, with limits that actix-http has not.
//!
//! actix-http parses all requests of its read buffer, thousands of them, and keeps them until their
//! turn comes. So this socket hands over a few requests ahead of the one that is worked on, and none
//! while the client does not read its answers. A client that does not read for long is cut off, and one that
//! asks for nothing when its place is needed sees the connection end.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{bare_answer, request_framing::RequestFraming};
use crate::{
    connection_limit::{ActivityGuard, ConnectionPermit},
    request_id::RequestId,
};

/// How many requests of a connection wait, parsed, for the one that is worked on.
const REQUESTS_AHEAD: u64 = 8;

/// What the application tells the socket of a connection.
#[derive(Debug, Default)]
pub(super) struct RequestGate {
    /// How many requests the application has been given.
    taken: Cell<u64>,
    /// The requests that it has not been given yet.
    coming: RefCell<VecDeque<ActivityGuard>>,
    /// The task of the connection, if it waits for the gate.
    waiting: RefCell<Option<Waker>>,
}

impl RequestGate {
    /// The application has been given a request, which is under way until it is answered.
    pub(super) fn take(&self) -> Option<ActivityGuard> {
        self.taken.set(self.taken.get() + 1);
        self.wake();
        self.coming.borrow_mut().pop_front()
    }

    fn wait(&self, context: &Context<'_>) {
        self.waiting.replace(Some(context.waker().clone()));
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// The socket of a connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    socket: S,
    place: ConnectionPermit,
    gate: Rc<RequestGate>,
    framing: RequestFraming,
    /// What has come and is not handed over yet.
    held: BytesMut,
    /// How long a client may take nothing of its answers.
    write_deadline: Duration,
    /// Runs while the client takes nothing; an answer is under way meanwhile.
    stalled: Option<(Pin<Box<Sleep>>, ActivityGuard)>,
    /// A bare answer on its way, with its headers: how long it was without them.
    bare: Option<(BytesMut, usize)>,
}

impl<S> Connection<S> {
    /// A connection over `socket` at `place`, whose client may take nothing for as long as `write_deadline`.
    pub(super) fn new(socket: S, place: ConnectionPermit, write_deadline: Duration) -> Self {
        Self {
            socket,
            place,
            gate: Rc::default(),
            framing: RequestFraming::default(),
            held: BytesMut::new(),
            write_deadline,
            stalled: None,
            bare: None,
        }
    }

    /// The socket of the connection.
    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// What the application tells this connection.
    pub(super) fn gate(&self) -> Rc<RequestGate> {
        self.gate.clone()
    }

    /// Whether all that was handed over are requests that the application has been given.
    fn is_settled(&self) -> bool {
        let heads = self.framing.heads();
        heads > 0 && heads == self.gate.taken.get() && self.framing.is_between()
    }

    /// Hands `bytes` over until so many requests have begun, and returns how many bytes that were.
    fn hand_over(&mut self, bytes: &[u8], most_heads: u64) -> usize {
        let before = self.framing.heads();
        let handed = self.framing.advance(bytes, most_heads);
        let mut coming = self.gate.coming.borrow_mut();
        coming.extend((before..self.framing.heads()).map(|_| self.place.activity().begin()));
        handed
    }
}

impl<S: AsyncWrite + Unpin> Connection<S> {
    /// Writes, and cuts off a client that has taken nothing for too long.
    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(context, bytes) {
            if self.stalled.take().is_some() {
                self.gate.wake();
            }
            return Poll::Ready(written);
        }
        let (deadline, activity) = (self.write_deadline, self.place.activity());
        let (stalled, _) = self
            .stalled
            .get_or_insert_with(|| (Box::pin(sleep(deadline)), activity.begin()));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.framing.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let most_heads = this.gate.taken.get() + REQUESTS_AHEAD;
        if this.stalled.is_some() || this.framing.heads() >= most_heads {
            this.gate.wait(context);
            return Poll::Pending;
        }
        if this.held.is_empty() {
            let before = buffer.filled().len();
            match Pin::new(&mut this.socket).poll_read(context, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending if this.place.gives_way(context) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
            this.place.heard();
            let new = buffer.filled().get(before..).unwrap_or_default();
            let handed = this.hand_over(new, most_heads);
            this.held
                .extend_from_slice(new.get(handed..).unwrap_or_default());
            buffer.set_filled(before + handed);
        } else {
            let most = this.held.len().min(buffer.remaining());
            let mut held = std::mem::take(&mut this.held);
            let some = held.get(..most).unwrap_or_default();
            let handed = this.hand_over(some, most_heads);
            buffer.put_slice(some.get(..handed).unwrap_or_default());
            if handed < held.len() {
                held.advance(handed);
                this.held = held;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.bare.is_none() && !this.is_settled() {
            match bare_answer::find(bytes) {
                Some(0) => {
                    let id = RequestId::random();
                    let secured = bare_answer::secured(bytes, &id);
                    let status = bytes.get(9..12).unwrap_or_default();
                    let status = String::from_utf8_lossy(status);
                    tracing::debug!(
                        request_id = %id,
                        "answered with {status} what is no request, is too large or came too slowly"
                    );
                    this.bare = Some((BytesMut::from(secured.as_slice()), bytes.len()));
                }
                Some(at) => {
                    let earlier = bytes.get(..at).unwrap_or_default();
                    return this.poll_send(context, earlier);
                }
                None => {}
            }
        }
        let Some((mut left, length)) = this.bare.take() else {
            return this.poll_send(context, bytes);
        };
        while !left.is_empty() {
            match this.poll_send(context, &left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(written)) => left.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.bare = Some((left, length));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
