//! Templates of subjects and topics: texts between dots, some of which are captured by a name. The same template reads the
//! captures out of a text and puts others in.
//!
//! What a capture holds is written as a subject has it. In the name of a topic it is escaped, and the literal
//! parts of a template never are.

use super::escape::{escape, is_special_in_topic, unescape};

/// The longest name of a topic, as Kafka has it.
pub(super) const MAX_TOPIC_BYTES: usize = 249;
/// The longest subject that the relay publishes to; a line of the protocol holds 4,096 bytes.
const MAX_SUBJECT_BYTES: usize = 2_048;
/// The longest template.
const MAX_TEMPLATE_BYTES: usize = 500;

/// What names have captured, in the alphabet of subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Captures(Vec<(String, String)>);

impl Captures {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(known, _)| known == name)?;
        Some(text)
    }

    pub(super) fn set(&mut self, name: &str, text: String) {
        self.0.push((name.to_owned(), text));
    }
}

/// What stands between two dots of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// One token, or a part of one.
    Capture {
        prefix: String,
        name: Option<String>,
        suffix: String,
    },
    /// All that is left, which may hold dots.
    Tail {
        prefix: String,
        name: Option<String>,
    },
}

/// Which names a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Subjects of NATS, where a capture is a whole token.
    Subject,
    /// Topics of Kafka, where a capture may stand beside literal text.
    Topic,
}

/// The template of a subject or of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    kind: Kind,
    segments: Vec<Segment>,
}

impl Template {
    /// Reads `films.{id}.updated`, `films.{rest...}`, and `*` and `>` for what needs no name.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_TEMPLATE_BYTES {
            return Err(format!("1 to {MAX_TEMPLATE_BYTES} characters are needed"));
        }
        let mut segments = Vec::new();
        for text in split(text) {
            if let Some(Segment::Tail { .. }) = segments.last() {
                return Err("nothing can follow what captures all the rest".into());
            }
            segments.push(segment(kind, text)?);
        }
        let template = Self { kind, segments };
        let names: Vec<_> = template.names().collect();
        for (index, name) in names.iter().enumerate() {
            if names.iter().skip(index + 1).any(|other| other == name) {
                return Err(format!("`{{{name}}}` stands in it twice"));
            }
        }
        Ok(template)
    }

    /// The names of its captures.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Capture { name, .. } | Segment::Tail { name, .. } => name.as_deref(),
        })
    }

    /// Whether it has a wildcard without a name, so that it can only read.
    pub(super) fn has_wildcard(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            Segment::Literal(_) => false,
            Segment::Capture { name, .. } | Segment::Tail { name, .. } => name.is_none(),
        })
    }

    /// The name of its tail, if it has one with a name.
    pub(super) fn tail(&self) -> Option<&str> {
        match self.segments.last() {
            Some(Segment::Tail { name, .. }) => name.as_deref(),
            _ => None,
        }
    }

    /// Whether it has more than one name.
    pub(super) fn is_pattern(&self) -> bool {
        let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
        !self.segments.iter().all(is_literal)
    }

    /// What it captures of `text`; none if it does not match.
    pub(super) fn captures(&self, text: &str) -> Option<Captures> {
        let mut captures = Captures::default();
        let mut rest = Some(text);
        for segment in &self.segments {
            let left = rest?;
            let (token, behind) = match left.split_once('.') {
                Some((token, behind)) => (token, Some(behind)),
                None => (left, None),
            };
            let (name, captured) = match segment {
                Segment::Literal(literal) => {
                    rest = (token == literal).then_some(behind)?;
                    continue;
                }
                Segment::Capture {
                    prefix,
                    name,
                    suffix,
                } => {
                    rest = behind;
                    (
                        name,
                        token
                            .strip_prefix(prefix.as_str())?
                            .strip_suffix(suffix.as_str())?,
                    )
                }
                Segment::Tail { prefix, name } => {
                    rest = None;
                    (name, left.strip_prefix(prefix.as_str())?)
                }
            };
            if captured.is_empty() {
                return None;
            }
            if let Some(name) = name {
                let plain = match self.kind {
                    Kind::Subject => captured.to_owned(),
                    Kind::Topic => unescape(captured, is_special_in_topic),
                };
                captures.set(name, plain);
            }
        }
        rest.is_none().then_some(captures)
    }

    /// The text with what is captured in it.
    ///
    /// # Errors
    ///
    /// What is wrong with the text that comes of it.
    pub(super) fn fill(&self, captures: &Captures) -> Result<String, String> {
        let mut text = String::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                text.push('.');
            }
            let (prefix, name, suffix) = match segment {
                Segment::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Segment::Capture {
                    prefix,
                    name,
                    suffix,
                } => (prefix, name, suffix.as_str()),
                Segment::Tail { prefix, name } => (prefix, name, ""),
            };
            let name = name.as_deref().unwrap_or_default();
            let captured = captures
                .get(name)
                .ok_or_else(|| format!("there is nothing for `{{{name}}}`"))?;
            text.push_str(prefix);
            match self.kind {
                Kind::Subject => text.push_str(captured),
                Kind::Topic => text.push_str(&escape(captured, is_special_in_topic)),
            }
            text.push_str(suffix);
        }
        match self.kind {
            Kind::Subject => check_subject(&text)?,
            Kind::Topic => check_topic(&text)?,
        }
        Ok(text)
    }

    /// The subject with wildcards that a consumer of NATS filters by.
    pub(super) fn subject_filter(&self) -> String {
        let token = |segment: &Segment| match segment {
            Segment::Literal(literal) => literal.clone(),
            Segment::Capture { .. } => "*".to_owned(),
            Segment::Tail { .. } => ">".to_owned(),
        };
        let tokens: Vec<_> = self.segments.iter().map(token).collect();
        tokens.join(".")
    }

    /// What a consumer of Kafka subscribes to: a topic's name, or a regular expression that begins with `^`.
    pub(super) fn topic_subscription(&self) -> String {
        let part = |segment: &Segment| match segment {
            Segment::Literal(literal) => literal.clone(),
            Segment::Capture { prefix, suffix, .. } => format!("{prefix}[A-Za-z0-9_-]+{suffix}"),
            Segment::Tail { prefix, .. } => format!("{prefix}[A-Za-z0-9._-]+"),
        };
        let parts: Vec<_> = self.segments.iter().map(part).collect();
        match self.is_pattern() {
            false => parts.join("."),
            true => format!("^{}$", parts.join("[.]")),
        }
    }
}

