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
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::outbound::Outbound;
use super::session::{Closing, Session, TOO_MANY_CONNECTIONS};
use super::transport::{self, Reader, Writer};

/// How many bytes a client has to take within the write deadline.
const WRITE_PIECE: usize = 1 << 20;
const READ_BUFFER: usize = 64 << 10;
/// Holds what introduces most clients.
const FIRST_READ_BUFFER: usize = 4096 + 512;

/// Serves one client until it leaves, misbehaves or is closed.
pub(super) async fn serve(socket: TcpStream, mut session: Session) {
    let (shared, outbound) = (Arc::clone(&session.shared), Arc::clone(&session.outbound));
    let (client_id, peer) = (outbound.client_id, session.client.address);
    let deadline = shared.config.write_deadline;
    let security = shared.security.get();
    let opened = tokio::select! {
        // A client without TLS is greeted, and told why it is closed.
        biased;
        opened = transport::open(socket, security.tls.as_ref(), |behind_tls| session.greeting(behind_tls)) => opened,
        () = session.place().lost() => return,
        () = outbound.closed() => return,
    };
    let (reader, writer) = match opened {
        Ok(Some(opened)) => {
            outbound.send(opened.greeting.as_bytes());
            session.take_certificate(opened.names);
            (opened.reader, opened.writer)
        }
        Ok(None) => return,
        Err(error) => return shared.admission.warn_of_handshake(peer, &error),
    };
    // It ends with this task, should that panic or be aborted.
    let writer = tokio::spawn(write_all(writer, Arc::clone(&outbound), deadline));
    let writer = AbortOnDropHandle::new(writer);
    let outcome = match session.let_in_if_open() {
        Ok(()) => read_all(&mut session, &outbound, reader).await,
        Err(reason) => Err(reason),
    };
    match outcome {
        Err(Closing::Told(reason)) => {
            tracing::debug!(client_id, %peer, reason, "closing a client");
            outbound.fail(reason);
        }
        Err(Closing::Untold(reason)) => {
            tracing::debug!(client_id, %peer, reason, "closing a client without a word");
        }
        Ok(()) => {}
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
    if write_until_end(&mut writer, &outbound, deadline).await {
        let _ = timeout(deadline, writer.shutdown()).await;
    }
}

/// Returns false when the client does not take what is for it.
async fn write_until_end(writer: &mut Writer, outbound: &Outbound, deadline: Duration) -> bool {
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
                    written = timeout_at(until, writer.write_all(piece)) => matches!(written, Ok(Ok(()))),
                    () = outbound.is_cut_off() => false,
                };
                if !written {
                    outbound.written(left);
                    return false;
                }
                left -= piece.len();
                outbound.written(piece.len());
            }
            outbound.keep(buffer);
        }
    }
    true
}

async fn read_all(
    session: &mut Session,
    outbound: &Outbound,
    mut reader: Reader,
) -> Result<(), Closing> {
    let mut input = BytesMut::with_capacity(FIRST_READ_BUFFER);
    let introduced = sleep_until(session.time_to_log_in().into());
    tokio::pin!(introduced);
    let ended = sleep_until(session.time_to_log_in().into());
    tokio::pin!(ended);
    let mut changes = session.security_changes();
    loop {
        let end = session.ends_at();
        if let Some((at, _)) = end.filter(|(at, _)| ended.deadline() != (*at).into()) {
            ended.as_mut().reset(at.into());
        }
        let reason = end.map_or("", |(_, reason)| reason);
        let place = session.place();
        tokio::select! {
            read = reader.read_buf(&mut input) => match read {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => session.handle_all(&mut input).await?,
            },
            () = outbound.closed() => return Ok(()),
            () = &mut introduced, if !place.is_admitted() => return Err(Closing::Told("Authentication Timeout")),
            () = place.lost() => return Err(Closing::Told(TOO_MANY_CONNECTIONS)),
            () = &mut ended, if end.is_some() => return Err(Closing::Told(reason)),
            Ok(()) = changes.changed() => session.take_over_security()?,
        }
        let is_admitted = session.place().is_admitted();
        if is_admitted && input.capacity() - input.len() < READ_BUFFER / 4 {
            input.reserve(READ_BUFFER);
        }
    }
}
