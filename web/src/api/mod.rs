//! The REST API, `/api/v1`: JSON for programs, over the same gateways as the pages.
//!
//! [`ROUTES`] lists it; each handler stands in the file of its resource, with what the document ([`document`]) says of it. A handler is given
//! an [`ApiContext`](context::ApiContext) and perhaps a body ([`Json`](body::Json)); what goes wrong is an
//! [`ApiError`](problem::ApiError) and becomes a problem of RFC 9457, also where actix-web itself refuses something.

// The resources.
mod genres;
mod health;
mod movies;
mod preferences;
mod recommendations;

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
    http::{Method, header::ALLOW},
    middleware::{Compress, from_fn},
    web::{self, ServiceConfig},
};

use crate::{
    page_error::PageError,
    prefix::{self, PathPrefix},
};
use problem::ApiError;

/// Lists the routes once, for the application and for the test that compares them with the document.
macro_rules! routes {
    ($($path:literal: $($method:ident $handler:path),+;)+) => {
        /// Each address with the methods that it takes, besides HEAD where there is GET, and OPTIONS.
        #[cfg(test)]
        const ROUTES: &[(&str, &[&str])] = &[$((concat!("/api", $path), &[$(stringify!($method)),+])),+];

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
}

routes! {
    "/v1/health": get health::health;
    "/v1/movies": get movies::list, post movies::create;
    "/v1/movies/{id}": get movies::get, put movies::replace, patch movies::patch, delete movies::delete;
    "/v1/movies/{id}/cover": get movies::cover;
    "/v1/genres": get genres::list;
    "/v1/preferences": get preferences::list, post preferences::follow;
    "/v1/preferences/{keyword:.+}": delete preferences::stop;
    "/v1/recommendations": get recommendations::list, post recommendations::find;
    "/openapi.json": get document::openapi;
    "/docs": get document::page;
    "/docs/{file}": get document::file;
}

/// Adds the API to an application, before the pages, which answer every path that is left.
pub(super) fn configure(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope("/api")
            .configure(routes)
            .default_service(web::to(|| async { no_such_address() }))
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

/// Whether a request is for the API. The prefix of the settings may still be in front of its path.
fn is_asked(request: &HttpRequest) -> bool {
    let path = request.path();
    let prefix = request.app_data::<web::Data<PathPrefix>>();
    let bare = prefix.and_then(|prefix| path.strip_prefix(&prefix.to_string()));
    bare.unwrap_or(path).starts_with("/api/")
}
