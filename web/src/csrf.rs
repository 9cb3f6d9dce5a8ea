//! Proof that a form was sent from one of our own pages, and not by another site on behalf of a
//! visitor.
//!
//! Every form holds a token that equals the one in a signed cookie, which other sites can neither
//! read nor set. A request that says itself that it comes from elsewhere (`Sec-Fetch-Site`, `Origin`)
//! is refused whatever it holds.
//!
//! One kind of request passes without a token: it has no cookies and none of the headers by which a
//! browser tells where a form comes from (`Origin`, `Sec-Fetch-Site`, `Referer`). It is a program, such
//! as a script written before there were tokens. Browsers send `Origin` with every form posted across
//! sites, so that this opens no way around the token; and such a request carries no credentials that
//! could be abused.
//!
//! Where the pages are for this machine alone, every request is refused that was sent to a name which
//! is not this machine's: another site may have let its own name lead here, and such a site is its own
//! `Origin`, which may read what it gets.

use std::net::IpAddr;

use actix_web::{
    HttpRequest,
    cookie::{Cookie, CookieJar, Key, SameSite},
    http::{
        Uri,
        header::{AUTHORIZATION, COOKIE, HeaderName, ORIGIN, REFERER},
        uri::Authority,
    },
};

use runtime::http;

use super::url;

const NAME: &str = "marquee_csrf";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The header in which a script of our own pages may send the token of a form.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Why a form is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was sent from another site.
    CrossSite,
    /// It was sent to a name that may be another site's.
    StrangeHost,
    /// Its token is missing, or is not the one of the cookie.
    NoToken,
}

/// The token of a visitor's forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) value: String,
    /// Whether the visitor's browser has yet to be given its cookie.
    pub(super) is_new: bool,
}

impl Token {
    /// The visitor's token, a new one if they have none.
    pub(super) fn of(request: &HttpRequest, key: &Key) -> Self {
        match unsigned(request, key, NAME) {
            Some(value) => Self {
                value,
                is_new: false,
            },
            None => Self {
                value: format!("{:032x}", rand::random::<u128>()),
                is_new: true,
            },
        }
    }

    /// The cookie that makes the token known to the visitor's browser.
    pub(super) fn cookie(&self, request: &HttpRequest, key: &Key) -> Cookie<'static> {
        signed(request, key, NAME, self.value.clone())
    }
}

/// Decides whether a request may be answered by the host to which it was sent, for a server that
/// listens at `local`.
pub(super) fn check_host(request: &HttpRequest, local: IpAddr) -> Result<(), Refusal> {
    if http::is_foreign(request, local) {
        return Err(Refusal::StrangeHost);
    }
    Ok(())
}

/// Decides whether a form that was sent with `token` may be trusted.
pub(super) fn check(request: &HttpRequest, key: &Key, token: Option<&str>) -> Result<(), Refusal> {
    let header = |name: HeaderName| request.headers().get(name).map(|value| value.as_bytes());
    let site = header(SEC_FETCH_SITE);
    let origin = header(ORIGIN);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none")
        || origin.is_some_and(|origin| !is_own(request, origin))
    {
        return Err(Refusal::CrossSite);
    }
    let is_program = [COOKIE, REFERER]
        .iter()
        .all(|name| header(name.clone()).is_none())
        && site.is_none()
        && origin.is_none();
    if is_program {
        return Ok(());
    }
    match (unsigned(request, key, NAME), token) {
        (Some(expected), Some(token)) if equal(expected.as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(Refusal::NoToken),
    }
}

/// Decides whether a request to the API may be answered. `is_named` tells the origins that the settings let in.
///
/// A program that sends no cookie passes. A request from another site's page is refused, and so is one that changes something
/// and has cookies, unless it is proven to come from a page of ours: the browser attached the cookies by itself. Credentials in
/// `Authorization` are attached by no browser.
pub(super) fn check_call(
    request: &HttpRequest,
    key: &Key,
    is_named: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let header = |name: HeaderName| request.headers().get(name).map(|value| value.as_bytes());
    let site = header(SEC_FETCH_SITE);
    let origin = header(ORIGIN);
    let is_named = origin.is_some_and(|origin| str::from_utf8(origin).is_ok_and(is_named));
    if !is_named && origin.is_some_and(|origin| !is_own(request, origin)) {
        return Err(Refusal::CrossSite);
    }
    // A link from another site may lead to what is only read.
    if request.method().is_safe() {
        return Ok(());
    }
    if !is_named && site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(Refusal::CrossSite);
    }
    if header(COOKIE).is_none() || header(AUTHORIZATION).is_some() {
        return Ok(());
    }
    let is_of_our_page = !is_named && (origin.is_some() || site == Some(b"same-origin"));
    let token = (unsigned(request, key, NAME), header(TOKEN_HEADER));
    match token {
        _ if is_of_our_page => Ok(()),
        (Some(expected), Some(token)) if equal(expected.as_bytes(), token) => Ok(()),
        _ => Err(Refusal::NoToken),
    }
}

