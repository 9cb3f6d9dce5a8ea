//! Texts of one alphabet written in another one, both ways without loss: `%` becomes `_25`, and `_` stays as it is
//! wherever it cannot be mistaken for the beginning of such an escape.
//!
//! The mapping is one to one in both directions, so that a topic such as `user_added` maps to itself and comes back as
//! itself, although no relay has ever escaped it.

use std::{fmt::Write, str};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

/// The escape of `_` itself.
const UNDERSCORE: &str = "_5f";
/// Begins the token of a key that is no text, or none.
const KEY_MARK: &str = "_~";
/// The token of a record without a key.
const NO_KEY: &str = "_~~";

/// Whether a character of a subject's token has to be escaped in the name of a topic.
pub(super) fn is_special_in_topic(c: char) -> bool {
    !c.is_ascii_alphanumeric()
        && !matches!(c, '-' | '_' | '.')
        && !c.is_control()
        && !c.is_ascii_whitespace()
}

/// Whether a character of a key has to be escaped in a token of a subject. `~` is left to [`KEY_MARK`].
fn is_special_in_token(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, '.' | '*' | '>' | '~')
}

/// Writes every special character of `text` as the escape of each of its bytes.
pub(super) fn escape(text: &str, is_special: fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (index, c) in text.char_indices() {
        // What is looked at behind `_` is the same before and after it is escaped: digits, and bytes that begin no
        // character.
        let behind = text.get(index + c.len_utf8()..).unwrap_or_default();
        if is_special(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "_{byte:02x}");
            }
        } else if c == '_' && escaped_char(behind, is_special).is_some() {
            escaped.push_str(UNDERSCORE);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// The opposite of [`escape`], for every text.
pub(super) fn unescape(text: &str, is_special: fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (_, behind) = rest.split_at(c.len_utf8());
        let escaped = match c {
            '_' => escaped_char(behind, is_special),
            _ => None,
        };
        let (c, behind) = escaped.unwrap_or((c, behind));
        plain.push(c);
        rest = behind;
    }
    plain
}

/// The character whose escape begins with `_` followed by `text`, and what follows the escape. `_5f` is one only where
/// a bare `_` would not do.
fn escaped_char(text: &str, is_special: fn(char) -> bool) -> Option<(char, &str)> {
    let (first, mut rest) = escaped_byte(text)?;
    if first == b'_' {
        return escaped_char(rest, is_special).map(|_| ('_', rest));
    }
    let length = match first {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    let mut bytes = vec![first];
    for _ in 1..length {
        let (byte, behind) = escaped_byte(rest.strip_prefix('_')?)?;
        bytes.push(byte);
        rest = behind;
    }
    let c = str::from_utf8(&bytes).ok()?.chars().next()?;
    is_special(c).then_some((c, rest))
}

/// The byte that two lower-case hexadecimal digits stand for.
fn escaped_byte(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.split_at_checked(2)?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !digits.bytes().all(is_digit) {
        return None;
    }
    Some((u8::from_str_radix(digits, 16).ok()?, rest))
}

/// A key as one token of a subject: text as it is but for what a token cannot hold, and anything else marked.
pub(super) fn key_to_token(key: Option<&[u8]>) -> String {
    let Some(key) = key else {
        return NO_KEY.to_owned();
    };
    match str::from_utf8(key) {
        Ok(text) if !text.is_empty() => escape(text, is_special_in_token),
        _ => format!("{KEY_MARK}{}", URL_SAFE_NO_PAD.encode(key)),
    }
}

/// The key that a token stands for.
pub(super) fn token_to_key(token: &str) -> Option<Bytes> {
    if token == NO_KEY {
        return None;
    }
    if let Some(coded) = token.strip_prefix(KEY_MARK)
        && let Ok(key) = URL_SAFE_NO_PAD.decode(coded)
    {
        return Some(key.into());
    }
    Some(unescape(token, is_special_in_token).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_needs_no_escape_stays_as_it_is() {
        for (text, escaped) in [
            (
                "film_recommendation_status_updates",
                "film_recommendation_status_updates",
            ),
            ("user_added_data_feed", "user_added_data_feed"),
            ("a b", "a b"),
            ("50%", "50_25"),
            ("top_25x", "top_5f25x"),
            ("_5f25", "_5f5f25"),
            ("_5f", "_5f"),
            ("é", "_c3_a9"),
            ("_c3_a9", "_5fc3_a9"),
            ("a$b/c", "a_24b_2fc"),
        ] {
            assert_eq!(escape(text, is_special_in_topic), escaped);
            assert_eq!(unescape(escaped, is_special_in_topic), text);
        }
    }

    #[test]
    fn a_key_is_one_token() {
        for (key, token) in [
            (None, "_~~"),
            (Some(&b""[..]), "_~"),
            (Some(b"6f9619ff-8b86"), "6f9619ff-8b86"),
            (Some(b"user_1"), "user_1"),
            (Some(b"a.b c*"), "a_2eb_20c_2a"),
            (Some(b"_2e"), "_5f2e"),
            (Some(b"_~x"), "__7ex"),
            (Some(b"__7ex"), "__5f7ex"),
            (Some(b"\xff\x00"), "_~_wA"),
        ] {
            assert_eq!(key_to_token(key), token);
            assert_eq!(token_to_key(token).as_deref(), key);
        }
    }

    proptest! {
        #[test]
        fn every_token_comes_back_from_a_topic(text in "[a-f0-9_%é/€ -]{0,12}") {
            let escaped = escape(&text, is_special_in_topic);
            prop_assert_eq!(unescape(&escaped, is_special_in_topic), text);
        }

        #[test]
        fn every_part_of_a_topic_comes_back_from_a_token(text in "[a-f0-9_.-]{0,12}") {
            let plain = unescape(&text, is_special_in_topic);
            prop_assert_eq!(escape(&plain, is_special_in_topic), text);
        }

        #[test]
        fn every_key_comes_back_from_a_token(key: Option<Vec<u8>>, text in "[a-f0-9_~.*> é-]{0,12}") {
            for key in [key.map(Bytes::from), Some(text.into())] {
                let token = key_to_token(key.as_deref());
                prop_assert!(!token.is_empty() && !token.contains(['.', '*', '>', ' ']));
                prop_assert_eq!(token_to_key(&token), key);
            }
        }
    }
}
