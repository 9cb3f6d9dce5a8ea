//! Where a page comes from that opens a websocket, and whether that is allowed.
//!
//! Only browsers say it, and only they can be believed: any other program can say what it likes, or nothing.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::Uri;

use super::WebSocketSettings;

/// An address that pages come from, such as `https://films.example:8443`.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    is_secure: bool,
    host: String,
    port: u16,
}

/// An origin is none.
#[derive(Debug, Error, PartialEq)]
#[error("`{0}` is no origin: a whole address is needed that begins with http:// or https://")]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let parse = || {
            let uri: Uri = text.parse().ok()?;
            let is_secure = match uri.scheme_str()? {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let host = uri.host().filter(|host| !host.is_empty())?;
            Some(Origin {
                is_secure,
                host: host.to_ascii_lowercase(),
                port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            })
        };
        parse().ok_or_else(|| OriginError(text.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        match (self.is_secure, self.port) {
            (true, 443) | (false, 80) => Ok(()),
            _ => write!(f, ":{}", self.port),
        }
    }
}

/// Whether a websocket may be opened from where its request comes from; if not, why.
pub(super) fn check(
    settings: &WebSocketSettings,
    request: &Request,
    is_secure: bool,
) -> Result<(), &'static str> {
    let header = |name| request.headers().get(name);
    let origin = header("origin").or_else(|| header("sec-websocket-origin"));
    let is_checked = settings.same_origin || !settings.allowed_origins.is_empty();
    let Some(origin) = origin.filter(|origin| is_checked && !origin.is_empty()) else {
        return Ok(());
    };
    let origin: Option<Origin> = origin.to_str().ok().and_then(|text| text.parse().ok());
    let origin = origin.ok_or("origin not allowed: it is none")?;
    if settings.same_origin {
        let host = header("host").and_then(|host| host.to_str().ok());
        let scheme = if is_secure { "https" } else { "http" };
        let own = host.and_then(|host| format!("{scheme}://{host}").parse().ok());
        if own.as_ref() != Some(&origin) {
            return Err("origin not allowed: not same origin");
        }
    }
    if !settings.allowed_origins.is_empty() && !settings.allowed_origins.contains(&origin) {
        return Err("origin not allowed: not in the allowed list");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(same_origin: bool, allowed: &[&str], host: &str, origin: &str) -> bool {
        let settings = WebSocketSettings {
            same_origin,
            allowed_origins: allowed.iter().map(|text| text.parse().unwrap()).collect(),
            ..WebSocketSettings::new(crate::broker::Access::Open, None)
        };
        let request = Request::builder().header("Host", host);
        let request = request.header("Origin", origin).body(()).unwrap();
        check(&settings, &request, false).is_ok()
    }

    #[test]
    fn an_origin_is_the_same_with_or_without_the_usual_port_and_in_any_case() {
        for (host, origin, is_same) in [
            ("a.example", "http://a.example", true),
            ("a.example", "http://A.example:80", true),
            ("a.example:80", "http://a.example", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("a.example", "https://a.example", false),
            ("a.example", "http://a.example:8080", false),
            ("a.example", "http://b.example", false),
            ("a.example", "null", false),
            ("a.example", "", true),
        ] {
            assert_eq!(allows(true, &[], host, origin), is_same, "{host} {origin}");
        }
    }

    #[test]
    fn a_list_of_origins_allows_no_other() {
        let list = ["http://a.example", "https://b.example:8443"];
        for (origin, is_allowed) in [
            ("http://a.example", true),
            ("https://b.example:8443", true),
            ("https://a.example", false),
            ("https://b.example", false),
            ("chrome-extension://a.example", false),
        ] {
            assert_eq!(allows(false, &list, "x", origin), is_allowed, "{origin}");
        }
        assert!(allows(false, &[], "x", "http://anywhere"));
        assert!(!allows(true, &list, "x", "http://a.example"), "both count");
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "a.example",
            "ftp://a.example",
            "http://",
            "http//a",
            "*",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
        for text in [
            "http://a.example",
            "https://a.example:8443",
            "http://[::1]:8080",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }
}
