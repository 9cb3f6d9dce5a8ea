//! The domain of the streams: a name for where they are, which clients may say in the subject of a request.
//!
//! A subject that says it is replaced before anything looks at it, so that permissions and subscriptions are about the
//! subject without it.

use serde_json::Value;

use super::json;

/// What follows the domain in the subjects that may name it: operations of the API, and what is published into buckets.
const PLACES: [(&str, &str); 8] = [
    ("STREAM.", "$JS.API."),
    ("CONSUMER.", "$JS.API."),
    ("DIRECT.", "$JS.API."),
    ("META.", "$JS.API."),
    ("SERVER.", "$JS.API."),
    ("ACCOUNT.", "$JS.API."),
    ("$KV.", ""),
    ("$OBJ.", ""),
];

/// The domain of a broker's streams.
#[derive(Debug)]
pub(in crate::broker) struct Domain {
    name: Box<str>,
    /// What a subject begins with that names the domain.
    prefix: Box<str>,
}

impl Domain {
    pub(super) fn new(name: &str) -> Self {
        Domain {
            name: name.into(),
            prefix: format!("$JS.{name}.API.").into(),
        }
    }

    pub(in crate::broker) fn name(&self) -> &str {
        &self.name
    }

    /// The subject that is meant by one that names the domain.
    pub(in crate::broker) fn subject_within(&self, subject: &str) -> Option<Box<str>> {
        let rest = subject.strip_prefix(&*self.prefix)?;
        if rest == "INFO" {
            return Some("$JS.API.INFO".into());
        }
        let is_below = |word: &str| rest.len() > word.len() && rest.starts_with(word);
        let (_, place) = PLACES.iter().find(|(word, _)| is_below(word))?;
        Some([place, rest].concat().into())
    }
}

/// Adds the domain to what clients are told, if there is one.
pub(super) fn mark(domain: Option<&Domain>, told: &mut Value) {
    if let Some(domain) = domain {
        json::set(told, "domain", domain.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_names_the_domain_means_the_one_without_it() {
        let domain = Domain::new("hub");
        for (said, meant) in [
            ("$JS.hub.API.INFO", "$JS.API.INFO"),
            ("$JS.hub.API.STREAM.INFO.S", "$JS.API.STREAM.INFO.S"),
            ("$JS.hub.API.DIRECT.GET.S.a.b", "$JS.API.DIRECT.GET.S.a.b"),
            ("$JS.hub.API.$KV.films.alien", "$KV.films.alien"),
        ] {
            assert_eq!(domain.subject_within(said).as_deref(), Some(meant));
        }
        for other in [
            "$JS.API.INFO",
            "$JS.leaf.API.INFO",
            "$JS.hub.API.INFO.x",
            "$JS.hub.API.STREAM.",
            "$JS.hub.API.x",
        ] {
            assert_eq!(domain.subject_within(other), None, "{other}");
        }
    }
}