/// The parts between dots; those of `{rest...}` separate nothing.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut is_in_braces = false;
    text.split(move |c| {
        match c {
            '{' => is_in_braces = true,
            '}' => is_in_braces = false,
            _ => {}
        }
        c == '.' && !is_in_braces
    })
}

fn segment(kind: Kind, text: &str) -> Result<Segment, String> {
    let (prefix, name, suffix) = match (text.split_once('{'), kind) {
        (Some((prefix, rest)), _) => {
            let (name, suffix) = rest
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has no closing brace"))?;
            (prefix, Some(name), suffix)
        }
        (None, Kind::Subject) if text == ">" => ("", Some("..."), ""),
        (None, _) if text == "*" => ("", Some(""), ""),
        (None, _) => (text, None, ""),
    };
    for literal in [prefix, suffix] {
        check_literal(kind, literal)?;
    }
    let Some(name) = name else {
        if text.is_empty() {
            return Err("there is nothing before or behind a dot".into());
        }
        return Ok(Segment::Literal(text.to_owned()));
    };
    if kind == Kind::Subject && !(prefix.is_empty() && suffix.is_empty()) {
        return Err(format!(
            "a capture is a whole token of a subject, unlike in `{text}`"
        ));
    }
    let prefix = prefix.to_owned();
    let (name, is_tail) = match name.strip_suffix("...") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.bytes().all(is_name) || (name.is_empty() && text.contains('{')) {
        return Err(format!(
            "`{text}` has a capture without a name of small letters, digits and `_`"
        ));
    }
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    match is_tail {
        false => Ok(Segment::Capture {
            prefix,
            name,
            suffix: suffix.to_owned(),
        }),
        true if suffix.is_empty() => Ok(Segment::Tail { prefix, name }),
        true => Err("nothing can follow what captures all the rest".into()),
    }
}

fn check_literal(kind: Kind, text: &str) -> Result<(), String> {
    if text.contains(['{', '}']) {
        return Err("between two dots there is at most one capture, for otherwise a name could be read in several ways".into());
    }
    let is_legal = |c: char| match kind {
        Kind::Subject => !is_illegal_in_subject(c) && !matches!(c, '*' | '>'),
        Kind::Topic => is_legal_in_topic(c),
    };
    match text.chars().find(|c| !is_legal(*c)) {
        Some(c) => Err(format!("`{}` cannot stand in it", c.escape_debug())),
        None => Ok(()),
    }
}

fn is_illegal_in_subject(c: char) -> bool {
    c.is_control() || c.is_ascii_whitespace()
}

fn is_legal_in_topic(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Whether messages can be published to a subject without harm.
pub(super) fn check_subject(subject: &str) -> Result<(), String> {
    let is_token = |token: &str| !matches!(token, "" | "*" | ">");
    let reason = if subject.len() > MAX_SUBJECT_BYTES {
        "is too long a subject"
    } else if !subject.split('.').all(is_token) || subject.chars().any(is_illegal_in_subject) {
        "is no subject"
    } else if matches!(subject.split('.').next(), Some("$JS" | "$SYS")) {
        "is a subject of the server's own"
    } else {
        return Ok(());
    };
    Err(format!("`{}` {reason}", shown(subject)))
}

/// Topics that Kafka, or the relay, keeps its own records in.
const INTERNAL_TOPICS: [&str; 5] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
    "marquee-relay-leases",
];

/// Whether a topic is none that anything is relayed from or to.
pub(super) fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// Whether Kafka takes the name of a topic.
pub(super) fn check_topic(topic: &str) -> Result<(), String> {
    let reason = if topic.len() > MAX_TOPIC_BYTES {
        "is too long a name of a topic"
    } else if matches!(topic, "" | "." | "..") || !topic.chars().all(is_legal_in_topic) {
        "is no name of a topic"
    } else if is_internal(topic) {
        "is a topic that nothing is relayed to"
    } else {
        return Ok(());
    };
    Err(format!("`{}` {reason}", shown(topic)))
}

/// The beginning of a text, on one line.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests;
