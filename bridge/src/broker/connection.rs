//! One client: its greeting, its reader, its writer, its subscriptions.
//!
//! Before a client has introduced itself with the right token it costs a few kilobytes, gets no answer
//! and has a deadline, as with nats-server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::admission::Place;
use super::authentication::{Credentials, Identified};
use super::clients::{Client, Introduction};
use super::outbound::Outbound;
use super::permissions::ClientPermissions;
use super::protocol::{self, Limits, Message, Operation};
use super::router::Subscription;
use super::{Shared, parser, permissions, subjects};

/// The version whose protocol this is; clients switch features on by it.
pub const SERVER_VERSION: &str = "2.10.29";
/// How many bytes a client has to take within the write deadline.
const WRITE_PIECE: usize = 1 << 20;
const READ_BUFFER: usize = 64 << 10;
/// Holds what introduces most clients.
const FIRST_READ_BUFFER: usize = 4096 + 512;
const AUTHORIZATION_VIOLATION: &str = "Authorization Violation";
const AUTHENTICATION_TIMEOUT: &str = "Authentication Timeout";
const TOO_MANY_CONNECTIONS: &str = "maximum connections exceeded";
/// How many bytes of memory the subscriptions of one client may take.
const MAX_SUBSCRIPTION_BYTES: usize = 32 << 20;
const MIN_SWEEP: usize = 1024;

/// What a client says about itself. What is absent (or null) counts as true, as in every server in the field.
#[derive(Default, Deserialize)]
struct ConnectOptions {
    verbose: Option<bool>,
    pedantic: Option<bool>,
    echo: Option<bool>,
    headers: Option<bool>,
    no_responders: Option<bool>,
    name: Option<String>,
    lang: Option<String>,
    version: Option<String>,
}

/// Serves one client until it leaves, misbehaves or the broker stops.
pub(super) async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    place: Place,
    client_id: u64,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let local = socket.local_addr().ok();
    let _ = socket.set_nodelay(true);
    let (reader, writer) = socket.into_split();
    let outbound = shared
        .outputs
        .open(client_id, shared.config.max_pending_bytes);
    let nonce = shared.authenticator.nonce();
    outbound.send(greeting(&shared, client_id, peer, local, nonce.as_deref()).as_bytes());
    let writer = tokio::spawn(write_all(
        writer,
        Arc::clone(&outbound),
        shared.config.write_deadline,
    ));
    let client = Arc::new(Client::new(Arc::clone(&outbound), peer));
    shared.stats.clients.insert(Arc::clone(&client));
    let mut connection = Connection {
        client,
        outbound: Arc::clone(&outbound),
        shared: Arc::clone(&shared),
        place,
        peer,
        nonce,
        identity: None,
        subscription_bytes: 0,
        sweep_at: MIN_SWEEP,
        verbose: true,
        pedantic: true,
        no_responders: false,
        pinged: None,
        unanswered_pings: 0,
    };
    let outcome = match connection.let_in_if_open() {
        Ok(()) => connection.read_all(reader, stop).await,
        Err(reason) => Err(reason),
    };
    if let Err(reason) = outcome {
        tracing::debug!(client_id, %peer, reason, "closing a client");
        outbound.fail(reason);
    }
    drop(connection);
    let _ = writer.await;
}

fn greeting(
    shared: &Shared,
    client_id: u64,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    nonce: Option<&str>,
) -> String {
    let mut info = json!({
        "server_id": shared.server_id,
        "server_name": shared.config.server_name,
        "version": SERVER_VERSION,
        "proto": 1,
        "go": "",
        "host": local.map_or_else(String::new, |local| local.ip().to_string()),
        "port": local.map_or(0, |local| local.port()),
        "headers": true,
        "max_payload": shared.config.max_payload,
        "auth_required": shared.authenticator.is_required(),
        "jetstream": shared.jetstream.is_some(),
        "client_id": client_id,
        "client_ip": peer.ip().to_string(),
    });
    if let (Some(info), Some(nonce)) = (info.as_object_mut(), nonce) {
        info.insert("nonce".to_owned(), nonce.into());
    }
    format!("INFO {info} \r\n")
}

