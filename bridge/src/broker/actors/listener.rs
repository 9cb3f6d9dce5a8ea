//! The listening socket as a supervised actor: it accepts clients and starts their connections, until the broker is to let its
//! clients go.
//!
//! In lame duck mode clients are told that the broker goes away, and closed one by one, so that they do not all come to the
//! next broker at once.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle,
    WrapFuture,
};
use rand::RngExt;
use runtime::{Backoff, ChildGuard, Wake};
use tokio::net::TcpStream;

use super::Connection;
use crate::broker::closing::Closing;
use crate::broker::greeting::{self, Occasion};
use crate::broker::{BrokerControl, BrokerStats, ClientKind, Shared};

/// The delays between attempts while the system has no room for another socket.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// The longest pause between two clients that are let go.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts the clients of one kind of the broker that counts in the same stats. One that panics is restarted with the same socket; the
/// connections that it started go on.
#[derive(Debug)]
pub struct Listener {
    socket: io::Result<TcpListener>,
    kind: ClientKind,
    listener: Option<Arc<tokio::net::TcpListener>>,
    counted: Option<Counted>,
    stats: BrokerStats,
    control: BrokerControl,
    guard: ChildGuard,
    backoff: Backoff,
    is_failing: bool,
    accepting: SpawnHandle,
    /// Who is to be closed in lame duck mode, and how long after the one before.
    leaving: VecDeque<u64>,
    pause: Duration,
}

/// Counts a listener for as long as it accepts clients.
#[derive(Debug)]
struct Counted(BrokerStats);

