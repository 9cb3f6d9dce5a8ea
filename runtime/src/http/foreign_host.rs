//! Requests that were sent to another site's name.
//!
//! A site may have its own name lead to this machine, and its pages then read what they get as if it
//! were theirs (DNS rebinding). So a server that is for this machine alone answers to names of this
//! machine only.

use std::net::IpAddr;

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{header::HOST, uri::Authority},
    middleware::Next,
};

/// Whether a request, which a server that listens at `local` was sent, may have been meant for another site:
/// either by its `Host` header or by the address in its request line (`GET http://evil.example/ HTTP/1.1`).
pub fn is_foreign(request: &HttpRequest, local: IpAddr) -> bool {
    // Browsers always send it, and no script can change what they send.
    let host = request.headers().get(HOST);
    let in_line = request.uri().authority();
    let is_strange = host.is_some_and(|host| !host.to_str().is_ok_and(is_of_this_machine))
        || in_line.is_some_and(|named| !is_of_this_machine(named.as_str()));
    local.to_canonical().is_loopback() && is_strange
}

/// Whether a host, perhaps with a port, is an address or a name that no site can own.
fn is_of_this_machine(host: &str) -> bool {
    name_of(host).is_some_and(|name| {
        let lower = name.to_ascii_lowercase();
        lower == "localhost" || lower.ends_with(".localhost") || address_of(name).is_some()
    })
}

/// The name or the address in a `Host` header, without the port; none if it is no host.
pub(crate) fn name_of(host: &str) -> Option<&str> {
    let authority: Authority = host.parse().ok()?;
    // With a user in front it would not begin with the name.
    let is_bare = !host.contains('@');
    is_bare.then(|| host.get(..authority.host().len()))?
}

/// The address that a host's name is, if it is one.
pub(crate) fn address_of(name: &str) -> Option<IpAddr> {
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse().ok()
}

/// Refuses, on a server without pages, what was sent to a name that may be another site's.
///
/// # Errors
///
/// What the application returns instead of a response.
pub async fn refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let local = super::bound_to(request.request());
    if is_foreign(request.request(), local) {
        let words =
            "this address serves this machine alone: ask for it as localhost or 127.0.0.1\n";
        return Ok(request.into_response(HttpResponse::Forbidden().body(words)));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}
