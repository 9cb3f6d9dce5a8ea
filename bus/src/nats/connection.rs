//! A connection to NATS that reconnects by itself, and what it shows the server: credentials of the
//! URL, or the token that the embedded broker keeps in the data folder.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_nats::{
    Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, ServerAddr,
    jetstream::{
        self, Context,
        context::GetStreamByNameErrorKind,
        stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use futures::future::join_all;
use percent_encoding::percent_decode_str;
use runtime::{Backoff, settings::secret_file};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use url::{Host, Url};

use crate::{BusError, BusUrl, Condition, NatsFiles, NatsServers, Retention};

/// How long an answer of the broker may take, be it to a request or to a publication.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The name by which the embedded broker introduces itself.
const EMBEDDED: &str = "marquee";
/// How long a connection, or an answer, may take where an operator waits for it.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(3);
/// How long a server may take to take a connection that is made to find out why the client has none.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);
/// The port of NATS.
const DEFAULT_PORT: u16 = 4_222;
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Within this time a broker drops events whose id it has already.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A connection to NATS that comes back by itself.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    pub(super) jetstream: Context,
    link: watch::Receiver<Link>,
    limits: Retention,
}

#[derive(Debug, Clone, Copy, Default)]
struct Link {
    connected: bool,
    losses: u64,
}

impl Connection {
    /// Begins to connect.
    pub(super) async fn open(
        servers: &NatsServers,
        limits: Retention,
        name: &str,
        condition: &Arc<Condition>,
    ) -> Result<Self, BusError> {
        let options = credentials(servers);
        let advice = Arc::new(Advice::about(servers));
        let servers = addresses(servers).map_err(unavailable)?;
        let (link, watched) = watch::channel(Link::default());
        let link = Arc::new(link);
        let condition = condition.clone();
        let client = options
            .name(name)
            .retry_on_initial_connect()
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(ANSWER_DEADLINE))
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let (link, condition) = (link.clone(), condition.clone());
                let advice = advice.clone();
                async move { notice(&event, &link, &condition, &advice).await }
            })
            .connect(servers)
            .await
            .map_err(unavailable)?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(ANSWER_DEADLINE);
        Ok(Self {
            client,
            jetstream,
            link: watched,
            limits,
        })
    }

    /// Waits until there is a connection; tells a later loss of it apart by the number.
    pub(super) async fn connected(&self) -> u64 {
        let mut link = self.link.clone();
        match link.wait_for(|link| link.connected).await {
            Ok(link) => link.losses,
            // The client is gone: whatever is asked of it next says so.
            Err(_) => 0,
        }
    }

    /// Waits until the connection that was numbered `losses` is lost.
    pub(super) async fn lost(&self, losses: u64) {
        let mut link = self.link.clone();
        link.wait_for(|link| link.losses != losses).await.ok();
    }

    /// Waits until what was sent is with the broker; not for a broker that is unavailable.
    pub(super) async fn flush(&self) {
        if self.link.borrow().connected {
            self.client.flush().await.ok();
        }
    }

    /// Sets the limits of a stream that is named and made as ours are.
    async fn limit(&self, name: &str, topic: &str) {
        if name != topic.replace('.', "-") {
            return;
        }
        let Ok(stream) = self.jetstream.get_stream(name).await else {
            return;
        };
        let current = &stream.cached_info().config;
        let mut config = current.clone();
        self.set_limits(&mut config);
        let is_ours = current.subjects == [topic];
        let is_limited = (current.max_age, current.max_bytes) == (config.max_age, config.max_bytes);
        if !is_ours || is_limited {
            return;
        }
        match self.jetstream.update_stream(&config).await {
            Ok(_) => tracing::info!(stream = name, "the stream `{name}` has new limits"),
            Err(error) => {
                tracing::warn!(stream = name, %error, "the limits of the stream `{name}` cannot be set: {error}");
            }
        }
    }

    fn set_limits(&self, config: &mut Config) {
        // This broker limits streams that set no limits, and shortens those that all consumers have read.
        if self.client.server_info().server_name == EMBEDDED && !self.limits.is_set() {
            return;
        }
        let age = Some(config.max_age).filter(|age| !age.is_zero());
        config.max_age = self.limits.max_age(age).unwrap_or_default();
        // NATS servers reserve this much of their disk, and refuse streams that it has no room for: no
        // size is set by default.
        if let Some(bytes) = self.limits.event_max_bytes {
            let bytes = i64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
            config.max_bytes = bytes.unwrap_or(-1);
        }
        if !config.max_age.is_zero() {
            config.duplicate_window = config.duplicate_window.min(config.max_age);
        }
    }

    /// The name of the stream that holds `topic`. It is made if there is none.
    pub(super) async fn stream(&self, topic: &str) -> Result<String, BusError> {
        self.connected().await;
        if let Ok(name) = self.jetstream.stream_by_subject(topic).await {
            self.limit(&name, topic).await;
            return Ok(name);
        }
        let mut config = Config {
            name: topic.replace('.', "-"),
            subjects: vec![topic.to_owned()],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            num_replicas: 1,
            duplicate_window: DUPLICATE_WINDOW,
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            max_message_size: -1,
            max_messages_per_subject: -1,
            ..Config::default()
        };
        self.set_limits(&mut config);
        let name = config.name.clone();
        self.jetstream.create_stream(config).await.map_err(|e| {
            BusError::Unavailable(format!("the stream `{name}` cannot be made: {e}"))
        })?;
        Ok(name)
    }
}