impl Counted {
    fn new(stats: &BrokerStats) -> Self {
        stats.counters.listeners.fetch_add(1, Ordering::Relaxed);
        Counted(stats.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accept no more clients, and let go those that there are.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct LetClientsGo;

/// Close the next client that is to go.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct CloseNext;

/// A client, and the broker that serves it.
type Arrival = (io::Result<(TcpStream, SocketAddr)>, Arc<Shared>);

impl Listener {
    /// A listener on `socket`, usually a clone of one that its supervisor keeps for restarts.
    pub fn new(
        socket: io::Result<TcpListener>,
        kind: ClientKind,
        stats: BrokerStats,
        guard: ChildGuard,
    ) -> Self {
        Listener {
            socket,
            kind,
            listener: None,
            counted: None,
            control: stats.control(),
            stats,
            guard,
            backoff: Backoff::new(FIRST_DELAY, LONGEST_DELAY),
            is_failing: false,
            accepting: SpawnHandle::default(),
            leaving: VecDeque::new(),
            pause: LONGEST_PAUSE,
        }
    }

    fn listen(&self) -> io::Result<tokio::net::TcpListener> {
        let socket = match &self.socket {
            Ok(socket) => socket.try_clone()?,
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        };
        socket.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(socket)
    }

    /// Waits for the next client. One that comes before the broker has recovered its streams waits with it.
    fn accept_next(&mut self, ctx: &mut Context<Self>) {
        let Some(listener) = self.listener.clone() else {
            return;
        };
        let control = self.control.clone();
        let arrival = async move {
            let accepted = listener.accept().await;
            (accepted, control.serving().await)
        };
        let arrival = arrival.into_actor(self);
        self.accepting =
            ctx.spawn(arrival.map(|arrival, listener, ctx| listener.take_up(arrival, ctx)));
    }

    fn take_up(&mut self, (accepted, shared): Arrival, ctx: &mut Context<Self>) {
        match accepted {
            Ok((socket, peer)) => {
                if std::mem::take(&mut self.is_failing) {
                    self.backoff.reset();
                    self.guard.ready();
                }
                self.stats.counters.accepted.fetch_add(1, Ordering::Relaxed);
                self.guard.reporter().handled(1);
                Connection::new(socket, self.kind, peer, shared).start();
                self.accept_next(ctx);
            }
            Err(error) if is_passing(&error) => {
                self.guard.reporter().count("failures to accept", 1);
                self.guard
                    .degraded(format_args!("cannot accept a client just now: {error}"));
                self.is_failing = true;
                ctx.notify_later(Wake, self.backoff.next_delay());
            }
            Err(error) => self.fail(&error, ctx),
        }
    }

    fn fail(&self, error: &io::Error, ctx: &mut Context<Self>) {
        self.guard
            .failed(format_args!("cannot accept clients: {error}"));
        ctx.stop();
    }

    /// Turns clients away, whoever else holds the socket.
    fn refuse(&mut self, ctx: &mut Context<Self>) {
        ctx.cancel_future(self.accepting);
        (self.listener, self.counted) = (None, None);
        let socket = self.socket.as_ref().ok();
        let socket = socket.and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        let refused =
            socket.map(|socket| std::net::TcpStream::from(socket).shutdown(Shutdown::Both));
        // One that was restarted has done so before.
        if let Some(Err(error)) = refused
            && error.kind() != io::ErrorKind::NotConnected
        {
            tracing::warn!(%error, "clients are not turned away before the broker ends");
        }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if !self.control.is_lame_duck() {
            match self.listen() {
                Ok(listener) => {
                    self.listener = Some(Arc::new(listener));
                    self.counted = Some(Counted::new(&self.stats));
                }
                Err(error) => return self.fail(&error, ctx),
            }
        }
        self.accept_next(ctx);
        let control = self.control.clone();
        let lame_duck = async move { control.lame_duck().await };
        ctx.spawn(
            lame_duck
                .into_actor(self)
                .map(|(), _, ctx| ctx.notify(LetClientsGo)),
        );
    }
}

impl Handler<Wake> for Listener {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.accept_next(ctx);
    }
}

impl Handler<LetClientsGo> for Listener {
    type Result = ();

    fn handle(&mut self, _: LetClientsGo, ctx: &mut Self::Context) {
        self.refuse(ctx);
        // There is one listener of this kind, and it lets go the clients of all.
        if self.kind != ClientKind::Standard {
            return;
        }
        let Some(shared) = self.control.broker() else {
            return;
        };
        self.leaving = shared.connections.ids().into();
        let clients = self.leaving.len();
        tracing::info!(
            clients,
            "entering lame duck mode: no more clients are accepted"
        );
        for client in shared.stats.clients.all() {
            if client.takes_info() {
                let info = greeting::info(&shared, &client, Occasion::LameDuck);
                client.outbound.send(info.as_bytes());
            }
        }
        let config = &shared.config;
        let grace = config.lame_duck_grace_period;
        let rest = config.lame_duck_duration.saturating_sub(grace);
        let each = u32::try_from(clients).unwrap_or(u32::MAX).max(1);
        if !rest.is_zero() {
            self.pause = (rest / each).min(LONGEST_PAUSE);
        }
        ctx.notify_later(CloseNext, grace);
    }
}

impl Handler<CloseNext> for Listener {
    type Result = ();

    fn handle(&mut self, _: CloseNext, ctx: &mut Self::Context) {
        let Some(shared) = self.control.broker() else {
            return;
        };
        if self.leaving.is_empty() {
            // Those that came last may have started since.
            self.leaving = shared.connections.ids().into();
        }
        let Some(client) = self.leaving.pop_front() else {
            return;
        };
        shared.connections.close(client, Closing::Shutdown);
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        ctx.notify_later(CloseNext, pause);
    }
}

// The peer's or the moment's fault, not the socket's.
fn is_passing(error: &io::Error) -> bool {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    error
        .raw_os_error()
        .is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        )
}

#[cfg(test)]
runtime::requested!(Listener);

/// Panic, because a test says so.
#[cfg(test)]
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::broker) struct Panic;

#[cfg(test)]
impl Handler<Panic> for Listener {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        crate::broker::panics::on_request()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_may_have_no_room_for_a_moment_but_a_socket_that_is_none_stays_so() {
        let error = io::Error::from_raw_os_error;
        let (no_more_files, too_many_in_all, bad_descriptor, invalid) = (24, 23, 9, 22);
        for code in [no_more_files, too_many_in_all] {
            assert!(is_passing(&error(code)), "{code}");
        }
        assert!(is_passing(&io::ErrorKind::ConnectionAborted.into()));
        for code in [bad_descriptor, invalid] {
            assert!(!is_passing(&error(code)), "{code}");
        }
    }
}
