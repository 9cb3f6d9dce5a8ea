//! The requests to an agent of Consul, each on a connection of its own, with a deadline and a limit for the answer.
//!
//! The token goes into a header and nowhere else: whatever an answer says, it is taken out of it before somebody can read that.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_util::task::AbortOnDropHandle;

use super::service::ConsulService;
use crate::{service_address::HostPort, supervision::Dependency, telemetry::causes};

/// The header that shows the token.
const TOKEN_HEADER: &str = "x-consul-token";
/// The header that says which state of Consul an answer shows.
const INDEX_HEADER: &str = "x-consul-index";
/// The longest answer that is read, in bytes: some 500 instances.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How many instances of a service are taken from one answer.
const MAX_INSTANCES: usize = 1_024;
/// How much of a refusal is told, in characters.
const MAX_REASON: usize = 200;
/// How long an agent may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long an agent is to wait for a change. It may add a sixteenth.
const WAIT: Duration = Duration::from_secs(10);

/// The agent at one address, with the token that it is shown. Clones are the same agent.
#[derive(Clone)]
pub(crate) struct ConsulAgent(Arc<Access>);

struct Access {
    address: HostPort,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    token: Option<HeaderValue>,
    dependency: Dependency,
}

/// Why an agent did not do what it was asked for.
#[derive(Debug, Error)]
pub(super) enum AgentError {
    /// There is no connection to it.
    #[error("no connection to {0}")]
    Unreachable(HostPort, #[source] io::Error),
    /// The connection ended, or what came is no HTTP.
    #[error("{0} gave no answer that can be read")]
    Broken(HostPort, #[source] hyper::Error),
    /// It took too long.
    #[error("{0}: no answer within {1:?}")]
    Late(HostPort, Duration),
    /// Its answer is longer than any that makes sense.
    #[error("{0} gave an answer of more than {MAX_ANSWER_BYTES} bytes")]
    TooLong(HostPort),
    /// Its answer is not what the API says. The error of the parser would quote it.
    #[error("{address} gave an answer that makes no sense: line {line}, column {column}")]
    Garbled {
        /// The agent.
        address: HostPort,
        /// Where the answer is wrong: the line.
        line: usize,
        /// And the column.
        column: usize,
    },
    /// It refused.
    #[error("{address} answered {status}: {reason}")]
    Refused {
        /// The agent.
        address: HostPort,
        /// The status.
        status: StatusCode,
        /// What it says, without the token.
        reason: String,
    },
}

impl AgentError {
    /// Whether the agent does not know what it was asked to change.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether the agent has answered with a status that is none of success.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the agent answered that the request is at fault.
    pub(super) fn is_client_error(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.is_client_error())
    }

    /// Whether the agent is available, and its answer of no use.
    pub(super) fn is_garbled(&self) -> bool {
        matches!(self, Self::Garbled { .. })
    }

    /// The whole of it, and what an operator can do.
    pub(super) fn with_advice(&self) -> String {
        let advice = match self {
            Self::Refused { status, .. } if *status == StatusCode::FORBIDDEN => {
                "CONSUL_HTTP_TOKEN has to be a token with `service:read` and `node:read` for what is looked up, and `service:write` \
                 for what is registered"
            }
            Self::Broken(..) => {
                "CONSUL_HTTP_ADDR has to be an agent of Consul; CONSUL_HTTP_SSL says whether it speaks TLS"
            }
            Self::Unreachable(..) | Self::Late(..) => {
                "start the agent, or correct CONSUL_HTTP_ADDR; a firewall may be between. While it is unavailable services are neither \
                 found nor registered"
            }
            _ => "CONSUL_HTTP_ADDR has to be an agent of Consul; its log may say more",
        };
        format!("{}: {advice}", self.in_full())
    }

    /// The whole of it, in one line.
    pub(super) fn in_full(&self) -> String {
        causes(self)
    }
}

/// The instances of a service, and the state of Consul that shows them.
pub(super) struct Instances {
    pub(super) places: Vec<HostPort>,
    /// 0 if the agent does not say.
    pub(super) index: u64,
}

/// An instance of a service as `/v1/health/service` has it, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    port: u16,
}

impl Instance {
    /// Where it is: at the address of its node unless it has one of its own.
    fn place(&self) -> Option<HostPort> {
        let host = match self.service.address.as_str() {
            "" => &self.node.address,
            address => address,
        };
        let port = self.service.port;
        HostPort::of(host, port).filter(|_| port != 0)
    }
}

/// What `/v1/agent/service/register` is told of a service. Agents refuse fields that they do not know.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceDefinition {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) check: CheckDefinition,
}

/// Its check, which is critical unless it is told otherwise in time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CheckDefinition {
    #[serde(rename = "CheckID")]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "TTL")]
    pub(super) ttl: String,
    pub(super) deregister_critical_service_after: String,
    pub(super) status: CheckStatus,
}

/// How a service is, as `/v1/agent/check/update` is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CheckState {
    pub(super) status: CheckStatus,
    pub(super) output: String,
}

/// Whether clients are given a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckStatus {
    /// They are.
    Passing,
    /// They are not.
    Critical,
}

struct Answer {
    index: u64,
    body: Bytes,
}

