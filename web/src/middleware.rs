//! What every answer of the pages goes through on its way out, before `runtime::http` adds the headers
//! that every response carries.

use std::panic::AssertUnwindSafe;

use actix_web::{
    Error, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{ALLOW, CONTENT_TYPE},
    middleware::Next,
};
use futures::FutureExt;

use super::{
    api, csrf,
    page_error::PageError,
    prefix::{PathPrefix, prefixed},
};

/// Refuses whatever was sent to a name that may be another site's.
pub(super) async fn check_host(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let local = runtime::http::bound_to(request.request());
    if let Err(refusal) = csrf::check_host(request.request(), local) {
        // A response and no error: `runtime::http` adds its headers to responses only.
        let refused = api::refusal(request.request(), PageError::Refused(refusal));
        return Ok(request.into_response(refused));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

/// Contains panics, and gives the framework's bare errors a page.
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
    Ok(response)
}
