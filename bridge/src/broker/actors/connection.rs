//! A client's connection as an actor: it starts the client's session, asks the client whether it is there, closes it, and ends
//! with it.
//!
//! The session is a task of its own, because its messages must not wait for a mailbox. When it panics the actor panics too, so
//! that there is one way in which a connection breaks. It is not restarted: its client comes back by itself.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle,
    WrapFuture,
};
use rand::RngExt;
use runtime::supervision::panic_message;
use tokio::net::TcpStream;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::broker::admission::Place;
use crate::broker::clients::{Client, ClientKind};
use crate::broker::closing::Closing;
use crate::broker::connections::Registration;
use crate::broker::pings::Due;
use crate::broker::session::Session;
use crate::broker::{ServingLimits, Shared, connection};

/// How soon a client is asked for the first time whether it is there, to learn how far away it is.
const FIRST_PING: Duration = Duration::from_secs(2);

/// The actor of one client.
pub(in crate::broker) struct Connection {
    client: Arc<Client>,
    shared: Arc<Shared>,
    /// What the session takes over when it starts.
    arrival: Option<(TcpStream, Place)>,
    registration: Option<Registration>,
    next_ping: SpawnHandle,
}

/// The client has introduced itself.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::broker) struct Introduced;

/// It is time to ask the client whether it is there.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Ping;

/// Close the connection, once what waits for the client is written.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::broker) struct Close(pub(in crate::broker) Closing);

/// End at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(in crate::broker) struct End;

impl Connection {
    /// A connection that was just accepted; it counts once it has started.
    pub(super) fn new(
        socket: TcpStream,
        kind: ClientKind,
        peer: SocketAddr,
        shared: Arc<Shared>,
    ) -> Self {
        let _ = socket.set_nodelay(true);
        let id = shared.connections.next_id();
        let place = shared.admission.enter(id, peer.ip());
        let outbound = shared.outputs.open(id, shared.config.max_pending_bytes);
        let client = Arc::new(Client::new(outbound, kind, peer, socket.local_addr().ok()));
        Connection {
            client,
            shared,
            arrival: Some((socket, place)),
            registration: None,
            next_ping: SpawnHandle::default(),
        }
    }

    /// The limits as they are now.
    fn limits(&self) -> ServingLimits {
        self.shared.security.get(self.client.kind).limits
    }

    fn ping_after(&mut self, delay: Duration, ctx: &mut Context<Self>) {
        ctx.cancel_future(self.next_ping);
        self.next_ping = ctx.notify_later(Ping, delay);
    }

    fn close(&self, reason: Closing) {
        reason.close(&self.client.outbound, self.client.address);
    }

    fn session_ended(&self, ended: Result<(), JoinError>, ctx: &mut Context<Self>) {
        if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
            let client_id = self.client.outbound.client_id;
            let cause = panic_message(&*panic);
            tracing::error!(client_id, cause, "a client's connection panicked and ends");
            resume_unwind(panic);
        }
        ctx.stop();
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let id = self.client.outbound.client_id;
        self.registration = self.shared.connections.register(id, ctx.address());
        let (Some((socket, place)), Some(_)) = (self.arrival.take(), &self.registration) else {
            return ctx.stop();
        };
        let (client, shared) = (Arc::clone(&self.client), Arc::clone(&self.shared));
        let session = Session::begin(client, ctx.address(), place, shared);
        let session = tokio::spawn(connection::serve(socket, session));
        let session = AbortOnDropHandle::new(session).into_actor(self);
        ctx.spawn(session.map(|ended, connection, ctx| connection.session_ended(ended, ctx)));
        self.ping_after(self.limits().ping_interval, ctx);
    }
}

impl Handler<Introduced> for Connection {
    type Result = ();

    fn handle(&mut self, _: Introduced, ctx: &mut Self::Context) {
        let first = FIRST_PING.min(self.limits().ping_interval);
        self.ping_after(first.mul_f64(rand::rng().random_range(1.0..1.2)), ctx);
    }
}

impl Handler<Ping> for Connection {
    type Result = ();

    fn handle(&mut self, _: Ping, ctx: &mut Self::Context) {
        let limits = self.limits();
        let interval = limits.ping_interval;
        match self.client.due(interval, limits.ping_max) {
            Due::Nothing => {}
            Due::Ask => _ = self.client.outbound.send(b"PING\r\n"),
            Due::Close => {
                let stale = &self.shared.stats.stale_connections;
                stale.fetch_add(1, Ordering::Relaxed);
                return self.close(Closing::Stale);
            }
        }
        self.ping_after(interval, ctx);
    }
}

impl Handler<Close> for Connection {
    type Result = ();

    fn handle(&mut self, Close(reason): Close, _: &mut Self::Context) {
        self.close(reason);
    }
}

impl Handler<End> for Connection {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
