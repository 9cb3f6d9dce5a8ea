//! The cookie by which a browser is known to have signed in. What it has is a secret of the accounts service; it is not signed, because it
//! cannot be made up.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
    dev::ServiceResponse,
    http::header::ACCEPT,
};

use crate::prefix::PathPrefix;

/// The name of the cookie over plain HTTP. Over TLS it begins with `__Host-`, which no other host of the domain can set.
const NAME: &str = "marquee_session";
const SECURE_NAME: &str = "__Host-marquee_session";

/// How long a browser keeps the session that was to be remembered; the accounts service ends it earlier if it is not used.
const REMEMBERED: Duration = Duration::days(90);

fn is_secure(request: &HttpRequest) -> bool {
    request.connection_info().scheme() == "https"
}

fn name(request: &HttpRequest) -> &'static str {
    // Under a prefix the cookie is for that path alone.
    match is_secure(request) && PathPrefix::of(request).is_root() {
        true => SECURE_NAME,
        false => NAME,
    }
}

/// The secret of the session that a request has.
pub(crate) fn of(request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(name(request))?;
    Some(cookie.value().to_owned()).filter(|secret| !secret.is_empty())
}

/// The cookie of a session that has begun. The browser forgets it when it is closed unless it `is_remembered`.
pub(crate) fn begun(request: &HttpRequest, secret: String, is_remembered: bool) -> Cookie<'static> {
    let mut cookie = Cookie::build(name(request), secret)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure(request));
    if is_remembered {
        cookie = cookie.max_age(REMEMBERED);
    }
    cookie.finish()
}

/// Asks the browser to forget a session that is not valid any more, unless the answer begins another one.
pub(crate) fn forget<B>(response: &mut ServiceResponse<B>) {
    // A stream that is begun again while somebody signs in must not take the new session away.
    let accepts = response.request().headers().get(ACCEPT);
    let is_stream = accepts.is_some_and(|accept| accept == "text/event-stream");
    let cookie = ended(response.request());
    let is_begun = response
        .response()
        .cookies()
        .any(|given| given.name() == cookie.name());
    if !is_begun && !is_stream {
        // The name and the value are ours, and plain.
        let _ = response.response_mut().add_cookie(&cookie);
    }
}

/// Asks the browser to forget the session.
pub(crate) fn ended(request: &HttpRequest) -> Cookie<'static> {
    let mut cookie = begun(request, String::new(), false);
    cookie.make_removal();
    cookie
}
