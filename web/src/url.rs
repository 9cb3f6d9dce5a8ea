//! Addresses of pages.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::covers;

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Makes any text safe as one segment of a path or as a value in a query.
pub(super) fn encode(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// Undoes percent-encoding, once; nothing if that yields no text.
pub(super) fn decode(encoded: &str) -> Option<String> {
    percent_decode_str(encoded)
        .decode_utf8()
        .ok()
        .map(Into::into)
}

/// The page of a film.
pub(super) fn film(id: impl Display) -> String {
    format!("/movie/{}", encode(&id.to_string()))
}

/// The page of a person.
pub(super) fn person(username: &str) -> String {
    format!("/u/{}", encode(username))
}

/// The cover of a film, an address for what these three texts look like and no other.
pub(super) fn cover(id: impl Display, title: &str, year: &str, genre: &str) -> String {
    format!(
        "{}/cover.svg?v={}",
        film(id),
        covers::version(title, year, genre)
    )
}

/// A path with a query of those parameters that have a value.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{name}={}", encode(value)));
    }
    url
}

/// What one posts to in order to follow `keyword` no more.
pub(super) fn stop(keyword: &str) -> String {
    if fits_in_path(keyword) {
        format!("/preferences/delete/{}", encode(keyword))
    } else {
        "/preferences/delete/".to_owned()
    }
}

/// Whether browsers leave the keyword alone at the end of a path: they resolve `.` and `..` there,
/// encoded or not.
pub(super) fn fits_in_path(keyword: &str) -> bool {
    !matches!(keyword, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_the_way_into_an_address_and_back() {
        for text in [
            "heist",
            "a/b",
            "//",
            "%2F",
            "100% ?#&=+",
            "a b",
            "..",
            "é 千",
            "\u{0}\n\t",
        ] {
            let encoded = encode(text).to_string();
            assert!(
                !encoded.contains(['/', '?', '#', '&', '+', ' ']),
                "{encoded}"
            );
            assert_eq!(decode(&encoded).unwrap(), text);
        }
        assert_eq!(decode("%ff"), None);
    }

    #[test]
    fn parameters_without_value_are_left_out() {
        assert_eq!(with_query("/", &[("genre", ""), ("page", "")]), "/");
        assert_eq!(
            with_query("/", &[("genre", "a&b"), ("page", "2")]),
            "/?genre=a%26b&page=2"
        );
    }

    #[test]
    fn keywords_that_a_browser_would_resolve_stay_out_of_the_path() {
        assert_eq!(stop("a/../b"), "/preferences/delete/a%2F..%2Fb");
        assert_eq!(stop(".."), "/preferences/delete/");
    }
}
