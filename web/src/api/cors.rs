//! Which pages of other sites may call the API: none, unless the settings name their origins.
//!
//! Such a page calls without cookies, which are for our own pages, and so has to have credentials of its own.

use std::{collections::BTreeSet, str::FromStr};

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, Uri,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
        },
    },
    middleware::Next,
    web,
};

use crate::Site;

/// The methods that the API has.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The headers that a page may send besides those that any page may.
const HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, x-request-id";
/// The headers of answers that a page may read besides those that any page may.
const EXPOSED: &str = "etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id";
/// For how many seconds a browser remembers it.
const MAX_AGE: &str = "600";

/// The origins of pages that may call the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(BTreeSet<String>);

impl CorsOrigins {
    /// Whether pages of this origin may.
    pub(super) fn contains(&self, origin: &str) -> bool {
        self.0.contains(origin)
    }
}

impl FromStr for CorsOrigins {
    type Err = String;

    /// Reads origins with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim);
        let origins = parts.filter(|part| !part.is_empty()).map(origin);
        origins.collect::<Result<_, _>>().map(Self)
    }
}

/// An origin as browsers send it: the scheme, the host, and the port unless it is the usual one.
fn origin(text: &str) -> Result<String, String> {
    let accepted = || {
        format!(
            "origins are needed, such as https://films.example or http://localhost:8080; `{text}` is none"
        )
    };
    let uri: Uri = text.parse().map_err(|_| accepted())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(accepted());
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(accepted()),
    };
    let is_bare = uri.path_and_query().is_none_or(|path| path == "/")
        && !text.ends_with('/')
        && !authority.as_str().contains(['@', '*']);
    if !is_bare {
        return Err(accepted());
    }
    let host = authority.host().to_ascii_lowercase();
    Ok(match authority.port_u16() {
        Some(port) if port != usual => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// Answers preflight requests, and tells browsers which pages may read an answer.
pub(super) async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let site = request
        .app_data::<web::Data<Site>>()
        .expect("`configure` adds the site to the application");
    let origins = &site.app.cors_origins;
    if origins.0.is_empty() {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let named = origin.filter(|origin| origin.to_str().is_ok_and(|text| origins.contains(text)));
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight && named.is_some() {
        let mut preflight = HttpResponse::NoContent();
        preflight
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, HEADERS))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
        request.into_response(preflight.finish())
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = named {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        let origins: CorsOrigins =
            "https://films.example, http://LOCALHOST:8080,https://a.example:443"
                .parse()
                .unwrap();
        for named in [
            "https://films.example",
            "http://localhost:8080",
            "https://a.example",
        ] {
            assert!(origins.contains(named), "{named}");
        }
        for other in ["http://films.example", "https://x.films.example", "null"] {
            assert!(!origins.contains(other), "{other}");
        }
        assert_eq!("".parse::<CorsOrigins>(), Ok(CorsOrigins::default()));
        for refused in [
            "*",
            "null",
            "films.example",
            "https://*.example",
            "https://films.example/",
            "https://films.example/path",
            "ftp://films.example",
            "https://user@films.example",
        ] {
            assert!(refused.parse::<CorsOrigins>().is_err(), "{refused}");
        }
    }
}
