//! Monitoring over HTTP, as nats-server serves it: `/varz`, `/connz`, `/subsz`, `/jsz`, `/healthz` and the others that tools ask for.
//!
//! The answers have nats-server's names for what this broker has too. They are made when they are asked for: nothing is
//! counted for them. [`system`] gives them as messages, too.

mod accountz;
mod connz;
mod healthz;
mod jsz;
mod query;
mod subsz;
pub(crate) mod system;
mod varz;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpRequest, HttpResponse, guard, web};
use runtime::http::{self, HttpLimits};
use runtime::process::Service;
use runtime::{Fault, Process};
use serde_json::{Map, Value, json};

use crate::broker::{BrokerConfig, BrokerStats, ServingLimits, go_time as time};

/// How much tools and persons who look at the server take.
const FEW: HttpLimits = HttpLimits {
    workers: 1,
    connections: 64,
    keep_alive: Duration::from_secs(80),
    write_deadline: http::WRITE_DEADLINE,
};

/// The pages, with what they are for.
const PAGES: [(&str, &str); 12] = [
    ("/varz", "General"),
    ("/jsz", "JetStream"),
    ("/connz", "Connections"),
    ("/accountz", "Accounts"),
    ("/accstatz", "Account Stats"),
    ("/subsz", "Subscriptions"),
    ("/routez", "Routes"),
    ("/leafz", "LeafNodes"),
    ("/gatewayz", "Gateways"),
    ("/healthz", "Health Probe"),
    ("/subscriptionsz", "Subscriptions"),
    ("/ipqueuesz", "Queues"),
];

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Monitor {
    stats: BrokerStats,
    config: Arc<BrokerConfig>,
    clients: SocketAddr,
    websocket: Option<SocketAddr>,
    http: Option<SocketAddr>,
    base_path: String,
    started: SystemTime,
    clock: Instant,
    requests: Arc<Mutex<BTreeMap<String, u64>>>,
    reloaded: Arc<Mutex<Reloaded>>,
}

/// What a reload of the configuration changes.
#[derive(Debug)]
struct Reloaded {
    /// The names of all accounts.
    accounts: Vec<String>,
    limits: ServingLimits,
    labels: Labels,
    at: SystemTime,
}

/// What an operator has said of the server, for those who look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Labels {
    /// Words in lower case.
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// What tells one configuration file from another; empty without one.
    pub(crate) config_digest: String,
}

impl Monitor {
    /// The pages of a broker whose clients connect to `clients`, or by websocket to `websocket`, at `http` if at all.
    pub(crate) fn new(
        stats: BrokerStats,
        config: BrokerConfig,
        clients: SocketAddr,
        websocket: Option<SocketAddr>,
        http: Option<SocketAddr>,
        base_path: String,
        labels: Labels,
    ) -> Self {
        let started = SystemTime::now();
        let reloaded = Reloaded {
            accounts: config.accounts.all.clone(),
            limits: config.serving_limits(),
            labels,
            at: started,
        };
        Monitor {
            stats,
            config: Arc::new(config),
            clients,
            websocket,
            http,
            base_path: base_path.trim_end_matches('/').to_owned(),
            started,
            clock: Instant::now(),
            requests: Arc::default(),
            reloaded: Arc::new(Mutex::new(reloaded)),
        }
    }

    /// Shows these accounts, limits and labels from now on: the configuration has been loaded again.
    pub(crate) fn show_reloaded(
        &self,
        accounts: Vec<String>,
        limits: ServingLimits,
        labels: Labels,
    ) {
        *self.reloaded() = Reloaded {
            accounts,
            limits,
            labels,
            at: SystemTime::now(),
        };
    }

    fn reloaded(&self) -> MutexGuard<'_, Reloaded> {
        self.reloaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> Vec<String> {
        self.reloaded().accounts.clone()
    }

    /// Counts a request for a page.
    fn count(&self, path: &str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry(path.to_owned()).or_default() += 1;
    }

    /// An answer that begins with who answers, and when.
    fn answer(&self, mut fields: Value) -> Value {
        if let Some(map) = fields.as_object_mut() {
            map.insert("server_id".to_owned(), json!(self.stats.server_id()));
            map.insert("now".to_owned(), json!(time(SystemTime::now())));
        }
        fields
    }
}

