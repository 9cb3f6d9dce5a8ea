//! The pages of Marquee. No database: films are asked of the catalog, and recommendations of the
//! recommendations service, by gRPC.
//!
//! A request comes in through [`middleware`], which adds what every answer carries. A handler is given
//! a [`RequestContext`](request_context::RequestContext) (who looks, what the layout shows) and, where
//! a form is posted, a [`Form`](form::Form), which exists only if the form may be trusted. It asks the
//! gateways, fills a typed view and renders the view's template. What goes wrong is a
//! [`PageError`](page_error::PageError) and becomes a page of its own.
//!
//! Programs have the REST API, [`api`], over the same gateways.
//!
//! [`run`] starts it all; [`system`] shows the supervision tree. Start reading there.

pub mod config;
pub mod system;

pub mod actors;

// The API for programs.
mod api;

// The pages themselves.
mod admin;
mod entrance;
mod film;
mod films;
mod following;
mod keywords;
mod live;
mod me;
mod profile;
mod recommended;

// What a handler is given.
mod access;
mod client_rate;
mod credentials;
mod csrf;
mod flash;
mod form;
mod rate_limits;
mod request_context;
mod session;
mod visitor;

// What it answers with.
mod assets;
mod covers;
mod freshness;
mod hyphens;
mod marks;
mod middleware;
mod page_cache;
mod page_error;
mod prefix;
mod slots;
mod templates;
mod url;
mod views;

mod error;

#[doc(hidden)]
pub use access::all_routes;
pub use api::CorsOrigins;
pub use client_rate::ClientRateSettings;
pub use config::{AccountsMode, Config, PagesConfig, SecretKey};
pub use error::{Error, FieldError, FieldErrors, Service};
pub use prefix::PathPrefix;
pub use rate_limits::{
    Principal, RateExceeded, RateLimitSettings, RateLimits, Remaining, RouteClass,
};
pub use system::{AppState, Listeners, SERVICE, run};
pub use visitor::{Credential, SignedIn, Visitor, VisitorSource};

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::Key,
    http::{Method, header::LOCATION},
    middleware::{Compress, from_fn},
    web::{self, ServiceConfig},
};

use access::{ANYONE, EDIT, LOOK, MANAGE, OWN, READ, Row, WRITE};
use page_error::PageError;

/// What the handlers share.
struct Site {
    app: AppState,
    /// Signs cookies.
    key: Key,
}

/// Adds the pages to an application. They answer every path that is not taken before, so that this
/// comes last.
pub fn configure(cfg: &mut ServiceConfig, state: AppState) {
    let site = web::Data::new(Site {
        key: Key::from(state.secret.bytes()),
        app: state,
    });
    cfg.app_data(site).configure(api::configure).service(
        web::scope("")
            .configure(routes)
            .default_service(web::to(without_slash))
            .wrap(from_fn(access::admit))
            .wrap(from_fn(prefix::apply))
            .wrap(Compress::default())
            .wrap(from_fn(middleware::edge)),
    );
}

/// Answers a path that no page has. One with slashes at its end leads to the page without them. (Forms that are posted
/// there are taken as they are: see [`routes`].)
async fn without_slash(request: HttpRequest) -> Result<HttpResponse, PageError> {
    let path = request.path();
    let trimmed = path.trim_end_matches('/');
    // `//evil.example/` and `/\evil.example/` would lead to another site.
    let is_plain = trimmed
        .strip_prefix('/')
        .is_some_and(|rest| !rest.starts_with(['/', '\\']));
    let is_page = request.resource_map().has_resource(trimmed);
    if !is_plain || !is_page || trimmed.len() == path.len() {
        return Err(PageError::NoSuchPage);
    }
    let query = request.uri().query().map(|query| format!("?{query}"));
    let to = format!("{trimmed}{}", query.unwrap_or_default());
    Ok(HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, to))
        .finish())
}

/// Lists the routes of the pages once, each with whom it is for, for the application and for the check of who may.
macro_rules! routes {
    ($($path:literal: $($method:ident($access:expr) $handler:path),+;)+) => {
        /// Whom each route is for.
        fn page_routes() -> Vec<Row> {
            vec![$($(($path, routes!(name $method), $access)),+),+]
        }

        fn routes(cfg: &mut ServiceConfig) {
            $(
                let resource = web::resource($path);
                $(let resource = routes!(add $method resource, $handler);)+
                cfg.service(resource);
                $(routes!(slashes $method cfg, $path, $handler);)+
            )+
        }
    };
    (add get $resource:ident, $handler:path) => {
        $resource.route(web::get().to($handler)).route(web::head().to($handler))
    };
    (add post $resource:ident, $handler:path) => { $resource.route(web::post().to($handler)) };
    // A form that is posted with slashes at the end of the path is taken, too, because programs that post follow no redirect, or
    // follow it with a `Referer` and are then asked for a token.
    (slashes post $cfg:ident, $path:literal, $handler:path) => {
        $cfg.service(
            web::resource(concat!($path, "{slashes:/+}"))
                .route(web::post().to($handler))
                .default_service(web::to(without_slash)),
        );
    };
    (slashes get $cfg:ident, $path:literal, $handler:path) => {};
    (name get) => { Method::GET };
    (name post) => { Method::POST };
}

