//! What every call goes through before its handler, and every answer after it.

use std::panic::AssertUnwindSafe;

use actix_web::{
    Error, HttpRequest, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{ACCEPT, ALLOW, CONTENT_TYPE},
    middleware::Next,
    web,
};
use futures::FutureExt;

use super::{cors::CorsOrigins, problem::ApiError};
use crate::{Site, csrf, page_error::PageError};

/// Contains panics, and makes problems of the framework's bare errors.
pub(super) async fn contain(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Ok(answer) = AssertUnwindSafe(next.call(request)).catch_unwind().await else {
        return Err(ApiError::Page(PageError::Panicked).into());
    };
    let response = answer?.map_into_boxed_body();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().contains_key(CONTENT_TYPE) {
        return Ok(response);
    }
    let allow = response.headers().get(ALLOW).cloned();
    let bare = ApiError::Page(PageError::Other(status));
    let mut response = response.into_response(bare.error_response());
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    Ok(response)
}

/// Refuses what comes from another site's page, and what takes no JSON.
pub(super) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Err(error) = checked(request.request()) {
        return Ok(request.into_response(error.error_response()));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn checked(request: &HttpRequest) -> Result<(), ApiError> {
    let site = request
        .app_data::<web::Data<Site>>()
        .expect("`configure` adds the site to the application");
    let origins: &CorsOrigins = &site.app.cors_origins;
    csrf::check_call(request, &site.key, |origin| origins.contains(origin))
        .map_err(|refusal| ApiError::Page(PageError::Refused(refusal)))?;
    let accept = request.headers().get_all(ACCEPT);
    let accepted: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    if accepted.is_empty() || takes(&accepted.join(","), types(request)) {
        return Ok(());
    }
    Err(ApiError::NotAcceptable)
}

/// The media types by which an address answers; none where any may be asked for.
fn types(request: &HttpRequest) -> &'static [&'static str] {
    match request.path() {
        path if path.starts_with("/api/docs") => &[],
        path if path.ends_with("/cover") => &["image/svg+xml"],
        path if path.ends_with("/picture") && request.method().is_safe() => &["image/png"],
        _ => &["application/json", "application/problem+json"],
    }
}

/// Whether a list of media ranges, as `Accept` has it, takes one of these types.
fn takes(accept: &str, types: &[&str]) -> bool {
    types.is_empty()
        || accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let is_refused = parts.any(|part| {
                let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
                quality.is_some_and(|quality| quality.parse() == Ok(0.0))
            });
            let fits = |kind: &&str| {
                let main = kind.split('/').next().unwrap_or_default();
                name == *kind || name == "*/*" || name == "*" || name == format!("{main}/*")
            };
            !is_refused && types.iter().any(fits)
        })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn what_a_client_takes_is_told_from_what_it_does_not() {
        let types = |path| types(&TestRequest::with_uri(path).to_http_request());
        let json = types("/api/v1/movies");
        for accept in [
            "*/*",
            "application/json",
            "text/html, application/*;q=0.1",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
        ] {
            assert!(takes(accept, json), "{accept}");
        }
        for accept in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "application/jsonx",
            "",
        ] {
            assert!(!takes(accept, json), "{accept}");
        }
        assert!(takes("image/*", types("/api/v1/movies/x/cover")));
        assert!(takes("text/css", types("/api/docs/swagger-ui.css")));
    }
}
