//! One replica of a service: a task keeps a connection to it, and follows what its gRPC health says of the server.
//!
//! A replica counts as connected when its health has answered: a process that hangs still takes connections. Servers without the health
//! service count as healthy.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;
use tonic::{
    ConnectError, Status, Streaming,
    codegen::{Service, StdError, http::Uri},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use super::replicas::{Health, ReplicaState, Replicas, Unreachable};
use crate::{Backoff, Dependency, grpc::client::reason, service_address::Located, tls::GrpcTls};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long health may take for its first answer on a connection.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long health may take to say that a replica which left a call without an answer is still there.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a connection is tried, also while nothing is asked: a peer that vanished is noticed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the peer may take to answer that.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The delays between attempts to connect while no call asks for one: at first, and at most.
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After so long a connection was a good one: when it is lost, the next is made at once. Of others in a row only the first is.
const PROVEN: Duration = Duration::from_secs(1);

/// How often a replica that was lost is looked at, for the log.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A replica of a service.
#[derive(Debug)]
pub(super) struct Replica {
    /// Tells it from others, also from one that had the same address before.
    pub(super) id: u64,
    pub(super) located: Located,
    tls: Option<GrpcTls>,
    /// Told when a call needs it: it connects without delay.
    pub(super) wanted: Notify,
    /// For the log, once it was connected: whether it serves, and otherwise why not.
    standing: watch::Sender<Option<Result<(), String>>>,
}

/// A connection to a replica. It is never made again: the next is another one.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) channel: Channel,
    pub(super) number: u64,
    /// Cancelled by a call that found that it has ended.
    pub(super) lost: CancellationToken,
    /// Told when a call was not answered.
    pub(super) doubted: Arc<Notify>,
}

/// What a replica says of its health, as long as it does.
enum Reports {
    Followed(Box<Streaming<HealthCheckResponse>>),
    /// The server has no such service.
    None,
}

impl Replica {
    pub(super) fn new(located: Located, tls: Option<GrpcTls>) -> Self {
        Self {
            id: next_number(),
            located,
            tls,
            wanted: Notify::new(),
            standing: watch::Sender::default(),
        }
    }

    /// Keeps a connection, and logs when the replica is lost and when it is back, for ever.
    pub(super) async fn keep_connected(self: Arc<Self>, replicas: Arc<Replicas>) {
        tokio::join!(self.connect_again_and_again(&replicas), self.tell());
    }

    async fn connect_again_and_again(&self, replicas: &Replicas) {
        let mut backoff = Backoff::new(DELAYS.0, DELAYS.1);
        let mut is_first_loss = true;
        loop {
            replicas.set(self.id, ReplicaState::Connecting);
            let error = match self.connect().await {
                Ok((connection, health, reports)) => {
                    tracing::debug!("connected to {}", self.located.socket);
                    self.note(health);
                    let state = ReplicaState::Connected(connection.clone(), health);
                    replicas.set(self.id, state);
                    let since = Instant::now();
                    let reason = self.follow(replicas, &connection, reports).await;
                    self.note_loss(&reason);
                    let is_proven = since.elapsed() >= PROVEN;
                    if is_proven {
                        backoff.reset();
                    }
                    if std::mem::replace(&mut is_first_loss, is_proven) || is_proven {
                        replicas.lookup_wanted.notify_one();
                        continue;
                    }
                    reason
                }
                Err(error) => {
                    self.note_loss(&error);
                    error
                }
            };
            tracing::debug!("{} cannot be reached: {error}", self.located.socket);
            let state = ReplicaState::Down(Unreachable::because(error));
            replicas.set(self.id, state);
            // It may have gone for good, and another may be in its place.
            replicas.lookup_wanted.notify_one();
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    async fn connect(&self) -> Result<(Connection, Health, Reports), StdError> {
        let stream = timeout(CONNECT_TIMEOUT, self.open())
            .await
            .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))??;
        let connector = OneConnection(Arc::new(Mutex::new(Some(stream))));
        let authority = &self.located.authority;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        // The scheme of the address would have tonic speak TLS itself.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
            .origin(format!("{scheme}://{authority}").try_into()?)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let connection = Connection {
            channel: endpoint.connect_with_connector(connector).await?,
            number: next_number(),
            lost: CancellationToken::new(),
            doubted: Arc::default(),
        };
        let first = timeout(FIRST_ANSWER_TIMEOUT, first_report(&connection.channel));
        let (health, reports) = first
            .await
            .map_err(|_| format!("no answer within {FIRST_ANSWER_TIMEOUT:?}"))?
            .map_err(|status| self.explained(&status))?;
        Ok((connection, health, reports))
    }