// Other methods are answered 405.
routes! {
    "/": get(LOOK) films::list;
    "/sample": post(EDIT) films::load_sample;
    "/movie/new": get(EDIT) film::new_form, post(EDIT) film::create;
    "/movie/{id}": get(LOOK) film::show;
    "/movie/{id}/edit": get(EDIT) film::edit_form, post(EDIT) film::update;
    "/movie/{id}/delete": post(EDIT) film::delete;
    "/movie/{id}/restore": post(EDIT) film::restore;
    "/movie/{id}/history": get(EDIT) admin::changes::of_film;
    "/movie/{id}/history/undo": post(EDIT) admin::changes::undo_of_film;
    "/movie/{id}/cover.svg": get(LOOK) film::cover;
    "/preferences": get(READ) following::list;
    "/preferences/add": post(WRITE) following::follow;
    "/preferences/delete/{keyword:.*}": post(WRITE) following::stop;
    "/recommendations": get(READ) recommended::list;
    "/recommendations/events": get(READ) live::events;
    "/sign-in": get(ANYONE) entrance::sign_in::form, post(ANYONE.guessable()) entrance::sign_in::sign_in;
    "/sign-in/{provider}": post(ANYONE.guessable()) entrance::provider::begin;
    "/sign-in/{provider}/back": get(ANYONE.guessable()) entrance::provider::back;
    "/sign-in/{provider}/code": post(ANYONE.guessable()) entrance::provider::code;
    "/sign-out": post(ANYONE) entrance::sign_in::sign_out;
    "/sign-up": get(ANYONE) entrance::sign_up::form, post(ANYONE.guessable()) entrance::sign_up::sign_up;
    "/confirm-email": get(ANYONE) entrance::mailed::confirm_form, post(ANYONE.guessable()) entrance::mailed::confirm;
    "/confirm-email/resend": post(ANYONE.guessable()) entrance::mailed::resend;
    "/forgot-password": get(ANYONE) entrance::mailed::forgot_form, post(ANYONE.guessable()) entrance::mailed::forgot;
    "/reset-password": get(ANYONE) entrance::mailed::reset_form, post(ANYONE.guessable()) entrance::mailed::reset;
    "/me": get(READ) me::show, post(OWN) me::profile::save;
    "/me/picture": post(WRITE) me::picture::set;
    "/me/picture/remove": post(WRITE) me::picture::remove;
    "/me/sign-in": get(READ) me::sign_in::show;
    "/me/sign-in/email": post(OWN.guessable()) me::sign_in::set_email;
    "/me/sign-in/password": post(OWN.guessable()) me::sign_in::set_password;
    "/me/providers/{provider}": post(OWN.guessable()) entrance::provider::link;
    "/me/second-factor": post(OWN.guessable()) me::second_factor::begin;
    "/me/second-factor/confirm": post(OWN.guessable()) me::second_factor::confirm;
    "/me/second-factor/remove": post(OWN.guessable()) me::second_factor::remove;
    "/me/tokens": get(OWN) me::tokens::list, post(OWN) me::tokens::create;
    "/me/tokens/revoke": post(OWN) me::tokens::revoke;
    "/me/sessions": get(OWN) me::sessions::list;
    "/me/sessions/end": post(OWN) me::sessions::end;
    "/me/export": get(OWN.costly()) me::export::download;
    "/me/delete": get(OWN) me::delete::ask, post(OWN.guessable()) me::delete::delete;
    "/admin": get(MANAGE) admin::people::list;
    "/admin/people/{id}": get(MANAGE) admin::person::show;
    "/admin/people/{id}/role": post(MANAGE) admin::person::set_role;
    "/admin/people/{id}/disable": post(MANAGE) admin::person::disable;
    "/admin/people/{id}/enable": post(MANAGE) admin::person::enable;
    "/admin/people/{id}/end-sessions": post(MANAGE) admin::person::end_sessions;
    "/admin/people/{id}/reset": post(MANAGE) admin::person::reset;
    "/admin/invitations": get(MANAGE) admin::invitations::list, post(MANAGE) admin::invitations::create;
    "/admin/invitations/revoke": post(MANAGE) admin::invitations::revoke;
    "/admin/audit": get(MANAGE) admin::audit::list;
    "/admin/changes": get(MANAGE) admin::changes::list;
    "/admin/changes/undo": post(MANAGE) admin::changes::undo;
    "/u/{name}": get(READ) profile::show;
    "/u/{name}/picture.png": get(READ) profile::picture;
    "/u/{name}/picture.svg": get(READ) profile::portrait;
    "/assets/{name}": get(ANYONE) assets::asset;
    "/favicon.ico": get(ANYONE) assets::icon;
}
