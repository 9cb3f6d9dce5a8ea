//! What an operator asks a running program over HTTP: is it alive, can it serve, how is it inside.
//!
//! All of it is served at an address for operators. The public address of a program tells only whether
//! it is alive and ready.

mod metrics;
mod section;
mod server;
mod system_page;

pub(crate) use metrics::show_actors;
pub use section::{Row, Section, Stuck, Table};
pub(crate) use server::serve_operators;
pub use server::{serve, until_stopped, while_starting};

use std::net::SocketAddr;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::RequestHead,
    guard,
    http::header::{CACHE_CONTROL, LOCATION},
    web,
};
use serde::Serialize;

use crate::{
    Process,
    http::foreign_host,
    supervision::{ActorRegistry, ActorStatus, Health},
};

/// What the public address needs to know of the one for operators.
#[derive(Debug, Clone, Copy)]
struct OpsAddr(Option<SocketAddr>);

/// A resource that is read. Monitors ask with HEAD, too.
fn page(path: &str) -> actix_web::Resource {
    web::resource(path).guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Adds what the public may ask to a program's HTTP address: `/healthz`, `/readyz` without details,
/// and `/system`, which sends those who look at the machine itself to the address for operators.
pub fn configure_public(cfg: &mut web::ServiceConfig, process: &Process) {
    cfg.app_data(web::Data::new(process.registry.clone()))
        .app_data(web::Data::new(OpsAddr(process.ops_addr)))
        .service(page("/healthz").to(healthz))
        .service(page("/readyz").to(bare_readyz))
        .service(
            page("/system")
                .guard(guard::fn_guard(is_local))
                .to(to_operators),
        );
}

/// Whether a request comes from this machine, without a proxy, and asks for it by a loopback name.
fn is_local(context: &guard::GuardContext<'_>) -> bool {
    has_come_directly(context.head())
}

/// Whether a request comes from this machine, without a proxy that tells of itself, and asks for it by a loopback name.
pub fn has_come_directly(head: &RequestHead) -> bool {
    let is_forwarded = head.headers().keys().map(|name| name.as_str()).any(|name| {
        matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with("x-forwarded-")
    });
    let is_near = head.peer_addr.is_some_and(|peer| peer.ip().is_loopback());
    let host = head.headers().get("host");
    let host = host.and_then(|host| loopback_name(host.to_str().ok()?));
    is_near && !is_forwarded && host.is_some()
}

/// Whether `/system` leads a visitor to the address for operators: it is known and on this machine, and
/// so is the visitor.
pub fn is_reachable(request: &HttpRequest) -> bool {
    let ops = request.app_data::<web::Data<OpsAddr>>();
    let is_here = ops.and_then(|ops| ops.0).is_some_and(is_on_this_machine);
    is_here && has_come_directly(request.head())
}

fn is_on_this_machine(ops: SocketAddr) -> bool {
    ops.ip().is_loopback() || ops.ip().is_unspecified()
}

/// The name of this machine in a `Host` header, without the port, if it is a loopback name.
fn loopback_name(host: &str) -> Option<&str> {
    let name = foreign_host::name_of(host)?;
    let is_loopback = foreign_host::address_of(name).is_some_and(|address| address.is_loopback());
    (is_loopback || name.eq_ignore_ascii_case("localhost")).then_some(name)
}

async fn to_operators(request: HttpRequest, ops: web::Data<OpsAddr>) -> HttpResponse {
    let host = request.headers().get("host");
    let name = host.and_then(|host| loopback_name(host.to_str().ok()?));
    match (name, ops.0) {
        (Some(name), Some(ops)) if is_on_this_machine(ops) => {
            let location = format!("http://{name}:{}/system", ops.port());
            HttpResponse::Found()
                .insert_header((LOCATION, location))
                .insert_header((CACHE_CONTROL, "no-store"))
                .finish()
        }
        _ => HttpResponse::NotFound().finish(),
    }
}

/// Adds `/healthz`, `/readyz`, `/metrics` and `/system` to the address for operators.
fn configure(cfg: &mut web::ServiceConfig, registry: ActorRegistry) {
    cfg.app_data(web::Data::new(registry))
        .service(page("/healthz").to(detailed_healthz))
        .service(page("/readyz").to(readyz))
        .service(page("/metrics").to(metrics))
        .service(page("/system").to(system))
        .service(page("/system.css").to(stylesheet))
        .service(page("/system.js").to(script))
        // Browsers ask for one, and would complain if it was not found.
        .service(page("/favicon.ico").to(HttpResponse::NoContent));
    #[cfg(debug_assertions)]
    if crate::supervision::panic_injection::is_enabled() {
        cfg.route(
            "/system/panics/{service}/{actor}",
            web::post().to(make_panic),
        );
    }
}

/// Makes an actor panic: for tests of the running program.
#[cfg(debug_assertions)]
async fn make_panic(
    registry: web::Data<ActorRegistry>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (service, actor) = path.into_inner();
    match registry.make_panic(&service, &actor) {
        true => HttpResponse::Accepted().finish(),
        false => HttpResponse::NotFound().finish(),
    }
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    not_ready: Vec<Reason>,
    degraded: Vec<Reason>,
}

#[derive(Serialize)]
struct Reason {
    actor: String,
    reason: String,
}

impl Readiness {
    fn of(registry: &ActorRegistry) -> Self {
        let actors = registry.actors();
        let named = |actor: &ActorStatus, reason: String| Reason {
            actor: format!("{}/{}", actor.service, actor.name),
            reason,
        };
        let starting = registry.starting().into_iter().map(|service| Reason {
            actor: service,
            reason: "has not started all its actors".into(),
        });
        let unready = actors
            .iter()
            .filter_map(|actor| Some(named(actor, actor.not_ready_reason()?)));
        let stuck = stuck(registry).into_iter().map(|stuck| Reason {
            actor: stuck.what,
            reason: stuck.reason,
        });
        let draining = registry.is_draining().then(|| Reason {
            actor: "program".into(),
            reason: "is about to stop".into(),
        });
        let reasons = starting.chain(unready).chain(stuck).chain(draining);
        let not_ready: Vec<_> = reasons.collect();
        let degraded = actors
            .iter()
            .filter_map(|actor| match &actor.health {
                Health::Degraded(reason) => Some(named(actor, reason.clone())),
                _ => None,
            })
            .collect();
        Self {
            // A program whose actors have not been started yet cannot serve either.
            ready: not_ready.is_empty() && !actors.is_empty(),
            not_ready,
            degraded,
        }
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body("alive\n")
}

/// All that is stuck.
fn stuck(registry: &ActorRegistry) -> Vec<Stuck> {
    let sections = registry.sections();
    sections
        .iter()
        .flat_map(|section| section.stuck())
        .collect()
}

/// For operators: a program of which a part is stuck is alive, and no good.
async fn detailed_healthz(registry: web::Data<ActorRegistry>) -> HttpResponse {
    let stuck = stuck(&registry);
    if stuck.is_empty() {
        return healthz().await;
    }
    let lines = stuck
        .iter()
        .map(|s| format!("{} is stuck: {}\n", s.what, s.reason));
    HttpResponse::ServiceUnavailable()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(lines.collect::<String>())
}

async fn readyz(registry: web::Data<ActorRegistry>) -> HttpResponse {
    let readiness = Readiness::of(&registry);
    let mut response = if readiness.ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(readiness)
}

async fn bare_readyz(registry: web::Data<ActorRegistry>) -> HttpResponse {
    let (mut response, text) = match Readiness::of(&registry).ready {
        true => (HttpResponse::Ok(), "ready\n"),
        false => (HttpResponse::ServiceUnavailable(), "not ready\n"),
    };
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(text)
}

async fn metrics(registry: web::Data<ActorRegistry>) -> HttpResponse {
    let metrics = registry.metrics();
    metrics.ready(Readiness::of(&registry).ready);
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics.render())
}

async fn system(registry: web::Data<ActorRegistry>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(system_page::render(
            &registry.actors(),
            &registry.starting(),
            &registry.sections(),
        ))
}

async fn stylesheet() -> HttpResponse {
    file("text/css; charset=utf-8", system_page::STYLESHEET)
}

async fn script() -> HttpResponse {
    file("text/javascript; charset=utf-8", system_page::SCRIPT)
}

fn file(content_type: &str, content: &'static str) -> HttpResponse {
    // Long enough for a page that is looked at, and soon forgotten after an upgrade.
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "max-age=60"))
        .content_type(content_type)
        .body(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_name_is_known_in_every_spelling() {
        for (host, name) in [
            ("localhost:5000", "localhost"),
            ("LOCALHOST", "LOCALHOST"),
            ("127.0.0.1:5000", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:5000", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(loopback_name(host), Some(name));
        }
        for host in [
            "films.example.org",
            "192.168.1.2:5000",
            "",
            "localhost.example.org:5000",
        ] {
            assert_eq!(loopback_name(host), None, "{host}");
        }
    }
}
