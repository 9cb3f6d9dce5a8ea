//! Making one subject out of another, as the settings `subject_transform` and `republish` of a stream say.
//!
//! A destination such as `orders.{{wildcard(2)}}.{{partition(3,1)}}` is read once; the errors are worded as those of the
//! servers in the field. A token that is too short for a split, or would be cut inside a character, is left as it is.

use rand::RngExt;

use crate::broker::subjects;

/// How a subject becomes another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transform {
    source: String,
    parts: Vec<Part>,
    /// How many tokens of the subject stand before those that `>` takes over as they are.
    tail_from: Option<usize>,
}

/// What makes one token of the destination. Numbers of tokens are places in the source.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Token(usize),
    /// A number below the first that the tokens decide; all tokens of the subject if none are named.
    Partition(u32, Vec<usize>),
    SplitFromLeft(usize, usize),
    SplitFromRight(usize, usize),
    SliceFromLeft(usize, usize),
    SliceFromRight(usize, usize),
    Split(usize, String),
    Left(usize, usize),
    Right(usize, usize),
    Random(u32),
}

const BAD_SUBJECT: &str = "invalid subject";
/// The longest destination and, unless the subject itself is longer, the longest result: as long as the line of a client may be.
const MAX_BYTES: usize = 4096;

impl Transform {
    /// Reads a transform. No source means every subject, no destination means the same subject.
    pub(super) fn new(source: &str, destination: &str) -> Result<Self, String> {
        let source = if source.is_empty() { ">" } else { source };
        let destination = if destination.is_empty() {
            source
        } else {
            destination
        };
        if destination.len() > MAX_BYTES
            || subjects::token_count(destination) > subjects::MAX_TOKENS
        {
            return Err(BAD_SUBJECT.to_owned());
        }
        let is_whole = |pattern: &str| pattern.rsplit('.').next() == Some(">");
        if destination == source {
            let tail_from = is_whole(source).then(|| subjects::token_count(source) - 1);
            return Self::same(source, tail_from);
        }
        let is_valid =
            subjects::is_valid_pattern(source) && subjects::is_valid_pattern(destination);
        if !is_valid
            || is_whole(source) != is_whole(destination)
            || destination.split('.').any(|token| token == "*")
        {
            return Err(BAD_SUBJECT.to_owned());
        }
        let stars: Vec<usize> = source
            .split('.')
            .enumerate()
            .filter(|(_, token)| *token == "*")
            .map(|(place, _)| place)
            .collect();
        let mut parts = Vec::new();
        for token in destination.split('.').filter(|token| *token != ">") {
            parts.push(read_part(token, &stars)?);
        }
        Ok(Transform {
            source: source.to_owned(),
            parts,
            tail_from: is_whole(source).then(|| subjects::token_count(source) - 1),
        })
    }

    /// Every token as it is.
    fn same(source: &str, tail_from: Option<usize>) -> Result<Self, String> {
        if !subjects::is_valid_pattern(source) {
            return Err(BAD_SUBJECT.to_owned());
        }
        let tokens = source.split('.').filter(|token| *token != ">");
        let parts = tokens.enumerate().map(|(place, token)| match token {
            "*" => Part::Token(place),
            word => Part::Literal(word.to_owned()),
        });
        Ok(Transform {
            source: source.to_owned(),
            parts: parts.collect(),
            tail_from,
        })
    }

    /// A pattern that all results match.
    pub(super) fn results(&self) -> String {
        let mut tokens = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(word) => tokens.push(word.as_str()),
                Part::Token(_)
                | Part::Partition(..)
                | Part::Left(..)
                | Part::Right(..)
                | Part::Random(_) => tokens.push("*"),
                // These may make several tokens of one.
                Part::SplitFromLeft(..)
                | Part::SplitFromRight(..)
                | Part::SliceFromLeft(..)
                | Part::SliceFromRight(..)
                | Part::Split(..) => {
                    tokens.push(">");
                    return tokens.join(".");
                }
            }
        }
        if self.tail_from.is_some() {
            tokens.push(">");
        }
        tokens.join(".")
    }

    /// What a subject becomes; `None` if it is none that the source takes, or the result is no subject or too long.
    pub(super) fn apply(&self, subject: &str) -> Option<String> {
        if !subjects::matches(&self.source, subject) {
            return None;
        }
        let tokens: Vec<&str> = subject.split('.').collect();
        let most = MAX_BYTES.max(subject.len());
        let mut result = String::with_capacity(subject.len() + 16);
        for part in &self.parts {
            if result.len() > most {
                return None;
            }
            if !result.is_empty() {
                result.push('.');
            }
            part.write(&tokens, subject, &mut result);
        }
        if let Some(from) = self.tail_from {
            for token in tokens.iter().skip(from) {
                if !result.is_empty() {
                    result.push('.');
                }
                result.push_str(token);
            }
        }
        (result.len() <= most && subjects::is_literal(&result)).then_some(result)
    }
}