impl ConsulAgent {
    pub(super) fn new(
        address: HostPort,
        tls: Option<(TlsConnector, ServerName<'static>)>,
        token: Option<HeaderValue>,
    ) -> Self {
        Self(Arc::new(Access {
            address,
            tls,
            token,
            dependency: Dependency::new("Consul"),
        }))
    }

    /// The instances of a service whose checks all pass.
    pub(super) async fn instances(&self, service: &ConsulService) -> Result<Instances, AgentError> {
        let query = service.query();
        let asked = self.ask(Method::GET, &query, Bytes::new(), DEADLINE);
        let Answer { index, body } = asked.await?;
        let garbled = |error: serde_json::Error| AgentError::Garbled {
            address: self.0.address.clone(),
            line: error.line(),
            column: error.column(),
        };
        let instances: Vec<Instance> = serde_json::from_slice(&body).map_err(garbled)?;
        let places = instances.iter().take(MAX_INSTANCES);
        Ok(Instances {
            places: places.filter_map(Instance::place).collect(),
            index,
        })
    }

    /// Waits until the instances of a service may be others than in the state `index`, for [`WAIT`] at most.
    pub(super) async fn change(
        &self,
        service: &ConsulService,
        index: u64,
    ) -> Result<(), AgentError> {
        let (query, seconds) = (service.query(), WAIT.as_secs());
        let query = format!("{query}&index={index}&wait={seconds}s");
        let asked = self.ask(
            Method::GET,
            &query,
            Bytes::new(),
            WAIT + WAIT / 16 + DEADLINE,
        );
        asked.await.map(drop)
    }

    /// Registers a service. One of the same id is replaced, with its checks.
    pub(super) async fn register(&self, service: &ServiceDefinition) -> Result<(), AgentError> {
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        self.put(path, service, DEADLINE).await
    }

    /// Tells how a service is, by its check.
    pub(super) async fn update_check(
        &self,
        check: &str,
        state: &CheckState,
    ) -> Result<(), AgentError> {
        let path = format!("/v1/agent/check/update/{check}");
        self.put(&path, state, DEADLINE).await
    }

    /// Ends the registration of a service and its checks.
    pub(super) async fn deregister(&self, id: &str, deadline: Duration) -> Result<(), AgentError> {
        let path = format!("/v1/agent/service/deregister/{id}");
        let asked = self.ask(Method::PUT, &path, Bytes::new(), deadline);
        asked.await.map(drop)
    }

    async fn put(
        &self,
        path: &str,
        what: &impl Serialize,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let body = serde_json::to_vec(what).expect("text and numbers under names are always JSON");
        let asked = self.ask(Method::PUT, path, body.into(), deadline);
        asked.await.map(drop)
    }

    /// Makes a request, and notes whether the agent is available.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answer, AgentError> {
        let late = || AgentError::Late(self.0.address.clone(), deadline);
        let answer = timeout(deadline, self.exchange(method, path, body));
        let answer = answer.await.unwrap_or_else(|_| Err(late()));
        match &answer {
            Err(error) if !error.is_client_error() => {
                self.0.dependency.unavailable(error.in_full())
            }
            _ => self.0.dependency.available(),
        }
        answer
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, AgentError> {
        let Access { address, tls, .. } = &*self.0;
        let unreachable = |error| AgentError::Unreachable(address.clone(), error);
        let sockets = address.look_up().await.map_err(unreachable)?;
        let connected = TcpStream::connect(sockets.as_slice()).await;
        let stream = connected.map_err(unreachable)?;
        let request = self.request(method, path, body);
        match tls {
            None => self.exchange_over(stream, request).await,
            Some((connector, name)) => {
                let secured = connector.connect(name.clone(), stream).await;
                let stream = secured.map_err(unreachable)?;
                self.exchange_over(stream, request).await
            }
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            .expect("names in the paths are of letters, digits and -_. alone");
        let headers = request.headers_mut();
        let host = HeaderValue::try_from(self.0.address.to_string());
        headers.insert(HOST, host.expect("the host was read as part of a URI"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.0.token {
            headers.insert(TOKEN_HEADER, token.clone());
        }
        request
    }

    async fn exchange_over<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, AgentError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let address = &self.0.address;
        let broken = |error| AgentError::Broken(address.clone(), error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(broken)?
            .into_parts();
        let collected = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) => {
                return Err(match error.downcast::<hyper::Error>() {
                    Ok(error) => broken(*error),
                    Err(_) => AgentError::TooLong(address.clone()),
                });
            }
        };
        if !head.status.is_success() {
            return Err(AgentError::Refused {
                address: address.clone(),
                status: head.status,
                reason: self.told(&body),
            });
        }
        let index = head.headers.get(INDEX_HEADER);
        let index = index.and_then(|index| index.to_str().ok()?.parse().ok());
        Ok(Answer {
            index: index.unwrap_or_default(),
            body,
        })
    }

    /// What a refusal says, as far as it may be shown.
    fn told(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        if let Some(token) = self.0.token.as_ref().and_then(|token| token.to_str().ok()) {
            text = text.replace(token, "…");
        }
        let line = text.lines().next().unwrap_or_default();
        line.chars()
            .filter(|letter| !letter.is_control())
            .take(MAX_REASON)
            .collect()
    }
}

/// Shows no token.
impl fmt::Debug for ConsulAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsulAgent({})", self.0.address)
    }
}