/// Whether an origin is the scheme, host and port that the request was sent to. A proxy may tell them in
/// `X-Forwarded-Proto`, `X-Forwarded-Host` and `X-Forwarded-Port`; a form on another site cannot. A proxy that ends TLS and
/// tells nothing looks like plain HTTP from here.
fn is_own(request: &HttpRequest, origin: &[u8]) -> bool {
    let connection = request.connection_info();
    let (Some((scheme, host, port)), Ok(own)) =
        (parts(origin), connection.host().parse::<Authority>())
    else {
        return false;
    };
    // The other way round is let pass: an inner proxy may tell the plain scheme by which the outer one asked it.
    if scheme == "http" && connection.scheme().eq_ignore_ascii_case("https") {
        return false;
    }
    let forwarded = request.headers().get(FORWARDED_PORT);
    let forwarded = forwarded.and_then(|port| port.to_str().ok()?.trim().parse().ok());
    // A host without a port is asked at the port that is usual for the origin's scheme.
    let own_port = own.port_u16().or(forwarded).unwrap_or(port.usual);
    own.host().eq_ignore_ascii_case(&host) && own_port == port.given
}

/// The port of an origin, and the one that is usual for its scheme.
struct Port {
    given: u16,
    usual: u16,
}

/// The scheme, the host and the port of an origin, which says no port if it is the usual one.
fn parts(origin: &[u8]) -> Option<(String, String, Port)> {
    let uri = Uri::try_from(origin).ok()?;
    let scheme = uri.scheme_str()?;
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let given = uri.port_u16().unwrap_or(usual);
    let host = uri.host()?.to_owned();
    Some((scheme.to_owned(), host, Port { given, usual }))
}

/// Compares in a time that does not depend on where the first difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |different, (a, b)| different | (a ^ b))
            == 0
}

/// A cookie whose value clients can neither change nor make up. It is sent over TLS alone where the request
/// came by TLS.
pub(super) fn signed(
    request: &HttpRequest,
    key: &Key,
    name: &'static str,
    value: String,
) -> Cookie<'static> {
    let cookie = Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(request.connection_info().scheme() == "https")
        .finish();
    let mut jar = CookieJar::new();
    jar.signed_mut(key).add(cookie);
    let mut cookie = jar
        .get(name)
        .cloned()
        .expect("the cookie was added a line before");
    // actix-web decodes what browsers send back, and encodes nothing.
    let encoded = url::encode(cookie.value()).to_string();
    cookie.set_value(encoded);
    cookie
}

/// The value of a cookie that [`signed`] made.
pub(super) fn unsigned(request: &HttpRequest, key: &Key, name: &str) -> Option<String> {
    let mut jar = CookieJar::new();
    jar.add_original(request.cookie(name)?);
    Some(jar.signed(key).get(name)?.value().to_owned())
}