impl Part {
    fn write(&self, tokens: &[&str], subject: &str, out: &mut String) {
        let token = |place: &usize| tokens.get(*place).copied().unwrap_or_default();
        match self {
            Part::Literal(word) => out.push_str(word),
            Part::Token(place) => out.push_str(token(place)),
            Part::Partition(count, places) if places.is_empty() => {
                out.push_str(&partition(subject.bytes(), *count).to_string());
            }
            Part::Partition(count, places) => {
                let bytes = places.iter().flat_map(|place| token(place).bytes());
                out.push_str(&partition(bytes, *count).to_string());
            }
            Part::SplitFromLeft(place, at) => split_at(token(place), Some(*at), out),
            Part::SplitFromRight(place, at) => {
                split_at(token(place), token(place).len().checked_sub(*at), out);
            }
            Part::SliceFromLeft(place, size) => slice(token(place), *size, 0, out),
            Part::SliceFromRight(place, size) => {
                slice(
                    token(place),
                    *size,
                    token(place).len() % (*size).max(1),
                    out,
                );
            }
            Part::Split(place, by) => {
                let pieces = token(place).split(by.as_str());
                let pieces: Vec<&str> = pieces.filter(|piece| !piece.is_empty()).collect();
                out.push_str(&pieces.join("."));
            }
            Part::Left(place, size) => {
                let token = token(place);
                let left = token.get(..*size).filter(|left| !left.is_empty());
                out.push_str(left.unwrap_or(token));
            }
            Part::Right(place, size) => {
                let token = token(place);
                let from = token.len().checked_sub(*size);
                let right = from.and_then(|from| token.get(from..));
                out.push_str(right.filter(|right| !right.is_empty()).unwrap_or(token));
            }
            Part::Random(0) => out.push('0'),
            Part::Random(count) => {
                out.push_str(&rand::rng().random_range(0..*count).to_string());
            }
        }
    }
}

fn split_at(token: &str, at: Option<usize>, out: &mut String) {
    let at = at.filter(|at| *at > 0 && *at < token.len());
    match at.and_then(|at| token.split_at_checked(at)) {
        Some((left, right)) => {
            out.push_str(left);
            out.push('.');
            out.push_str(right);
        }
        None => out.push_str(token),
    }
}

/// Cuts a token into pieces of a size; the odd one has `first` bytes and comes first, or is what is left.
fn slice(token: &str, size: usize, first: usize, out: &mut String) {
    if size == 0 || size >= token.len() || !token.is_ascii() {
        return out.push_str(token);
    }
    for (place, byte) in token.chars().enumerate() {
        if place > 0 && place % size == first % size {
            out.push('.');
        }
        out.push(byte);
    }
}

/// Which partition bytes belong to. All servers have to agree on it: 32-bit FNV-1a.
fn partition(bytes: impl Iterator<Item = u8>, count: u32) -> u32 {
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.checked_rem(count).unwrap_or(0)
}

