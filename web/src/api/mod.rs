//! The REST API, `/api/v1`: JSON for programs, over the same gateways as the pages.
//!
//! [`ROUTES`] lists it; each handler stands in the file of its resource, with what the document ([`document`]) says of it. A handler is given
//! an [`ApiContext`](context::ApiContext) and perhaps a body ([`Json`](body::Json)); what goes wrong is an
//! [`ApiError`](problem::ApiError) and becomes a problem of RFC 9457, also where actix-web itself refuses something.

// The resources.
mod auth;
mod genres;
mod health;
mod imports;
mod movies;
mod personal_tokens;
mod preferences;
mod profiles;
mod recommendations;
mod sessions;

// What a handler is given, and what it answers with.
mod body;
mod context;
mod page;
mod problem;
mod version;

// What all of it goes through.
mod cors;
mod document;
mod guard;

pub use cors::CorsOrigins;

use actix_web::{
    HttpRequest, HttpResponse, Resource, ResponseError,
    http::{
        Method,
        header::{ALLOW, HeaderValue, WWW_AUTHENTICATE},
    },
    middleware::{Compress, from_fn},
    web::{self, ServiceConfig},
};

use crate::{
    access::{self, ANYONE, EDIT, LOOK, OWN, READ, Row, WRITE},
    page_error::PageError,
    prefix::{self, PathPrefix},
};
use problem::ApiError;

/// Lists the routes once, for the application and for the test that compares them with the document.
macro_rules! routes {
    ($($path:literal: $($method:ident($access:expr) $handler:path),+;)+) => {
        /// Each address with the methods that it takes, besides HEAD where there is GET, and OPTIONS.
        #[cfg(test)]
        const ROUTES: &[(&str, &[&str])] = &[$((concat!("/api", $path), &[$(stringify!($method)),+])),+];

        /// Whom each route is for.
        pub(crate) fn routes_listed() -> Vec<Row> {
            vec![$($((concat!("/api", $path), routes!(name $method), $access)),+),+]
        }

        fn routes(cfg: &mut ServiceConfig) {
            $(
                let resource = web::resource($path)$(.route(web::$method().to($handler)))+;
                $(let resource = routes!(head $method resource, $handler);)+
                cfg.service(with_others(resource, &[$(stringify!($method)),+]));
            )+
        }
    };
    (head get $resource:ident, $handler:path) => { $resource.route(web::head().to($handler)) };
    (head $method:ident $resource:ident, $handler:path) => { $resource };
    (name get) => { Method::GET };
    (name post) => { Method::POST };
    (name put) => { Method::PUT };
    (name patch) => { Method::PATCH };
    (name delete) => { Method::DELETE };
}

routes! {
    "/v1/health": get(ANYONE) health::health;
    "/v1/auth/register": post(ANYONE.guessable()) auth::register;
    "/v1/auth/login": post(ANYONE.guessable()) auth::login;
    "/v1/auth/refresh": post(ANYONE.guessable()) auth::refresh;
    "/v1/auth/logout": post(OWN) auth::logout;
    "/v1/auth/confirm-email": post(ANYONE.guessable()) auth::confirm_email;
    "/v1/auth/resend-confirmation": post(ANYONE.guessable()) auth::resend_confirmation;
    "/v1/auth/request-password-reset": post(ANYONE.guessable()) auth::request_password_reset;
    "/v1/auth/reset-password": post(ANYONE.guessable()) auth::reset_password;
    "/v1/profiles": get(READ) profiles::list;
    "/v1/profiles/me": get(READ) profiles::own, patch(OWN) profiles::patch;
    "/v1/profiles/me/picture": get(READ) profiles::own_picture, put(WRITE) profiles::replace_picture, delete(WRITE) profiles::delete_picture;
    "/v1/profiles/me/tokens": get(OWN) personal_tokens::list, post(OWN) personal_tokens::create;
    "/v1/profiles/me/tokens/{id}": delete(OWN) personal_tokens::delete;
    "/v1/profiles/me/sessions": get(OWN) sessions::list, delete(OWN) sessions::delete_all;
    "/v1/profiles/me/sessions/{id}": delete(OWN) sessions::delete;
    "/v1/profiles/{user_id}": get(READ) profiles::get;
    "/v1/profiles/{user_id}/picture": get(READ) profiles::picture;
    "/v1/movies": get(LOOK) movies::list, post(EDIT) movies::create;
    "/v1/movies/import": post(EDIT.costly()) imports::import;
    "/v1/movies/{id}": get(LOOK) movies::get, put(EDIT) movies::replace, patch(EDIT) movies::patch, delete(EDIT) movies::delete;
    "/v1/movies/{id}/cover": get(LOOK) movies::cover;
    "/v1/genres": get(LOOK) genres::list;
    "/v1/preferences": get(READ) preferences::list, post(WRITE) preferences::follow;
    "/v1/preferences/{keyword:.+}": delete(WRITE) preferences::stop;
    "/v1/recommendations": get(READ) recommendations::list, post(READ.costly()) recommendations::find;
    "/openapi.json": get(ANYONE) document::openapi;
    "/docs": get(ANYONE) document::page;
    "/docs/{file}": get(ANYONE) document::file;
}

/// Adds the API to an application, before the pages, which answer every path that is left.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope("/api")
            .configure(routes)
            .default_service(web::to(|| async { no_such_address() }))
            .wrap(from_fn(access::admit))
            .wrap(from_fn(prefix::apply))
            .wrap(Compress::default())
            .wrap(from_fn(guard::check))
            .wrap(from_fn(cors::answer))
            .wrap(from_fn(guard::contain)),
    );
}

fn no_such_address() -> HttpResponse {
    ApiError::NoSuchAddress.error_response()
}

/// The resource with answers to OPTIONS and to methods that it does not take.
fn with_others(resource: Resource, methods: &[&str]) -> Resource {
    let mut allowed = Vec::new();
    for method in methods {
        allowed.push(method.to_ascii_uppercase());
        if *method == "get" {
            allowed.push("HEAD".to_owned());
        }
    }
    allowed.push("OPTIONS".to_owned());
    let allow = allowed.join(", ");
    let refused = allow.clone();
    let options = move || {
        let allow = allow.clone();
        async move {
            HttpResponse::NoContent()
                .insert_header((ALLOW, allow))
                .finish()
        }
    };
    resource
        .route(web::method(Method::OPTIONS).to(options))
        .default_service(web::to(move || {
            let allow = refused.clone();
            async move {
                let mut response = ApiError::NoSuchMethod.error_response();
                if let Ok(allow) = allow.parse() {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
        }))
}

/// The answer to a request that is refused before it comes to a handler: a problem if it is for the API, and a page otherwise.
pub(super) fn refusal(request: &HttpRequest, error: PageError) -> HttpResponse {
    match is_asked(request) {
        true => ApiError::Page(error).error_response(),
        false => error.error_response(),
    }
}

/// The answer to a request whose token is not valid.
pub(crate) fn wrong_token() -> HttpResponse {
    let mut response = ApiError::WrongToken.error_response();
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Whether a request is for the API. The prefix of the settings may still be in front of its path.
pub(crate) fn is_asked(request: &HttpRequest) -> bool {
    let path = request.path();
    let prefix = request.app_data::<web::Data<PathPrefix>>();
    let bare = prefix.and_then(|prefix| path.strip_prefix(&prefix.to_string()));
    bare.unwrap_or(path).starts_with("/api/")
}
