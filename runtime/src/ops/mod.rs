//! What an operator asks a running program over HTTP: is it alive, can it serve, how is it inside.

mod metrics;
mod server;
mod system_page;

pub use server::{serve, serve_health, while_starting};

use actix_web::{
    HttpResponse, guard,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    web,
};
use serde::Serialize;

use crate::supervision::{ActorRegistry, ActorStatus, Health};

/// Adds `/healthz`, `/readyz`, `/metrics` and `/system` to a program's HTTP address.
pub fn configure(cfg: &mut web::ServiceConfig, registry: ActorRegistry) {
    cfg.app_data(web::Data::new(registry));
    // Monitors ask with HEAD, too.
    let page = |path| web::resource(path).guard(guard::Any(guard::Get()).or(guard::Head()));
    cfg.service(page("/healthz").to(healthz))
        .service(page("/readyz").to(readyz))
        .service(page("/metrics").to(metrics))
        .service(page("/system").to(system))
        .service(page("/system.css").to(stylesheet))
        .service(page("/system.js").to(script));
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
        let not_ready: Vec<_> = starting.chain(unready).collect();
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

async fn metrics(registry: web::Data<ActorRegistry>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics::render(&registry.actors()))
}

async fn system(registry: web::Data<ActorRegistry>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
        ))
        .content_type("text/html; charset=utf-8")
        .body(system_page::render(&registry.actors(), &registry.starting()))
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
