//! An agent of Consul, in memory: the part of its documented HTTP API by which services register and are found. It can leave, refuse,
//! hang, forget and give any answer, and keeps what it was asked.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::{UNPOISONED, server::FakeServer};

/// The agent. Clones are the same.
#[derive(Clone)]
pub struct FakeConsul {
    agent: Agent,
    server: FakeServer,
}

/// What outlives its server.
#[derive(Clone)]
struct Agent {
    state: Arc<Mutex<State>>,
    /// A number that grows with each change of what it knows.
    index: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    services: HashMap<String, Service>,
    asked: Vec<AskedOfConsul>,
    token: Option<String>,
    answer: Option<(StatusCode, Bytes)>,
    hangs: bool,
}

/// A service that an agent knows.
#[derive(Debug, Clone)]
struct Service {
    definition: Value,
    status: String,
    output: String,
}

/// One request that an agent was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedOfConsul {
    /// Method and path, as in `PUT /v1/agent/service/register`.
    pub what: String,
    /// What follows the question mark.
    pub query: String,
    /// The token that was shown.
    pub token: Option<String>,
    /// The body, `Null` if there was none.
    pub body: Value,
}

impl FakeConsul {
    /// An agent that answers.
    pub fn new() -> Self {
        let consul = Self::absent();
        consul.serve();
        consul
    }

    /// An agent at whose address nothing answers yet.
    pub fn absent() -> Self {
        Self {
            agent: Agent {
                state: Arc::default(),
                index: watch::Sender::new(1),
            },
            server: FakeServer::new(),
        }
    }

    /// Begins to answer.
    pub fn serve(&self) {
        let agent = self.agent.clone();
        self.server.serve_on(async move |listener| {
            while let Ok((stream, _)) = listener.accept().await {
                let agent = agent.clone();
                let answering = service_fn(move |request| agent.clone().answer(request));
                let server = hyper::server::conn::http1::Builder::new();
                // A client may leave.
                tokio::spawn(async move {
                    let _ = server
                        .serve_connection(TokioIo::new(stream), answering)
                        .await;
                });
            }
        });
    }

