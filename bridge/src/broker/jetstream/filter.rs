//! Which subjects a consumer or a purge wants.

use crate::broker::subjects::{self, MAX_TOKENS, SubjectTrie};

/// How many patterns are faster tried one after the other than found in a trie.
const FEW: usize = 4;

/// Which subjects are wanted.
#[derive(Debug)]
pub(super) enum Filter {
    All,
    One(Box<str>),
    Few(Vec<Box<str>>),
    Many(SubjectTrie<()>),
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
                let mut trie = SubjectTrie::default();
                // No stream takes a subject that is longer, and each token is a level of the trie.
                for pattern in texts.filter(|text| subjects::token_count(text) <= MAX_TOKENS) {
                    trie.insert(pattern, ());
                }
                Filter::Many(trie)
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
            Filter::Many(patterns) => patterns.has_match(subject),
        }
    }
}