    /// Opens a connection, with TLS if that is spoken between the services.
    async fn open(&self) -> Result<Stream, StdError> {
        let stream = TcpStream::connect(self.located.socket).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let authority = self.located.authority.as_str();
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let (connector, name) = tls
            .connector(host)
            .ok_or_else(|| format!("no certificate can be for the host {host}"))?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => match tls_error(&error) {
                Some(rustls::Error::InvalidMessage(_)) => {
                    Err(format!("the server speaks no TLS: {error}").into())
                }
                _ => Err(error.into()),
            },
        }
    }

    /// What the end of a new connection means. With TLS 1.3 a client takes the handshake for done before the server has seen its
    /// certificate; HTTP/2 passes on nothing but the words of that refusal.
    fn explained(&self, status: &Status) -> StdError {
        let reason = reason(status);
        if self.tls.is_some() && reason.contains("received fatal alert") {
            let words = "the server does not accept the certificate of this program";
            return format!("{words} (GRPC_CERT_FILE): {reason}").into();
        }
        reason.into()
    }

    /// Follows what the replica says until the connection has ended. Returns why.
    async fn follow(
        &self,
        replicas: &Replicas,
        connection: &Connection,
        mut reports: Reports,
    ) -> StdError {
        loop {
            let health = tokio::select! {
                report = reports.next() => match report {
                    Ok(health) => health,
                    Err(status) => return reason(&status).into(),
                },
                () = connection.doubted.notified() => {
                    replicas.doubt(self.id, connection);
                    self.note_loss("it does not answer");
                    tokio::select! {
                        checked = until_answered(&connection.channel) => match checked {
                            Ok(health) => health,
                            Err(status) => return reason(&status).into(),
                        },
                        () = connection.lost.cancelled() => return ConnectionLost.into(),
                    }
                }
                () = connection.lost.cancelled() => return ConnectionLost.into(),
            };
            replicas.set_health(self.id, connection, health);
            self.note(health);
        }
    }

    /// It has said how it is.
    fn note(&self, health: Health) {
        match health {
            Health::NotServing => self.note_loss("it does not serve"),
            _ => drop(self.standing.send_replace(Some(Ok(())))),
        }
    }

    /// It is not connected, does not answer, or does not serve. One that never served is no loss.
    fn note_loss(&self, reason: impl fmt::Display) {
        self.standing.send_if_modified(|standing| {
            let has_served = standing.is_some();
            if has_served {
                *standing = Some(Err(reason.to_string()));
            }
            has_served
        });
    }

    /// Logs what becomes of it, for ever.
    async fn tell(&self) {
        let presence = presence(&self.located);
        let mut standing = self.standing.subscribe();
        loop {
            match &*standing.borrow_and_update() {
                Some(Ok(())) => presence.available(),
                Some(Err(reason)) => presence.unavailable(reason),
                None => {}
            }
            // A loss counts once it has lasted, so that it is looked at again without news.
            let is_lost = matches!(*standing.borrow(), Some(Err(_)));
            tokio::select! {
                _ = standing.changed() => {}
                () = sleep(LOOK_INTERVAL), if is_lost => {}
            }
        }
    }
}

/// What the log says of the replica, which is one for all clients of the process.
fn presence(located: &Located) -> Arc<Dependency> {
    type Known = Mutex<HashMap<SocketAddr, Weak<Dependency>>>;
    static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|_, presence| presence.strong_count() > 0);
    let (socket, authority) = (located.socket, &located.authority);
    if let Some(presence) = known.get(&socket).and_then(Weak::upgrade) {
        return presence;
    }
    let presence = Arc::new(Dependency::one_of_several(
        format!("lost the replica {socket} of {authority}"),
        format!("regained the replica {socket} of {authority}"),
    ));
    known.insert(socket, Arc::downgrade(&presence));
    presence
}

impl Reports {
    async fn next(&mut self) -> Result<Health, Status> {
        match self {
            Self::Followed(reports) => match reports.message().await? {
                Some(report) => Ok(health(&report)),
                None => Err(Status::unavailable("the server closed the connection")),
            },
            Self::None => std::future::pending().await,
        }
    }
}

/// The first that the server says of its health.
async fn first_report(channel: &Channel) -> Result<(Health, Reports), Status> {
    let mut client = HealthClient::new(channel.clone());
    let first = async {
        let mut reports = client.watch(whole_server()).await?.into_inner();
        Ok((reports.message().await?, reports))
    };
    match first.await {
        Ok((Some(report), reports)) => Ok((health(&report), Reports::Followed(Box::new(reports)))),
        Ok((None, _)) => Ok((Health::Serving, Reports::None)),
        Err(status) if is_answer(&status) => Ok((Health::Serving, Reports::None)),
        Err(status) => Err(status),
    }
}

/// Asks for the health of the server until there is an answer.
async fn until_answered(channel: &Channel) -> Result<Health, Status> {
    let mut client = HealthClient::new(channel.clone());
    loop {
        match timeout(DOUBT_TIMEOUT, client.check(whole_server())).await {
            Ok(Ok(report)) => return Ok(health(report.get_ref())),
            Ok(Err(status)) if is_answer(&status) => return Ok(Health::Serving),
            Ok(Err(status)) => return Err(status),
            Err(_) => {}
        }
    }
}

/// Whether a server said so, of whatever kind: a status of the client itself has a cause.
fn is_answer(status: &Status) -> bool {
    status.source().is_none()
}

/// Without a name it is the server itself that is asked for.
fn whole_server() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

fn health(report: &HealthCheckResponse) -> Health {
    match report.status() {
        ServingStatus::NotServing => Health::NotServing,
        _ => Health::Serving,
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Gives a channel its connection. When that has ended it gives no other, so that every connection is one whose health was asked for.
#[derive(Clone)]
struct OneConnection(Arc<Mutex<Option<Stream>>>);

/// A connection, whatever it is made of.
type Stream = Box<dyn Duplex>;

/// What can be read and written.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What TLS says of a failure, if it is one of TLS.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    inner.downcast_ref()
}

impl Service<Uri> for OneConnection {
    type Response = TokioIo<Stream>;
    type Error = ConnectionLost;
    type Future = Ready<Result<Self::Response, ConnectionLost>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectionLost>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready(stream.map(TokioIo::new).ok_or(ConnectionLost))
    }
}

/// The connection had ended before a call was sent.
#[derive(Debug)]
pub(super) struct ConnectionLost;

impl ConnectionLost {
    /// The same, as what a channel that has ended says.
    pub(super) fn because(_: tonic::transport::Error) -> StdError {
        ConnectError(Self.into()).into()
    }
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl Error for ConnectionLost {}