async fn write_all(mut writer: OwnedWriteHalf, outbound: Arc<Outbound>, deadline: Duration) {
    while let Some(mut bytes) = outbound.next().await {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(WRITE_PIECE));
            let written = tokio::select! {
                written = timeout(deadline, writer.write_all(&piece)) => matches!(written, Ok(Ok(()))),
                () = outbound.is_cut_off() => false,
            };
            if !written {
                outbound.written(piece.len() + bytes.len());
                outbound.close();
                return;
            }
            outbound.written(piece.len());
        }
    }
    let _ = timeout(deadline, writer.shutdown()).await;
}

struct Connection {
    client: Arc<Client>,
    outbound: Arc<Outbound>,
    shared: Arc<Shared>,
    place: Place,
    peer: SocketAddr,
    /// What the client is given to sign.
    nonce: Option<String>,
    /// Who the client is, once it has said so.
    identity: Option<Identified>,
    subscription_bytes: usize,
    /// At how many subscriptions those that ended by themselves are looked for.
    sweep_at: usize,
    verbose: bool,
    pedantic: bool,
    no_responders: bool,
    /// When the last question was asked whether the client is there.
    pinged: Option<Instant>,
    unanswered_pings: u32,
}

// However a connection ends, its queue is not filled any more.
impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.stats.clients.remove(self.outbound.client_id);
        self.unsubscribe_all();
        self.outbound.close();
    }
}

