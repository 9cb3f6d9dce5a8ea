//! What every answer of the pages goes through on its way out.

use std::panic::AssertUnwindSafe;

use actix_web::{
    Error, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use futures::FutureExt;

use super::{
    csrf,
    page_error::PageError,
    prefix::{PathPrefix, prefixed},
};

/// Everything comes from this host, nothing is written into the pages themselves, and nobody puts
/// them into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Adds the headers that protect a visitor.
pub(super) fn secure(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
}

/// Refuses whatever was sent to a name that may be another site's.
pub(super) async fn check_host(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let local = request.app_config().local_addr().ip();
    csrf::check_host(request.request(), local).map_err(PageError::Refused)?;
    next.call(request).await
}

/// Contains panics, gives the framework's bare errors a page, and adds the headers.
pub(super) async fn edge(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let prefix = PathPrefix::of(request.request());
    let Ok(answer) = AssertUnwindSafe(next.call(request)).catch_unwind().await else {
        return Err(PageError::Panicked.into());
    };
    let mut response = answer?.map_into_boxed_body();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if is_error && !response.headers().contains_key(CONTENT_TYPE) {
        let allow = response.headers().get(ALLOW).cloned();
        response = response.into_response(PageError::Other(status).error_response());
        response = prefixed(&prefix, response);
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, allow);
        }
    }
    secure(response.headers_mut());
    Ok(response)
}