/// Asks the browser to forget a cookie.
pub(super) fn removed(name: &'static str) -> Cookie<'static> {
    let mut cookie = Cookie::build(name, "")
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .finish();
    cookie.make_removal();
    cookie
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn key() -> Key {
        Key::from(&[7; 64])
    }

    /// A request with the cookie of `token` and these headers.
    fn browser(token: &str, headers: &[(&str, &str)]) -> HttpRequest {
        let plain = TestRequest::default().to_http_request();
        let cookie = signed(&plain, &key(), NAME, token.to_owned());
        let request = TestRequest::default()
            .insert_header(("host", "films.example:5000"))
            .insert_header(("cookie", cookie.stripped().to_string()));
        let request = headers
            .iter()
            .fold(request, |request, header| request.insert_header(*header));
        request.to_http_request()
    }

    #[test]
    fn a_form_of_our_own_page_passes_with_its_token_alone() {
        let own: &[&[(&str, &str)]] = &[
            &[],
            &[("origin", "http://films.example:5000")],
            &[
                ("origin", "https://FILMS.example:5000"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("referer", "http://films.example:5000/")],
        ];
        for headers in own {
            let request = browser("secret", headers);
            assert_eq!(
                check(&request, &key(), Some("secret")),
                Ok(()),
                "{headers:?}"
            );
            for token in [None, Some(""), Some("other!"), Some("secret2")] {
                assert_eq!(
                    check(&request, &key(), token),
                    Err(Refusal::NoToken),
                    "{headers:?} {token:?}"
                );
            }
        }
    }

    #[test]
    fn a_form_of_another_site_is_refused_whatever_it_holds() {
        let other: &[(&str, &str)] = &[
            ("origin", "http://evil.example"),
            ("origin", "http://films.example:5001"),
            ("origin", "http://films.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ];
        for header in other {
            let request = browser("secret", &[*header]);
            assert_eq!(
                check(&request, &key(), Some("secret")),
                Err(Refusal::CrossSite),
                "{header:?}"
            );
            let request = TestRequest::default()
                .insert_header(*header)
                .to_http_request();
            assert_eq!(
                check(&request, &key(), None),
                Err(Refusal::CrossSite),
                "{header:?}"
            );
        }
    }

    #[test]
    fn where_only_this_machine_is_served_no_other_name_is_taken_for_it() {
        let check = |host, local: &str| {
            let request = TestRequest::default().insert_header(("host", host));
            check_host(&request.to_http_request(), local.parse().unwrap())
        };
        for host in [
            "localhost:5000",
            "LOCALHOST",
            "films.localhost",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert_eq!(check(host, "127.0.0.1"), Ok(()), "{host}");
        }
        for host in [
            "evil.example:5000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "",
        ] {
            for local in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                assert_eq!(check(host, local), Err(Refusal::StrangeHost), "{host}");
            }
            assert_eq!(check(host, "0.0.0.0"), Ok(()), "{host}");
        }
        let nameless = TestRequest::default().to_http_request();
        assert_eq!(check_host(&nameless, IpAddr::from([127, 0, 0, 1])), Ok(()));
    }

    #[test]
    fn a_program_needs_no_token_and_nothing_that_a_browser_sends_makes_a_program() {
        assert_eq!(
            check(&TestRequest::default().to_http_request(), &key(), None),
            Ok(())
        );
        for header in [
            ("cookie", "a=b"),
            ("referer", "http://evil.example/"),
            ("sec-fetch-site", "none"),
            ("origin", "http://localhost:8080"),
        ] {
            let request = TestRequest::default()
                .insert_header(header)
                .to_http_request();
            assert_eq!(
                check(&request, &key(), None),
                Err(Refusal::NoToken),
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_cookie_of_another_key_counts_for_nothing() {
        let request = browser("secret", &[]);
        assert_eq!(Token::of(&request, &key()).value, "secret");
        let other = Key::from(&[8; 64]);
        assert!(Token::of(&request, &other).is_new);
        assert_eq!(
            check(&request, &other, Some("secret")),
            Err(Refusal::NoToken)
        );
    }

    #[test]
    fn origins_are_compared_as_they_are_meant() {
        let check = |origin: &str, headers: &[(&str, &str)]| {
            let mut all = vec![("origin", origin)];
            all.extend_from_slice(headers);
            check(&browser("secret", &all), &key(), Some("secret"))
        };
        let own: &[(&str, &[(&str, &str)])] = &[
            (
                "https://films.example.org",
                &[("x-forwarded-host", "films.example.org:443")],
            ),
            (
                "https://films.example.org:443",
                &[("x-forwarded-host", "films.example.org")],
            ),
            (
                "http://films.example.org",
                &[("x-forwarded-host", "films.example.org:80")],
            ),
            (
                "https://films.example.org:8443",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-port", "8443"),
                ],
            ),
            (
                "https://films.example.org",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-port", "443"),
                ],
            ),
            ("http://[::1]:5000", &[("x-forwarded-host", "[::1]:5000")]),
            (
                "https://films.example.org",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-proto", "HTTPS, http"),
                ],
            ),
            (
                "https://films.example.org",
                &[("forwarded", "host=films.example.org")],
            ),
            // Of two proxies the inner one was asked by the outer one.
            (
                "https://films.example.org",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-proto", "http"),
                ],
            ),
            (
                "https://films.example.org",
                &[(
                    "forwarded",
                    "for=192.0.2.1;host=films.example.org;Proto=https",
                )],
            ),
        ];
        for (origin, headers) in own {
            assert_eq!(check(origin, headers), Ok(()), "{origin} {headers:?}");
        }
        let other: &[(&str, &[(&str, &str)])] = &[
            (
                "https://films.example.org",
                &[("x-forwarded-host", "films.example.org:80")],
            ),
            (
                "https://films.example.org:8443",
                &[("x-forwarded-host", "films.example.org")],
            ),
            (
                "https://films.example.org",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-port", "8443"),
                ],
            ),
            (
                "https://films.example.org.evil.example",
                &[("x-forwarded-host", "films.example.org")],
            ),
            (
                "http://films.example.org",
                &[
                    ("x-forwarded-host", "films.example.org"),
                    ("x-forwarded-proto", "https"),
                ],
            ),
            (
                "http://films.example.org",
                &[("forwarded", "host=films.example.org;proto=https")],
            ),
            (
                "ftp://films.example.org",
                &[("x-forwarded-host", "films.example.org")],
            ),
        ];
        for (origin, headers) in other {
            assert_eq!(
                check(origin, headers),
                Err(Refusal::CrossSite),
                "{origin} {headers:?}"
            );
        }
    }

    #[test]
    fn behind_a_proxy_the_host_is_the_one_that_the_browser_asked() {
        let request = browser(
            "secret",
            &[
                ("x-forwarded-host", "films.org"),
                ("origin", "https://films.org"),
            ],
        );
        assert_eq!(check(&request, &key(), Some("secret")), Ok(()));
    }
}