impl Connection {
    async fn read_all(
        &mut self,
        mut reader: OwnedReadHalf,
        stop: CancellationToken,
    ) -> Result<(), &'static str> {
        let outbound = Arc::clone(&self.outbound);
        let mut input = BytesMut::with_capacity(FIRST_READ_BUFFER);
        let introduced = sleep(self.shared.config.connect_deadline);
        tokio::pin!(introduced);
        let every = self.shared.config.ping_interval;
        let mut pings = interval_at(tokio::time::Instant::now() + every, every);
        loop {
            tokio::select! {
                read = reader.read_buf(&mut input) => match read {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(_) => self.handle_all(&mut input).await?,
                },
                () = outbound.closed() => return Ok(()),
                () = &mut introduced, if !self.place.is_admitted() => return Err(AUTHENTICATION_TIMEOUT),
                () = self.place.lost() => return Err(TOO_MANY_CONNECTIONS),
                () = stop.cancelled() => return Err("Server Shutdown"),
                _ = pings.tick() => {
                    if self.unanswered_pings >= self.shared.config.ping_max {
                        return Err("Stale Connection");
                    }
                    self.unanswered_pings += 1;
                    self.pinged = Some(Instant::now());
                    self.outbound.send(b"PING\r\n");
                }
            }
            if self.place.is_admitted() && input.capacity() - input.len() < READ_BUFFER / 4 {
                input.reserve(READ_BUFFER);
            }
        }
    }

    async fn handle_all(&mut self, input: &mut BytesMut) -> Result<(), &'static str> {
        self.unanswered_pings = 0;
        self.client.is_active();
        let limits = Limits {
            control_line: self.shared.config.max_control_line,
            payload: self.shared.config.max_payload,
        };
        loop {
            self.check_first_byte(input)?;
            match parser::parse(input, limits) {
                Ok(Some(operation)) => self.handle(operation).await?,
                Ok(None) => return Ok(()),
                Err(error) if error.is_told() => {
                    self.outbound.fail(&error.to_string());
                    return Ok(());
                }
                Err(_) => {
                    self.outbound.close();
                    return Ok(());
                }
            }
        }
    }

    /// Where no client has to show anything, one that says nothing is served too, for as long as it answers pings.
    fn let_in_if_open(&mut self) -> Result<(), &'static str> {
        if self.shared.authenticator.is_open() {
            self.identity = self.shared.authenticator.guest();
            self.admit()?;
        }
        Ok(())
    }

    fn admit(&mut self) -> Result<(), &'static str> {
        if self.place.admit() {
            Ok(())
        } else {
            Err(TOO_MANY_CONNECTIONS)
        }
    }

    /// Refuses a client that does anything before it has introduced itself, at the first byte: what
    /// would follow need not be taken in. Where such clients are some user's, it now is that user.
    fn check_first_byte(&mut self, input: &BytesMut) -> Result<(), &'static str> {
        let introduces = |byte: &u8| byte.eq_ignore_ascii_case(&b'C');
        if self.identity.is_some() || input.first().is_none_or(introduces) {
            return Ok(());
        }
        self.identity = self.shared.authenticator.guest();
        if self.identity.is_none() {
            return Err(self.refused());
        }
        self.admit()
    }

    fn refused(&self) -> &'static str {
        self.shared.admission.warn_of_refusal(self.peer);
        AUTHORIZATION_VIOLATION
    }

    fn permissions(&self) -> Option<&Arc<ClientPermissions>> {
        self.identity.as_ref()?.permissions.as_ref()
    }

    async fn handle(&mut self, operation: Operation) -> Result<(), &'static str> {
        match operation {
            Operation::Connect(options) => self.connect(&options).await?,
            Operation::Ping => {
                self.outbound.send(b"PONG\r\n");
                return Ok(());
            }
            Operation::Pong => {
                if let Some(pinged) = self.pinged.take() {
                    self.client.answered_ping_after(pinged.elapsed());
                }
                return Ok(());
            }
            Operation::Subscribe {
                subject,
                queue,
                sid,
            } => {
                if let Some(permissions) = self.permissions()
                    && !permissions.may_subscribe(&subject, queue.as_deref())
                {
                    self.violated(&permissions::subscription_violation(
                        &subject,
                        queue.as_deref(),
                    ));
                    return Ok(());
                }
                self.subscribe(subject, queue, sid)?
            }
            Operation::Nothing => return Ok(()),
            Operation::Unsubscribe { sid, after } => self.unsubscribe(&sid, after),
            Operation::Publish(message) => {
                if self.pedantic && !subjects::is_literal(&message.subject) {
                    self.outbound.send(b"-ERR 'Invalid Publish Subject'\r\n");
                    return Ok(());
                }
                if let Some(permissions) = self.permissions()
                    && !permissions.may_publish(&message.subject)
                {
                    self.violated(&permissions::publish_violation(&message.subject));
                    return Ok(());
                }
                self.publish(message).await;
            }
        }
        if self.verbose {
            self.outbound.send(b"+OK\r\n");
        }
        Ok(())
    }

    /// Tells the client that it may not do something, and the log when it is the first time.
    fn violated(&self, message: &str) {
        let mut error = BytesMut::new();
        protocol::write_error(&mut error, message);
        self.outbound.send(&error);
        tracing::debug!(client_id = self.outbound.client_id, peer = %self.peer, message, "refusing what a client may not do");
    }

    async fn connect(&mut self, options: &[u8]) -> Result<(), &'static str> {
        const INVALID: &str = "Invalid CONNECT Options";
        let shown: Credentials = serde_json::from_slice(options).map_err(|_| INVALID)?;
        let options: ConnectOptions = serde_json::from_slice(options).map_err(|_| INVALID)?;
        let authenticator = Arc::clone(&self.shared.authenticator);
        let identified = timeout(
            self.shared.config.connect_deadline,
            authenticator.identify(shown, self.nonce.as_deref()),
        );
        let Some(identity) = identified.await.map_err(|_| AUTHENTICATION_TIMEOUT)? else {
            return Err(self.refused());
        };
        let user = identity.user.as_deref().map(str::to_owned);
        self.identity = Some(identity);
        self.admit()?;
        // Another user would have other permissions.
        self.unsubscribe_all();
        let headers = options.headers.unwrap_or(false);
        self.verbose = options.verbose.unwrap_or(true);
        self.pedantic = options.pedantic.unwrap_or(true);
        self.no_responders = options.no_responders.unwrap_or(false) && headers;
        self.outbound
            .echo
            .store(options.echo.unwrap_or(true), Ordering::Relaxed);
        self.outbound.headers.store(headers, Ordering::Relaxed);
        self.client.introduce(Introduction {
            name: options.name.unwrap_or_default(),
            lang: options.lang.unwrap_or_default(),
            version: options.version.unwrap_or_default(),
            user,
        });
        Ok(())
    }

    fn subscribe(
        &mut self,
        subject: Box<str>,
        queue: Option<Box<str>>,
        sid: Box<str>,
    ) -> Result<(), &'static str> {
        if !subjects::is_valid_pattern(&subject) {
            self.outbound.send(b"-ERR 'Invalid Subject'\r\n");
            return Ok(());
        }
        if subjects::token_count(&subject) > subjects::MAX_TOKENS {
            let error = format!(
                "-ERR 'Permissions Violation for Subscription to \"{subject}\", too many tokens'\r\n"
            );
            self.outbound.send(error.as_bytes());
            return Ok(());
        }
        let mut subscriptions = self.client.subscriptions();
        if subscriptions.len() >= self.sweep_at {
            subscriptions.retain(|_, subscription| !subscription.is_spent());
            self.sweep_at = MIN_SWEEP.max(subscriptions.len() * 2);
            self.subscription_bytes = subscriptions.values().map(|other| other.memory()).sum();
        }
        if subscriptions.contains_key(&sid) {
            return Ok(());
        }
        let guard = self
            .permissions()
            .and_then(|permissions| permissions.guard(&subject, queue.as_deref()));
        let subscription = Arc::new(Subscription {
            guard,
            ..Subscription::new(subject, queue, sid.clone(), Arc::clone(&self.outbound))
        });
        self.subscription_bytes += subscription.memory();
        if subscriptions.len() >= self.shared.config.max_subscriptions
            || self.subscription_bytes > MAX_SUBSCRIPTION_BYTES
        {
            return Err("maximum subscriptions exceeded");
        }
        self.shared.router.subscribe(Arc::clone(&subscription));
        subscriptions.insert(sid, subscription);
        Ok(())
    }

    fn unsubscribe(&mut self, sid: &str, after: Option<u64>) {
        let mut subscriptions = self.client.subscriptions();
        let Some(subscription) = subscriptions.get(sid) else {
            return;
        };
        if let Some(after) = after {
            subscription.limit.store(after, Ordering::Relaxed);
            if subscription.delivered.load(Ordering::Relaxed) < after {
                return;
            }
        }
        self.shared.router.unsubscribe(subscription);
        self.subscription_bytes -= subscription.memory().min(self.subscription_bytes);
        subscriptions.remove(sid);
    }

    fn unsubscribe_all(&mut self) {
        for (_, subscription) in self.client.subscriptions().drain() {
            self.shared.router.unsubscribe(&subscription);
        }
        self.subscription_bytes = 0;
    }

    async fn publish(&self, message: Message) {
        self.shared
            .stats
            .messages_in
            .fetch_add(1, Ordering::Relaxed);
        let delivery = protocol::Delivery {
            subject: &message.subject,
            reply: message.reply.as_deref(),
            headers: &message.headers,
            payload: &message.payload,
        };
        let bytes = delivery.size() as u64;
        self.shared
            .stats
            .bytes_in
            .fetch_add(bytes, Ordering::Relaxed);
        self.client.published(1, bytes);
        let heard = self.shared.router.publish(&delivery, Some(&self.outbound));
        let reply = message.reply.clone().filter(|_| self.no_responders);
        let stored = match &self.shared.jetstream {
            Some(jetstream) => jetstream.accept(message).await,
            None => false,
        };
        if !heard
            && !stored
            && let Some(reply) = reply
        {
            self.shared.router.answer_no_responders(&reply);
        }
    }
}
