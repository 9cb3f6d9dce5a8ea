//! One client's socket: what is read from it goes to the client's [`session`](super::session), what waits for the client
//! is written to it.
//!
//! Before a client has introduced itself with what it has to show it costs a few kilobytes, gets no answer
//! and has a deadline, as with nats-server.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::clients::ClientKind;
use super::closing::Closing;
use super::outbound::Outbound;
use super::session::Session;
use super::transport::{self, Reader, Writer};
use super::websocket::{self, Limits};

/// How many bytes a client has to take within the write deadline.
const WRITE_PIECE: usize = 1 << 20;
const READ_BUFFER: usize = 64 << 10;
/// More than it takes to read without large messages.
const LARGE_BUFFER: usize = 4 * READ_BUFFER;
/// Holds what introduces most clients.
const FIRST_READ_BUFFER: usize = 4096 + 512;

/// Serves one client until it leaves, misbehaves or is closed.
pub(super) async fn serve(socket: TcpStream, mut session: Session) {
    let (shared, outbound) = (Arc::clone(&session.shared), Arc::clone(&session.outbound));
    let (kind, peer) = (session.client.kind, session.client.address);
    let security = shared.security.get(kind);
    let (tls, deadline) = (security.tls.clone(), security.limits.write_deadline);
    let opening = async {
        match &shared.config.websocket {
            Some(settings) if kind == ClientKind::WebSocket => {
                let limits = Limits::new(security.limits, session.place().admitted());
                let greeting = || session.greeting(tls.is_some());
                let (tls, outbound) = (tls.as_ref(), Arc::clone(&outbound));
                websocket::open(socket, tls, settings, limits, outbound, greeting).await
            }
            _ => transport::open(socket, tls.as_ref(), |by_tls| session.greeting(by_tls)).await,
        }
    };
    let opened = tokio::select! {
        // A client without TLS is greeted, and told why it is closed.
        biased;
        opened = opening => opened,
        () = session.place().lost() => return outbound.ends_for(Closing::NoPlace.reason()),
        () = outbound.closed() => return,
    };
    let (reader, writer) = match opened {
        Ok(Some(opened)) => {
            outbound.send(opened.greeting.as_bytes());
            session.take_peer(opened.peer);
            (opened.reader, opened.writer)
        }
        Ok(None) => return,
        Err(error) => {
            outbound.ends_for("TLS Handshake Failure");
            return shared.admission.warn_of_handshake(peer, &error);
        }
    };
    // It ends with this task, should that panic or be aborted.
    let writer = tokio::spawn(write_all(writer, Arc::clone(&outbound), deadline));
    let writer = AbortOnDropHandle::new(writer);
    let outcome = match session.let_in_if_open() {
        Ok(()) => read_all(&mut session, reader).await,
        Err(reason) => Err(reason),
    };
    if let Err(closing) = outcome {
        shared.admission.warn_of_closing(&session.client, closing);
        closing.close(&outbound, peer);
    }
    drop(session);
    if let Err(Ok(panic)) = writer.await.map_err(JoinError::try_into_panic) {
        resume_unwind(panic);
    }
}

/// Closes a client's queue when its writer ends, however it does: the session then ends too.
struct CloseOnDrop(Arc<Outbound>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.attach(None);
        self.0.close();
    }
}

async fn write_all(mut writer: Writer, outbound: Arc<Outbound>, deadline: Duration) {
    let _closing = CloseOnDrop(Arc::clone(&outbound));
    outbound.attach(writer.shared());
    match write_until_end(&mut writer, &outbound, deadline).await {
        Outcome::Whole => {
            let _ = timeout(deadline, writer.shutdown()).await;
        }
        Outcome::Late => {}
        // What it sent before it went is still read, to the end.
        Outcome::Gone => {
            outbound.attach(None);
            while let Some(buffers) = outbound.next().await {
                outbound.written(buffers.iter().map(Vec::len).sum());
            }
        }
    }
}

/// How the writing to a client ended.
enum Outcome {
    /// With all that there was for it.
    Whole,
    /// The client does not take what is for it.
    Late,
    /// The client does not listen any more.
    Gone,
}

async fn write_until_end(writer: &mut Writer, outbound: &Outbound, deadline: Duration) -> Outcome {
    while let Some(buffers) = outbound.next().await {
        let mut left: usize = buffers.iter().map(Vec::len).sum();
        let (mut until, mut within) = (Instant::now() + deadline, 0);
        for buffer in buffers {
            #[cfg(test)]
            if buffer.ends_with(b"$PANIC\r\n") {
                super::panics::on_request()
            }
            for piece in buffer.chunks(WRITE_PIECE) {
                within += piece.len();
                if within > WRITE_PIECE {
                    (until, within) = (Instant::now() + deadline, piece.len());
                }
                let written = tokio::select! {
                    written = timeout_at(until, writer.write_all(piece)) => written.map_err(|_| {
                        outbound.is_slow(left, "Slow Consumer (Write Deadline)");
                        Outcome::Late
                    }),
                    () = outbound.is_cut_off() => Err(Outcome::Late),
                };
                let written = written.and_then(|written| written.map_err(|_| Outcome::Gone));
                if let Err(outcome) = written {
                    outbound.written(left);
                    return outcome;
                }
                left -= piece.len();
                outbound.written(piece.len());
            }
            outbound.keep(buffer);
        }
    }
    Outcome::Whole
}

async fn read_all(session: &mut Session, mut reader: Reader) -> Result<(), Closing> {
    let mut input = BytesMut::with_capacity(FIRST_READ_BUFFER);
    let mut has_grown = false;
    loop {
        tokio::select! {
            read = reader.read_buf(&mut input) => match read {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => session.handle_all(&mut input).await?,
            },
            closing = session.ended() => return Err(closing),
        }
        has_grown |= input.capacity() > LARGE_BUFFER;
        if has_grown && input.is_empty() {
            // One large message is no reason to keep so much memory for good.
            (input, has_grown) = (BytesMut::new(), false);
        }
        let is_admitted = session.place().is_admitted();
        if is_admitted && input.capacity() - input.len() < READ_BUFFER / 4 {
            input.reserve(READ_BUFFER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_client_that_listens_no_more_is_written_to_no_more_and_still_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap());
        let (peer, accepted) = (peer.await.unwrap(), listener.accept().await.unwrap().0);
        drop(peer);
        let (_reader, writer) = accepted.into_split();
        let outbound = Outbound::new(1, 1 << 20);
        let writer = Writer::Plain(Arc::new(writer));
        let deadline = Duration::from_secs(60);
        let writing = tokio::spawn(write_all(writer, Arc::clone(&outbound), deadline));
        // The first is answered with a reset.
        for _ in 0..10 {
            assert!(outbound.send(b"PING\r\n"), "the session would end");
            testkit::eventually("it is out of the way", async || outbound.queued() == 0).await;
        }
        let mut closed = Box::pin(outbound.closed());
        let is_closed = poll_fn(|context| Poll::Ready(closed.as_mut().poll(context).is_ready()));
        assert!(!is_closed.await);
        outbound.close();
        writing.await.unwrap();
    }
}
