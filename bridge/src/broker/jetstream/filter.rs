//! Which subjects a consumer or a purge wants.

use crate::broker::subjects;

/// Which subjects are wanted.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    All,
    One(Box<str>),
    Patterns(Vec<Box<str>>),
}

impl Filter {
    pub(super) fn of<S: AsRef<str>>(patterns: &[S]) -> Self {
        match patterns {
            [] => Filter::All,
            [one] if one.as_ref() == ">" => Filter::All,
            [one] if !subjects::has_wildcard(one.as_ref()) => Filter::One(one.as_ref().into()),
            many => Filter::Patterns(many.iter().map(|pattern| pattern.as_ref().into()).collect()),
        }
    }

    pub(super) fn takes(&self, subject: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::One(one) => **one == *subject,
            Filter::Patterns(patterns) => patterns
                .iter()
                .any(|pattern| subjects::matches(pattern, subject)),
        }
    }
}