    /// Ends, with all connections. What it knows stays.
    pub fn leave(&self) {
        self.server.leave();
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Asks for a token from now on.
    pub fn require_token(&self, token: &str) {
        self.lock().token = Some(token.into());
    }

    /// Gives this answer to everything, or no longer does.
    pub fn answer_with(&self, answer: Option<(u16, Vec<u8>)>) {
        let answer = answer.map(|(status, body)| {
            let status = StatusCode::from_u16(status).expect("the test names a status");
            (status, body.into())
        });
        self.lock().answer = answer;
    }

    /// Answers nothing, or no longer does so.
    pub fn hang(&self, hangs: bool) {
        self.lock().hangs = hangs;
    }

    /// Forgets all services, as an agent does that starts with an empty folder.
    pub fn forget(&self) {
        self.change(|state| state.services.clear());
    }

    /// Knows one more instance of a service, whose checks pass.
    pub fn add(&self, id: &str, service: &str, address: SocketAddr) {
        self.add_at(id, service, &address.ip().to_string(), address.port());
    }

    /// Knows one more instance of a service, at a host that may be a name.
    pub fn add_at(&self, id: &str, service: &str, host: &str, port: u16) {
        self.know(
            id,
            json!({"ID": id, "Name": service, "Address": host, "Port": port}),
        );
    }

    /// Knows one more instance of a service, which has no address but that of its node, 127.0.0.1.
    pub fn add_without_address(&self, id: &str, service: &str, port: u16) {
        self.know(
            id,
            json!({"ID": id, "Name": service, "Address": "", "Port": port}),
        );
    }

    fn know(&self, id: &str, definition: Value) {
        let service = Service {
            definition,
            status: "passing".into(),
            output: String::new(),
        };
        self.change(|state| state.services.insert(id.into(), service));
    }

    /// Has the check of a service say this.
    pub fn set_status(&self, id: &str, status: &str) {
        self.change(|state| {
            if let Some(service) = state.services.get_mut(id) {
                service.status = status.into();
            }
        });
    }

    /// The ids of the services that it knows, with what their checks say, in the order of the ids.
    pub fn services(&self) -> Vec<(String, String, String)> {
        let state = self.lock();
        let services = state.services.iter();
        let mut services: Vec<_> = services
            .map(|(id, known)| (id.clone(), known.status.clone(), known.output.clone()))
            .collect();
        services.sort();
        services
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<AskedOfConsul> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.agent.lock()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        self.agent.change(change);
    }
}

impl Agent {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.lock());
        self.index.send_modify(|index| *index += 1);
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        let body = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let token = head.headers.get("x-consul-token");
        let asked = AskedOfConsul {
            what: format!("{} {}", head.method, head.uri.path()),
            query: head.uri.query().unwrap_or_default().into(),
            token: token.map(|token| String::from_utf8_lossy(token.as_bytes()).into_owned()),
            body,
        };
        let (hangs, fixed, is_allowed) = {
            let mut state = self.lock();
            state.asked.push(asked.clone());
            let is_allowed = state.token.is_none() || state.token == asked.token;
            (state.hangs, state.answer.clone(), is_allowed)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let (status, body) = match fixed {
            Some(fixed) => fixed,
            // As an agent does not, but something between might.
            None if !is_allowed => {
                let shown = asked.token.clone().unwrap_or_default();
                (
                    StatusCode::FORBIDDEN,
                    format!("ACL not found: {shown}").into(),
                )
            }
            None => {
                self.do_as_asked(&head.method, head.uri.path(), &asked)
                    .await
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let index = (*self.index.borrow()).into();
        response.headers_mut().insert("x-consul-index", index);
        Ok(response)
    }

    async fn do_as_asked(
        &self,
        method: &Method,
        path: &str,
        asked: &AskedOfConsul,
    ) -> (StatusCode, Bytes) {
        let of = |prefix: &str| path.strip_prefix(prefix).map(str::to_owned);
        if method == Method::GET
            && let Some(service) = of("/v1/health/service/")
        {
            self.wait_for_change(&asked.query).await;
            let found = self.passing(&service, &asked.query);
            return (StatusCode::OK, Value::Array(found).to_string().into());
        }
        if method != Method::PUT {
            return (StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        }
        let not_found = |what: &str| (StatusCode::NOT_FOUND, format!("Unknown {what}").into());
        let done = (StatusCode::OK, Bytes::new());
        if path == "/v1/agent/service/register" {
            if let Some(unknown) = unknown_field(&asked.body) {
                let reason = format!("Request decode failed: json: unknown field {unknown:?}");
                return (StatusCode::BAD_REQUEST, reason.into());
            }
            let id = text(&asked.body, "/ID");
            let service = Service {
                definition: asked.body.clone(),
                status: text(&asked.body, "/Check/Status"),
                output: String::new(),
            };
            self.change(|state| state.services.insert(id, service));
            return done;
        }
        if let Some(id) = of("/v1/agent/service/deregister/") {
            let is_known = self.lock().services.contains_key(&id);
            self.change(|state| state.services.remove(&id));
            return if is_known { done } else { not_found("service") };
        }
        if let Some(check) = of("/v1/agent/check/update/") {
            let mut is_known = false;
            self.change(|state| {
                let mut services = state.services.values_mut();
                let of_check =
                    |service: &&mut Service| text(&service.definition, "/Check/CheckID") == check;
                if let Some(service) = services.find(of_check) {
                    is_known = true;
                    service.status = text(&asked.body, "/Status");
                    service.output = text(&asked.body, "/Output");
                }
            });
            return if is_known { done } else { not_found("check") };
        }
        (StatusCode::NOT_FOUND, Bytes::new())
    }

    /// A blocking query: waits until the index is another, or for as long as is asked.
    async fn wait_for_change(&self, query: &str) {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let Some(index) = value("index").and_then(|index| index.parse::<u64>().ok()) else {
            return;
        };
        let seconds = value("wait").and_then(|wait| wait.strip_suffix('s')?.parse().ok());
        let mut changes = self.index.subscribe();
        let changed = changes.wait_for(|now| *now != index);
        // Whichever comes first.
        let _ = timeout(Duration::from_secs(seconds.unwrap_or(300)), changed).await;
    }

    fn passing(&self, service: &str, query: &str) -> Vec<Value> {
        let state = self.lock();
        let is_meant = |known: &&Service| {
            text(&known.definition, "/Name") == service
                && (known.status == "passing" || !query.contains("passing"))
        };
        let found = state.services.values().filter(is_meant);
        found
            .map(|known| {
                json!({
                    "Node": {"Node": "here", "Address": "127.0.0.1"},
                    "Service": {
                        "ID": known.definition.get("ID"),
                        "Service": service,
                        "Address": known.definition.get("Address"),
                        "Port": known.definition.get("Port"),
                    },
                    "Checks": [{"Status": known.status}],
                })
            })
            .collect()
    }
}

/// A field of a registration that the documentation does not name, if there is one. Agents refuse such fields.
fn unknown_field(registration: &Value) -> Option<String> {
    const SERVICE: [&str; 8] = [
        "ID", "Name", "Tags", "Address", "Port", "Meta", "Check", "Weights",
    ];
    const CHECK: [&str; 6] = [
        "CheckID",
        "Name",
        "Notes",
        "TTL",
        "Status",
        "DeregisterCriticalServiceAfter",
    ];
    let parts = [
        (Some(registration), &SERVICE[..]),
        (registration.get("Check"), &CHECK[..]),
    ];
    let unknown = parts.into_iter().find_map(|(part, known)| {
        let mut fields = part?.as_object()?.keys();
        fields.find(|field| !known.contains(&field.as_str()))
    });
    unknown.cloned()
}

/// A text in JSON, by its path; empty if there is none.
fn text(json: &Value, path: &str) -> String {
    let text = json.pointer(path).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

impl Default for FakeConsul {
    fn default() -> Self {
        Self::new()
    }
}
