//! A path under which a proxy shows the pages: `https://example.org/films/` instead of the root.
//!
//! Pages are made as if they were at the root; links, redirects and cookies get the prefix on their way
//! out. That is safe because texts never hold a quotation mark that is not escaped.

use std::{fmt, str::FromStr};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Uri,
        header::{
            CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
            SET_COOKIE,
        },
    },
    middleware::Next,
    web,
};
use bytes::Bytes;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The attributes that hold addresses of ours.
const ATTRIBUTES: [&str; 6] = [
    "href",
    "src",
    "action",
    "data-live",
    "data-preview",
    "data-base",
];
const LONGEST: usize = 200;

/// A path such as `/films`, or nothing for the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix(String);

impl FromStr for PathPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '/');
        let is_path = path.starts_with('/') && !path.contains("//") && !path.contains("/.");
        if path.is_empty() || (is_path && path.len() <= LONGEST && path.chars().all(plain)) {
            return Ok(Self(path.to_owned()));
        }
        Err("a path is needed, as in `/films`, of letters, digits and `-_.~`".into())
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PathPrefix {
    /// Whether the pages are at the root.
    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The prefix for the answer to a request: what the proxy tells, or the setting.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let told = request.headers().get(FORWARDED);
        let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
        told.or_else(|| request.extensions().get::<Self>().cloned())
            .unwrap_or_default()
    }

    /// The page with the prefix in front of each of its addresses.
    fn in_page(&self, page: &str) -> String {
        let mut prefixed = page.to_owned();
        for attribute in ATTRIBUTES {
            let root = format!(" {attribute}=\"/");
            prefixed = prefixed.replace(&root, &format!(" {attribute}=\"{}/", self.0));
        }
        prefixed
    }

    fn in_headers(&self, headers: &mut HeaderMap) {
        let location = headers.get(LOCATION).and_then(|url| url.to_str().ok());
        if let Some(url) = location.filter(|url| url.starts_with('/'))
            && let Ok(url) = HeaderValue::from_str(&format!("{}{url}", self.0))
        {
            headers.insert(LOCATION, url);
        }
        let cookies: Vec<HeaderValue> = headers.remove(SET_COOKIE).collect();
        for cookie in cookies {
            let text = cookie.to_str().unwrap_or_default();
            let prefixed = text.replace("; Path=/", &format!("; Path={}", self.0));
            headers.append(
                SET_COOKIE,
                HeaderValue::from_str(&prefixed).unwrap_or(cookie),
            );
        }
    }
}

/// Takes the prefix of the setting off a request's path, if the proxy has left it there.
pub(crate) async fn strip(
    prefix: web::Data<PathPrefix>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !prefix.is_root() {
        request.extensions_mut().insert(PathPrefix::clone(&prefix));
        if let Some(uri) = stripped(request.uri(), &prefix) {
            request.match_info_mut().get_mut().update(&uri);
            request.head_mut().uri = uri;
        }
    }
    next.call(request).await
}

fn stripped(uri: &Uri, prefix: &PathPrefix) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(&prefix.0)?;
    let path = match rest {
        "" => "/".to_owned(),
        rest if rest.starts_with('/') => rest.to_owned(),
        rest if rest.starts_with('?') => format!("/{rest}"),
        _ => return None,
    };
    path.parse().ok()
}

/// Puts the prefix into an answer. Innermost of all that handles answers: pages are not compressed yet.
pub(crate) async fn apply(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let prefix = PathPrefix::of(request.request());
    let response = next.call(request).await?.map_into_boxed_body();
    Ok(prefixed(&prefix, response))
}

/// The answer with the prefix in its headers and, if it is a page, in its addresses.
pub(crate) fn prefixed(
    prefix: &PathPrefix,
    mut response: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    if prefix.is_root() {
        return response;
    }
    prefix.in_headers(response.headers_mut());
    let headers = response.headers();
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if !is_page || headers.contains_key(CONTENT_ENCODING) {
        return response;
    }
    response.map_body(|_, body| match body.try_into_bytes() {
        Ok(page) => {
            let page = String::from_utf8_lossy(&page);
            BoxBody::new(Bytes::from(prefix.in_page(&page)))
        }
        Err(body) => body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_plain_path() {
        for (text, prefix) in [
            ("", ""),
            ("/", ""),
            ("/films", "/films"),
            ("/a/b-c/", "/a/b-c"),
        ] {
            assert_eq!(text.parse(), Ok(PathPrefix(prefix.into())), "{text}");
        }
        for text in [
            "films",
            "//evil.example",
            "/a//b",
            "/a\"b",
            "/a b",
            "/../a",
            "/é",
        ] {
            assert!(text.parse::<PathPrefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_loses_the_prefix_and_no_more() {
        let prefix = PathPrefix("/films".into());
        let strip =
            |path: &str| stripped(&path.parse().unwrap(), &prefix).map(|uri| uri.to_string());
        assert_eq!(strip("/films").as_deref(), Some("/"));
        assert_eq!(
            strip("/films/movie/new?a=b").as_deref(),
            Some("/movie/new?a=b")
        );
        assert_eq!(strip("/films?page=2").as_deref(), Some("/?page=2"));
        assert_eq!(strip("/filmstrip"), None);
        assert_eq!(strip("/movie/new"), None);
    }

    #[test]
    fn addresses_in_a_page_get_the_prefix_and_texts_do_not() {
        let page =
            r#"<a class="x" href="/movie/1">href=&quot;/a</a><img src="/b"><a href="https://x/">"#;
        let expected = r#"<a class="x" href="/films/movie/1">href=&quot;/a</a><img src="/films/b"><a href="https://x/">"#;
        assert_eq!(PathPrefix("/films".into()).in_page(page), expected);
    }
}