/// Whether the servers have a stream for `topic`; asked on a connection that is made once, with the credentials of all clients.
pub(crate) async fn has_topic(servers: &NatsServers, topic: &str) -> Result<bool, BusError> {
    let advice = Advice::about(servers);
    let connecting = credentials(servers).name("doctor");
    let connected = connecting
        .connection_timeout(CONNECTION_DEADLINE)
        .connect(addresses(servers).map_err(unavailable)?)
        .await;
    let client = match connected {
        Ok(client) => client,
        Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
            return Err(unavailable(&advice.refused));
        }
        Err(error) => return Err(unavailable(advice.unreachable(error).await)),
    };
    let mut jetstream = jetstream::new(client);
    jetstream.set_timeout(CONNECTION_DEADLINE);
    match jetstream.stream_by_subject(topic).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Ok(false),
        Err(error) => Err(unavailable(format!(
            "NATS lets the client in, and its JetStream does not answer: enable it for the client's account, and let the client \
             publish to `$JS.API.>` and subscribe to `_INBOX.>` ({error})"
        ))),
    }
}

/// The servers as the client takes them: without credentials, which it would write to its log.
///
/// # Errors
///
/// If one of the URLs is none that the client knows.
pub fn addresses(servers: &NatsServers) -> io::Result<Vec<ServerAddr>> {
    servers
        .urls
        .iter()
        .map(|url| {
            let mut url = url.clone();
            url.set_password(None)
                .and_then(|()| url.set_username(""))
                .expect("parsing has made sure that the URL has a host");
            ServerAddr::from_url(url)
        })
        .collect()
}

/// Options with what the client shows the servers, and how it is encrypted; the client itself ignores what is in their
/// URLs.
pub fn credentials(servers: &NatsServers) -> ConnectOptions {
    let options = match servers.files.user_file() {
        Some(_) => user(servers.files.clone()),
        None => token_or_password(servers),
    };
    let options = options.require_tls(servers.require_tls());
    servers.files.secure(options)
}

fn user(files: NatsFiles) -> ConnectOptions {
    ConnectOptions::with_auth_callback(move |nonce| {
        let files = files.clone();
        async move {
            let introduced = tokio::task::spawn_blocking(move || files.introduction(&nonce));
            introduced.await.map_err(AuthError::new)?
        }
    })
}

fn token_or_password(servers: &NatsServers) -> ConnectOptions {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let url = servers.urls.iter().find(|url| !url.username().is_empty());
    match (url, servers.token_file.clone()) {
        (Some(url), _) => match url.password() {
            Some(password) => {
                ConnectOptions::with_user_and_password(decoded(url.username()), decoded(password))
            }
            None => ConnectOptions::with_token(decoded(url.username())),
        },
        (None, Some(file)) => ConnectOptions::with_auth_callback(move |_| {
            let file = file.clone();
            async move {
                let mut auth = Auth::new();
                auth.token = kept_token(file).await;
                Ok(auth)
            }
        }),
        (None, None) => ConnectOptions::new(),
    }
}