fn read_part(token: &str, stars: &[usize]) -> Result<Part, String> {
    let fail = |why: &str| Err(format!("invalid mapping destination: {why} in {token}"));
    let star = |number: usize| {
        let place = number.checked_sub(1).and_then(|place| stars.get(place));
        place.copied().ok_or_else(|| {
            format!(
                "invalid mapping destination: wildcard index out of range in {token}: [{number}]"
            )
        })
    };
    if let Some(number) = token.strip_prefix('$') {
        return match number.parse() {
            Ok(number) => star(number).map(Part::Token),
            // Other things start with it as well.
            Err(_) => Ok(Part::Literal(token.to_owned())),
        };
    }
    let Some(call) = token
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"))
    else {
        return Ok(Part::Literal(token.to_owned()));
    };
    let Some((name, arguments)) = call
        .trim()
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
    else {
        return fail("unknown function");
    };
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let numbers: Option<Vec<usize>> = arguments
        .iter()
        .map(|argument| argument.parse().ok())
        .collect();
    let name = name.trim().to_ascii_lowercase();
    let wanted = match name.as_str() {
        "wildcard" | "random" => 1,
        "partition" => arguments.len(),
        "split" | "splitfromleft" | "splitfromright" | "slicefromleft" | "slicefromright"
        | "left" | "right" => 2,
        _ => return fail("unknown function"),
    };
    if arguments.len() < wanted || arguments == [""] {
        return fail("not enough arguments passed to the function");
    }
    if arguments.len() > wanted {
        return fail("too many arguments passed to the function");
    }
    if let ("split", [place, by]) = (name.as_str(), arguments.as_slice()) {
        return match place.parse() {
            Ok(place) if !by.is_empty() => Ok(Part::Split(star(place)?, (*by).to_owned())),
            _ => fail("function argument is invalid or in the wrong format"),
        };
    }
    match (name.as_str(), numbers.as_deref()) {
        ("wildcard", Some([number])) => star(*number).map(Part::Token),
        ("random", Some([count])) => Ok(Part::Random(u32::try_from(*count).unwrap_or(u32::MAX))),
        ("partition", Some([count, places @ ..])) => {
            let places = places.iter().map(|number| star(*number));
            let count = u32::try_from(*count).unwrap_or(u32::MAX);
            Ok(Part::Partition(count, places.collect::<Result<_, _>>()?))
        }
        ("splitfromleft", Some([number, at])) => Ok(Part::SplitFromLeft(star(*number)?, *at)),
        ("splitfromright", Some([number, at])) => Ok(Part::SplitFromRight(star(*number)?, *at)),
        ("slicefromleft", Some([number, size])) => Ok(Part::SliceFromLeft(star(*number)?, *size)),
        ("slicefromright", Some([number, size])) => Ok(Part::SliceFromRight(star(*number)?, *size)),
        ("left", Some([number, size])) => Ok(Part::Left(star(*number)?, *size)),
        ("right", Some([number, size])) => Ok(Part::Right(star(*number)?, *size)),
        _ => fail("function argument is invalid or in the wrong format"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(source: &str, destination: &str, subject: &str) -> Option<String> {
        Transform::new(source, destination).unwrap().apply(subject)
    }

    #[test]
    fn subjects_are_made_of_others() {
        for (source, destination, subject, expected) in [
            (
                "a.*.*",
                "b.{{wildcard(2)}}.{{wildcard(1)}}",
                "a.1.2",
                "b.2.1",
            ),
            ("a.*", "b.$1", "a.x", "b.x"),
            ("a.>", "b.>", "a.x.y", "b.x.y"),
            (">", "top.>", "a.b", "top.a.b"),
            ("", "top.>", "a.b", "top.a.b"),
            ("a", "b", "a", "b"),
            (">", "", "a.b", "a.b"),
            ("*", "{{partition(10,1)}}", "foo", "3"),
            ("*", "{{Partition(10)}}", "baz", "0"),
            ("*.*", "{{partition(10,1,2)}}", "ba.z", "0"),
            ("*", "{{splitfromleft(1,3)}}", "12345", "123.45"),
            ("*", "{{SplitFromRight(1,3)}}", "12345", "12.345"),
            ("*", "{{SplitFromRight(1,9)}}", "12345", "12345"),
            ("*", "{{SliceFromLeft(1,3)}}", "1234567890", "123.456.789.0"),
            (
                "*",
                "{{SliceFromRight(1,3)}}",
                "1234567890",
                "1.234.567.890",
            ),
            ("*", "{{SliceFromRight(1,3)}}", "123456", "123.456"),
            ("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi"),
            ("*", "{{left(1,2)}}.{{right(1,2)}}", "12345", "12.45"),
            ("*", "{{left(1,9)}}.{{right(1,0)}}", "123", "123.123"),
            ("*", "{{splitfromleft(1,1)}}", "é", "é"),
            ("a.*", "$SYS.{{ wildcard(1) }}", "a.b", "$SYS.b"),
        ] {
            let destination = destination.replace(' ', "");
            let got = apply(source, &destination, subject);
            assert_eq!(got.as_deref(), Some(expected), "{source} -> {destination}");
        }
        assert_eq!(apply("a.*", "b.$1", "c.x"), None);
    }

    #[test]
    fn a_small_transform_makes_no_large_subjects() {
        let repeated = |times: usize| vec!["$1"; times].join(".");
        assert_eq!(
            apply("*", &repeated(100), "token").map(|result| result.len()),
            Some(599)
        );
        assert_eq!(apply("*", &repeated(100), &"x".repeat(100)), None);
        assert_eq!(
            apply("*", "{{slicefromleft(1,1)}}", &"x".repeat(3000)),
            None
        );
        assert_eq!(apply(">", "top.>", &"x".repeat(4096)), None);
        let long = "x".repeat(5000);
        assert_eq!(apply(">", "", &long), Some(long));
        for destination in [repeated(129), "x".repeat(4097)] {
            Transform::new("*", &destination).unwrap_err();
        }
    }

    #[test]
    fn wrong_destinations_are_refused() {
        for (source, destination, why) in [
            ("a.*", "b.*", "invalid subject"),
            ("a.>", "b", "invalid subject"),
            ("a..b", "b", "invalid subject"),
            ("a.*", "b.$2", "wildcard index out of range"),
            ("a", "b.{{wildcard(1)}}", "wildcard index out of range"),
            ("a.*", "{{wildcard()}}", "not enough arguments"),
            ("a.*", "{{wildcard(1,2)}}", "too many arguments"),
            ("a.*", "{{wildcard(x)}}", "invalid or in the wrong format"),
            ("a.*", "{{upper(1)}}", "unknown function"),
            ("a.*", "{{split(1,)}}", "invalid or in the wrong format"),
        ] {
            let error = Transform::new(source, destination).unwrap_err();
            assert!(error.contains(why), "{source} -> {destination}: {error}");
        }
    }
}
