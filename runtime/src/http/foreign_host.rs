//! Requests that were sent to another site's name.
//!
//! A site may have its own name lead to this machine, and its pages then read what they get as if it
//! were theirs (DNS rebinding). So a server that is for this machine alone answers to names of this
//! machine only.

use std::net::IpAddr;

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        header::{HOST, HeaderMap},
        uri::Authority,
    },
    middleware::Next,
};

/// Whether a request with these headers, which a server that listens at `local` was sent, may have been
/// meant for another site.
pub fn is_foreign(headers: &HeaderMap, local: IpAddr) -> bool {
    // Browsers always send it, and no script can change what they send.
    let host = headers.get(HOST);
    let is_strange = host.is_some_and(|host| !is_of_this_machine(host.as_bytes()));
    local.to_canonical().is_loopback() && is_strange
}

/// Whether a host, perhaps with a port, is an address or a name that no site can own.
fn is_of_this_machine(host: &[u8]) -> bool {
    if host.contains(&b'@') {
        return false;
    }
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let name = authority.host().to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

/// Refuses, on a server without pages, what was sent to a name that may be another site's.
pub(crate) async fn refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let local = request.app_config().local_addr().ip();
    if is_foreign(request.headers(), local) {
        let words =
            "this address serves this machine alone: ask for it as localhost or 127.0.0.1\n";
        return Ok(request.into_response(HttpResponse::Forbidden().body(words)));
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}
