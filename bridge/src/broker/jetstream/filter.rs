//! Which subjects a consumer or a purge wants.

use crate::broker::subjects::{self, MAX_TOKENS};

/// How many patterns are faster tried one after the other than searched.
const FEW: usize = 4;

/// Which subjects are wanted.
#[derive(Debug)]
pub(super) enum Filter {
    All,
    One(Box<str>),
    Few(Vec<Box<str>>),
    /// With zeros for dots, and so in the order of their tokens: those that begin alike stand together, and the list is searched like
    /// a trie, but takes no more memory than the patterns.
    Many(Vec<Box<[u8]>>),
}

impl Filter {
    pub(super) fn of<S: AsRef<str>>(patterns: &[S]) -> Self {
        let texts = patterns.iter().map(AsRef::as_ref);
        match patterns {
            [] => Filter::All,
            [one] if one.as_ref() == ">" => Filter::All,
            [one] if !subjects::has_wildcard(one.as_ref()) => Filter::One(one.as_ref().into()),
            few if few.len() <= FEW => Filter::Few(texts.map(Box::from).collect()),
            _ => {
                // No stream takes a subject that is longer, and each token is a level of the search.
                let short = texts.filter(|text| subjects::token_count(text) <= MAX_TOKENS);
                let mut sorted: Vec<Box<[u8]>> = short
                    .map(|text| text.replace('.', "\0").into_bytes().into())
                    .collect();
                sorted.sort_unstable();
                sorted.dedup();
                Filter::Many(sorted)
            }
        }
    }

    pub(super) fn takes(&self, subject: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::One(one) => **one == *subject,
            Filter::Few(patterns) => patterns
                .iter()
                .any(|pattern| subjects::matches(pattern, subject)),
            Filter::Many(patterns) => any_matches(patterns, 0, Some(subject)),
        }
    }

    /// How wanted subjects begin, in order, each a subject as a whole or some tokens and a dot. None [`begins_with`] another.
    pub(super) fn beginnings(&self) -> Vec<&str> {
        let mut beginnings: Vec<&str> = match self {
            Filter::All | Filter::Many(_) => vec![""],
            Filter::One(one) => vec![one],
            Filter::Few(patterns) => patterns.iter().map(|p| subjects::beginning(p)).collect(),
        };
        beginnings.sort_unstable();
        beginnings.dedup_by(|later, earlier| begins_with(later, earlier));
        beginnings
    }
}

/// Whether a subject is one of those that a beginning stands for.
pub(super) fn begins_with(subject: &str, beginning: &str) -> bool {
    match beginning {
        "" => true,
        tokens if tokens.ends_with('.') => subject.starts_with(tokens),
        whole => subject == whole,
    }
}

/// Whether what is left of a subject matches what comes behind the first bytes of one of these patterns, which begin alike.
fn any_matches(patterns: &[Box<[u8]>], begin: usize, subject: Option<&str>) -> bool {
    let Some(subject) = subject else {
        // One that ends here is the shortest, and the first.
        return patterns.first().is_some_and(|first| first.len() < begin);
    };
    if patterns.is_empty() {
        return false;
    }
    let (token, others) = subjects::first_token(subject);
    let with = |token: &str| with_token(patterns, begin, token.as_bytes());
    !with(">").is_empty()
        || any_matches(with("*"), begin + 2, others)
        || any_matches(with(token), begin + token.len() + 1, others)
}

/// Those of these patterns, which begin alike, that have this token next.
fn with_token<'a>(patterns: &'a [Box<[u8]>], begin: usize, token: &[u8]) -> &'a [Box<[u8]>] {
    let first = patterns.partition_point(|pattern| pattern.get(begin..) < Some(token));
    let from = patterns.get(first..).unwrap_or_default();
    let end = from.partition_point(|pattern| {
        let rest = pattern.get(begin..).unwrap_or_default();
        let behind = rest.strip_prefix(token);
        behind.is_some_and(|behind| matches!(behind.first(), None | Some(0)))
    });
    from.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_subject_is_looked_for_where_patterns_lead() {
        let pattern = |number| format!("{number}.{}b", "*.".repeat(MAX_TOKENS - 2));
        let filter = Filter::of(&(0..100).map(pattern).collect::<Vec<_>>());
        let subject = |last| format!("7.{}{last}", "a.".repeat(MAX_TOKENS - 2));
        assert!(filter.takes(&subject("b")) && !filter.takes(&subject("c")));
    }

    #[test]
    fn many_patterns_agree_with_the_plain_match() {
        let tokens = ["a", "b", "a!", "é", "*", ">"];
        let mut patterns: Vec<String> = Vec::new();
        for first in tokens {
            patterns.push(first.to_owned());
            for second in tokens {
                patterns.push(format!("{first}.{second}"));
                patterns.extend(tokens.map(|third| format!("{first}.{second}.{third}")));
            }
        }
        patterns.retain(|pattern| subjects::is_valid_pattern(pattern));
        let literal = patterns
            .iter()
            .filter(|pattern| subjects::is_literal(pattern));
        let subjects: Vec<_> = literal.cloned().chain(["c.a.b.a".to_owned()]).collect();
        // Many lists, of each of which a part matches.
        for step in [1, 7, 11, 13, 17] {
            for skipped in 0..step {
                let some: Vec<_> = patterns.iter().skip(skipped).step_by(step).collect();
                let filter = Filter::of(&some);
                assert!(matches!(filter, Filter::Many(_)));
                for subject in &subjects {
                    let expected = some
                        .iter()
                        .any(|pattern| subjects::matches(pattern, subject));
                    assert_eq!(filter.takes(subject), expected, "{subject} in {some:?}");
                }
            }
        }
    }

    #[test]
    fn subjects_that_are_wanted_begin_as_their_patterns_do() {
        for (patterns, beginnings) in [
            (vec![], vec![""]),
            (vec!["a.b"], vec!["a.b"]),
            (vec!["a.*.c"], vec!["a."]),
            (vec!["a.b.>"], vec!["a.b."]),
            (vec!["*"], vec![""]),
            (vec!["c.*", "a.b.*", "a.>"], vec!["a.", "c."]),
            (vec!["a*.b", "a.b.>", "a.b"], vec!["a*.b", "a.b", "a.b."]),
            (vec!["1", "2", "3", "4", "5"], vec![""]),
        ] {
            assert_eq!(
                Filter::of(&patterns).beginnings(),
                beginnings,
                "{patterns:?}"
            );
        }
    }
}
