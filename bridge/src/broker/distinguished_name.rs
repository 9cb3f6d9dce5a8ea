//! Distinguished names such as `CN=name,OU=a+OU=b,O=organization`: of the subjects of certificates, and as names of users.
//!
//! They are read as RFC 4514 has it, and compared as nats-server does: values exactly, in whatever order the parts come.

use std::str::CharIndices;

use x509_parser::prelude::X509Name;

/// The attributes that have a name; others go by their numbers.
const KINDS: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
];
/// What may stand behind a backslash as it is.
const SPECIAL: &str = " \"#+,;<=>\\";

/// A distinguished name with at least one part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DistinguishedName {
    /// The last part of a certificate comes first. A part has several attributes at times, which are sorted.
    parts: Vec<Vec<(String, String)>>,
}

impl DistinguishedName {
    /// Reads a name; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        let mut rest = text;
        loop {
            let (name, behind) = rest.split_once('=')?;
            let (value, ended_by, behind) = read_value(behind)?;
            part.push((kind(name.trim())?, value));
            if ended_by != Some('+') {
                part.sort();
                parts.push(std::mem::take(&mut part));
            }
            if ended_by.is_none() {
                return Some(DistinguishedName { parts });
            }
            rest = behind;
        }
    }

    /// The name in a certificate; `None` when it is empty or not a text.
    pub(super) fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        for attributes in name.iter_rdn() {
            let mut part = Vec::new();
            for attribute in attributes.iter() {
                let value = attribute.as_str().ok()?.to_owned();
                part.push((kind(&attribute.attr_type().to_id_string())?, value));
            }
            part.sort();
            parts.push(part);
        }
        parts.reverse();
        Some(DistinguishedName { parts }).filter(|name| !name.parts.is_empty())
    }

    /// Whether the other has the same parts, in whatever order.
    pub(super) fn has_parts_of(&self, other: &Self) -> bool {
        let sorted = |name: &Self| {
            let mut parts = name.parts.clone();
            parts.sort();
            parts
        };
        sorted(self) == sorted(other)
    }
}

/// The name of an attribute, which is given by its name or its number.
fn kind(name: &str) -> Option<String> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    if name.is_empty() || !name.chars().all(is_valid) {
        return None;
    }
    let named = KINDS.iter().find(|(number, _)| *number == name);
    let name = named.map_or(name, |(_, name)| name);
    Some(name.to_ascii_uppercase())
}

/// The value at the beginning of a text, what ends it, and what is behind that. Spaces around it do not count.
fn read_value(text: &str) -> Option<(String, Option<char>, &str)> {
    let text = text.trim_start_matches(' ');
    // What begins with it is no text, but encoded.
    if text.starts_with('#') {
        return None;
    }
    let (mut value, mut counted) = (Vec::new(), 0);
    let mut characters = text.char_indices();
    let mut end = (None, "");
    while let Some((at, character)) = characters.next() {
        match character {
            ',' | '+' => {
                end = (Some(character), text.get(at + 1..)?);
                break;
            }
            '\\' => {
                value.push(escaped(&mut characters)?);
                counted = value.len();
            }
            _ => {
                value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                if character != ' ' {
                    counted = value.len();
                }
            }
        }
    }
    value.truncate(counted);
    Some((String::from_utf8(value).ok()?, end.0, end.1))
}

/// The byte that stands behind a backslash: a special character, or two hexadecimal digits.
fn escaped(characters: &mut CharIndices<'_>) -> Option<u8> {
    let (_, first) = characters.next()?;
    if SPECIAL.contains(first) {
        return u8::try_from(first).ok();
    }
    let (_, second) = characters.next()?;
    u8::try_from(first.to_digit(16)? * 16 + second.to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<Vec<Vec<(String, String)>>> {
        DistinguishedName::parse(text).map(|name| name.parts)
    }

    fn part(kind: &str, value: &str) -> (String, String) {
        (kind.to_owned(), value.to_owned())
    }

    #[test]
    fn names_are_read_as_the_rfc_has_them() {
        let simple = [vec![part("CN", "a b")], vec![part("O", "c")]];
        for text in ["CN=a b,O=c", " cn = a b , 2.5.4.10=c ", r"CN=a\ b,O=\63"] {
            assert_eq!(parts(text).unwrap(), simple, "{text}");
        }
        for (text, value) in [
            (r"CN=Doe\, Jane", "Doe, Jane"),
            (r"CN=a\2cO=b", "a,O=b"),
            (r"CN=a\+O=b", "a+O=b"),
            (r"CN=a=b", "a=b"),
            (r"CN=\ a\ ", " a "),
            (r"CN=Lu\C4\8Di\C4\87", "Lučić"),
            (r"CN=\#5", "#5"),
            ("CN=", ""),
        ] {
            assert_eq!(parts(text).unwrap(), [[part("CN", value)]], "{text}");
        }
        let several = [
            vec![part("CN", "a"), part("OU", "b")],
            vec![part("DC", "c")],
        ];
        assert_eq!(parts("OU=b+CN=a,DC=c").unwrap(), several);
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in [
            "",
            "alice",
            "CN",
            "=a",
            "CN=a,",
            "CN=a,b",
            "CN=a+",
            "a b=c",
            "alice,CN=b",
            "CN=#0401",
            r"CN=a\",
            r"CN=a\x",
            r"CN=a\ff",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn the_order_of_parts_does_not_matter_and_their_number_does() {
        let name = |text| DistinguishedName::parse(text).unwrap();
        let same = |one, other| name(one).has_parts_of(&name(other));
        assert!(same("CN=a,O=b,O=c", "o=c, cn=a, o=b"));
        assert!(same("CN=a+O=b", "O=b+CN=a"));
        assert!(!same("CN=a,O=b", "CN=a+O=b"));
        assert!(!same("CN=a,O=b", "CN=a,O=b,O=b"));
        assert!(!same("CN=a", "CN=A"));
        assert!(!same(r"CN=a\,O=b", "CN=a,O=b"));
    }
}