/// Serves the pages on a thread of their own, until the process stops it.
///
/// # Errors
///
/// If there is no thread.
pub(crate) fn start(
    monitor: Monitor,
    listener: TcpListener,
    process: &Process,
) -> Result<Service, Fault> {
    Service::spawn(
        "monitoring",
        &process.sibling(),
        1,
        move |process| async move {
            let application = move || {
                let monitor = monitor.clone();
                App::new()
                    .wrap(from_fn(http::refuse_foreign))
                    .wrap(from_fn(http::edge))
                    .configure(|cfg| configure(cfg, monitor))
            };
            let server = http::server(None, application, listener, FEW)
                .map_err(|error| Fault::Failed(format!("monitoring cannot be served: {error}")))?;
            http::run_until_stopped(server, &process, "monitoring").await
        },
    )
}

fn configure(cfg: &mut web::ServiceConfig, monitor: Monitor) {
    let base = monitor.base_path.clone();
    cfg.app_data(web::Data::new(monitor));
    for (path, _) in PAGES {
        let resource = web::resource(format!("{base}{path}"))
            .guard(guard::Any(guard::Get()).or(guard::Head()))
            .to(move |request: HttpRequest, monitor: web::Data<Monitor>| {
                page(path, request, monitor)
            });
        cfg.service(resource);
    }
    let root = if base.is_empty() {
        "/".to_owned()
    } else {
        base
    };
    cfg.route(&root, web::get().to(index));
}

async fn page(
    path: &'static str,
    request: HttpRequest,
    monitor: web::Data<Monitor>,
) -> HttpResponse {
    monitor.count(path);
    let query = match query::Query::parse(request.query_string()) {
        Ok(query) => query,
        Err(reason) => return HttpResponse::BadRequest().body(reason),
    };
    let answer = match path {
        "/varz" => Ok(varz::varz(&monitor).await),
        "/accountz" => accountz::accountz(&monitor, &query),
        "/accstatz" => accountz::accstatz(&monitor, &query),
        "/connz" => connz::connz(&monitor, &query),
        "/subsz" | "/subscriptionsz" => subsz::subsz(&monitor, &query),
        "/jsz" => jsz::jsz(&monitor, &query).await,
        "/healthz" => return healthz::healthz(&monitor, &query).await,
        _ => Ok(absent(path, &monitor)),
    };
    match answer {
        Ok(answer) => json_answer(StatusCode::OK, format!("{answer:#}")),
        Err(reason) => HttpResponse::BadRequest().body(reason),
    }
}

/// What there is none of, in the form that tools read.
fn absent(path: &str, monitor: &Monitor) -> Value {
    let name = &monitor.config.server_name;
    monitor.answer(match path {
        "/routez" => json!({ "server_name": name, "num_routes": 0, "routes": [] }),
        "/gatewayz" => {
            json!({ "server_name": name, "outbound_gateways": {}, "inbound_gateways": {} })
        }
        "/leafz" => json!({ "leafnodes": 0, "leafs": [] }),
        _ => json!({}),
    })
}

/// An answer in JSON. The pages of other sites may not read it, unlike nats-server's: they are on the operator's own machine as well.
fn json_answer(status: StatusCode, answer: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("application/json")
        .body(answer)
}

async fn index(monitor: web::Data<Monitor>) -> HttpResponse {
    let mut page = String::from("<!DOCTYPE html>\n<html lang=\"en\"><title>NATS</title>\n<ul>\n");
    for (path, name) in PAGES {
        let base = &monitor.base_path;
        page.push_str(&format!("<li><a href=\"{base}{path}\">{name}</a>\n"));
    }
    page.push_str("</ul></html>\n");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page)
}

/// What stands at a JSON pointer; null where there is nothing.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn merge(into: &mut Value, fields: Value) {
    if let (Some(into), Value::Object(fields)) = (into.as_object_mut(), fields) {
        into.extend::<Map<_, _>>(fields);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as nats-server shows it: `1y2d3h4m5s`, without what is zero in front.
fn uptime(duration: Duration) -> String {
    const UNITS: [(u64, char); 4] = [(365 * 86_400, 'y'), (86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, letter) in UNITS {
        if seconds >= unit || !text.is_empty() {
            text.push_str(&format!("{}{letter}", seconds / unit));
            seconds %= unit;
        }
    }
    format!("{text}{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_nats_server_shows_them() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3_661, "1h1m1s"),
            (86_400, "1d0h0m0s"),
            (366 * 86_400 + 5, "1y1d0h0m5s"),
        ] {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }
}