/// The token that the broker keeps. Without one the server decides whether the client needs any.
async fn kept_token(file: PathBuf) -> Option<String> {
    let read = tokio::task::spawn_blocking(move || secret_file(&file));
    let text = read.await.ok()?.ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// What helps an operator. The client's own words are short: a certificate that it does not trust is an "IO error".
struct Advice {
    refused: String,
    /// Follows the client's words for what it could not reach.
    tls: String,
    /// The servers as an operator knows them, without credentials.
    named: String,
    /// Each server's host and port.
    hosts: Vec<(String, u16)>,
}

impl Advice {
    fn about(servers: &NatsServers) -> Self {
        let files = &servers.files;
        let has_password = servers.urls.iter().any(|url| url.password().is_some());
        let refused = match (files.user_file(), &files.nats_cert_file) {
            (Some((_, file)), _) => format!("the user in `{}`", file.display()),
            (None, Some(file)) => format!("the user of the certificate `{}`", file.display()),
            (None, None) if has_password => "the user, or its password".to_owned(),
            (None, None) => {
                "the token: set NATS_TOKEN (or EVENT_BUS=nats://TOKEN@host:port) to that of the broker, which the embedded one \
                 keeps in the file `broker_token` of its data folder"
                    .to_owned()
            }
        };
        let authority = match &files.nats_ca_file {
            Some(file) => Some(format!("in `{}`", file.display())),
            None if servers.require_tls() || files.nats_cert_file.is_some() => {
                Some("that the system knows".to_owned())
            }
            None => None,
        };
        let tls = authority.map(|authority| {
            format!("; it has to speak TLS, with a certificate of an authority {authority}")
        });
        Self {
            refused: format!("NATS refuses {refused}"),
            tls: tls.unwrap_or_default(),
            named: BusUrl::Nats(servers.clone()).to_string(),
            hosts: servers.urls.iter().filter_map(host_and_port).collect(),
        }
    }

    /// What the log says when no server can be reached. The client does not tell why: `error` may be as short as "IO error".
    async fn unreachable(&self, error: impl std::fmt::Display) -> String {
        let cause = match self.refusal().await {
            Some(refusal) => refusal,
            None => format!("{error}{}", self.tls),
        };
        format!("NATS cannot be reached at {}: {cause}", self.named)
    }

    /// Why the first server that takes no connection takes none.
    async fn refusal(&self) -> Option<String> {
        let tries = self.hosts.iter().map(async |(host, port)| {
            let connect = TcpStream::connect((host.as_str(), *port));
            match timeout(PROBE_DEADLINE, connect).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no connection within {PROBE_DEADLINE:?}")),
            }
        });
        let mut refusals = join_all(tries).await.into_iter();
        refusals.find_map(|refusal| refusal)
    }
}

fn host_and_port(url: &Url) -> Option<(String, u16)> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, url.port().unwrap_or(DEFAULT_PORT)))
}

async fn notice(
    event: &async_nats::Event,
    link: &watch::Sender<Link>,
    condition: &Condition,
    advice: &Advice,
) {
    use async_nats::{ClientError, Event};
    let refused = ConnectErrorKind::AuthorizationViolation.to_string();
    match event {
        Event::Connected => {
            link.send_modify(|link| link.connected = true);
            condition.broker_available();
        }
        Event::Disconnected => {
            // First, so that a part that meets the loss does not tell it again.
            condition.broker_unavailable("the connection to NATS is lost");
            link.send_modify(|link| {
                link.connected = false;
                link.losses += 1;
            });
        }
        Event::ClientError(ClientError::Other(error)) if *error == refused => {
            condition.broker_unavailable(advice.refused.as_str());
        }
        Event::ClientError(error) if !link.borrow().connected => {
            condition.broker_unavailable(advice.unreachable(error).await);
        }
        other => tracing::debug!(event = %other, "the NATS client says: {other}"),
    }
}

/// The delay before an attempt to connect, counted from 1.
fn reconnect_delay(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let first = Duration::from_millis(50);
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(8) - 2;
    Backoff::new(first * (1 << doublings), Duration::from_secs(2)).next_delay()
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> BusError {
    BusError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_is_named_with_the_cause_and_no_password() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let url = format!("nats://me:secret@{address}").parse();
        let BusUrl::Nats(servers) = url.unwrap() else {
            panic!("it is no NATS")
        };
        let advice = Advice::about(&servers);
        let error = async_nats::ClientError::Other("IO error".into());
        let open = advice.unreachable(&error).await;
        assert_eq!(
            open,
            format!("NATS cannot be reached at nats://{address}: nats: IO error")
        );
        drop(port);
        let closed = advice.unreachable(&error).await;
        assert_eq!(
            closed,
            format!(
                "NATS cannot be reached at nats://{address}: Connection refused (os error 111)"
            )
        );
    }

    #[test]
    fn the_client_has_no_credentials_for_its_log() {
        for url in ["nats://me:secret@a,b", "nats://secret@[::1]:1", "tls://a"] {
            let BusUrl::Nats(servers) = url.parse().unwrap() else {
                panic!("`{url}` is no NATS")
            };
            let addresses = addresses(&servers).unwrap();
            assert!(!format!("{addresses:?}").contains("secret"));
            assert_eq!(addresses.len(), servers.urls.len());
        }
    }

    #[test]
    fn it_reconnects_at_once_and_then_ever_more_slowly() {
        assert_eq!(reconnect_delay(0), Duration::ZERO);
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        assert!(reconnect_delay(2) <= Duration::from_millis(50));
        for attempt in [10, 100, usize::MAX] {
            let delay = reconnect_delay(attempt);
            assert!((1_000..=2_000).contains(&delay.as_millis()), "{delay:?}");
        }
    }
}
