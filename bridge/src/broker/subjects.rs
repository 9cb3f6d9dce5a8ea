//! Subjects and wildcards: what is valid, what matches what, and a trie that finds the patterns a subject matches.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// The most tokens of a subject that is subscribed to, or taken by a stream: each takes memory.
pub(super) const MAX_TOKENS: usize = 128;

/// Whether a pattern is one that may be subscribed to: no empty token, no white space, `>` last.
///
/// A token such as `a*` is an ordinary word: `*` and `>` mean something only when they stand alone.
pub(super) fn is_valid_pattern(pattern: &str) -> bool {
    let mut tokens = pattern.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || (token == ">" && tokens.peek().is_some()) || token.contains(is_space)
        {
            return false;
        }
    }
    true
}

/// How many tokens a subject has.
pub(super) fn token_count(subject: &str) -> usize {
    subject.bytes().filter(|byte| *byte == b'.').count() + 1
}

/// Whether a subject is a valid one without wildcards.
pub fn is_literal(subject: &str) -> bool {
    is_valid_pattern(subject) && !has_wildcard(subject)
}

/// Whether messages on a subject reach anybody: none of its tokens is empty. Wildcards in it are ordinary words.
pub(super) fn is_routable(subject: &str) -> bool {
    let mut is_begin = true;
    for byte in subject.bytes() {
        let is_dot = byte == b'.';
        if is_dot && is_begin {
            return false;
        }
        is_begin = is_dot;
    }
    !is_begin
}

/// Whether only servers of a cluster publish on a subject.
pub(super) fn is_of_servers(subject: &str) -> bool {
    match subject.as_bytes().first() {
        Some(b'_') => subject.starts_with("_GR_."),
        Some(b'$') => subject.starts_with("$NRG."),
        _ => false,
    }
}

/// Whether only servers ask for answers on a subject.
pub(super) fn is_reply_of_servers(reply: &str) -> bool {
    match reply.as_bytes().first() {
        Some(b'_') => reply.starts_with("_R_.") || reply.starts_with("_GR_."),
        Some(b'$') => reply.starts_with("$JS.ACK."),
        _ => false,
    }
}

/// Whether a valid pattern holds a wildcard token.
pub(super) fn has_wildcard(pattern: &str) -> bool {
    pattern.split('.').any(|token| token == "*" || token == ">")
}

/// Whether a valid pattern holds a token that is no wildcard.
pub(super) fn has_word(pattern: &str) -> bool {
    pattern.split('.').any(|token| token != "*" && token != ">")
}

/// What stands before the first wildcard of a pattern.
pub(super) fn beginning(pattern: &str) -> &str {
    let mut end = 0;
    for token in pattern.split('.') {
        if token == "*" || token == ">" {
            return pattern.get(..end).unwrap_or_default();
        }
        end += token.len() + 1;
    }
    pattern
}

/// Whether a name may be that of a stream or a consumer: it is a token of subjects and a name of folders.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c))
}

/// Whether a literal subject matches a pattern.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Whether some subject matches both patterns.
pub fn overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

/// Whether each subject that matches `narrow` matches `wide` too.
pub(super) fn is_subset(narrow: &str, wide: &str) -> bool {
    let mut tokens = narrow.split('.');
    for wanted in wide.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(token)) if token != ">" => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\0'
}

/// Patterns with values, searched by subject in time that grows with the subject's tokens, not with the patterns.
#[derive(Debug)]
pub(super) struct SubjectTrie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    words: HashMap<Box<str>, Box<Node<T>>, RandomState>,
    any: Option<Box<Node<T>>>,
    here: Vec<T>,
    rest: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            words: HashMap::default(),
            any: None,
            here: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<T> Default for SubjectTrie<T> {
    fn default() -> Self {
        SubjectTrie {
            root: Node::default(),
        }
    }
}

impl<T> SubjectTrie<T> {
    pub(super) fn insert(&mut self, pattern: &str, value: T) {
        let mut node = &mut self.root;
        for token in pattern.split('.') {
            match token {
                ">" => return node.rest.push(value),
                "*" => node = node.any.get_or_insert_default(),
                word => {
                    if !node.words.contains_key(word) {
                        node.words.insert(word.into(), Box::default());
                    }
                    node = node
                        .words
                        .get_mut(word)
                        .expect("the word was inserted above");
                }
            }
        }
        node.here.push(value);
    }

    /// Takes out what stands under exactly this pattern and is `gone`; says how much that was.
    pub(super) fn remove(&mut self, pattern: &str, gone: impl Fn(&T) -> bool) -> usize {
        let tokens: Vec<&str> = pattern.split('.').collect();
        self.root.remove(&tokens, &gone)
    }

    /// Calls `found` with every value whose pattern the subject matches.
    pub(super) fn for_each_match<'a>(&'a self, subject: &str, found: &mut impl FnMut(&'a T)) {
        self.root.for_each_match(Some(subject), found);
    }

    /// Whether the subject matches any pattern.
    pub(super) fn has_match(&self, subject: &str) -> bool {
        self.root.has_match(Some(subject))
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn remove(&mut self, tokens: &[&str], gone: &impl Fn(&T) -> bool) -> usize {
        match tokens {
            [] => remove_from(&mut self.here, gone),
            [">"] => remove_from(&mut self.rest, gone),
            ["*", others @ ..] => {
                let Some(any) = &mut self.any else { return 0 };
                let removed = any.remove(others, gone);
                if any.is_empty() {
                    self.any = None;
                }
                removed
            }
            [word, others @ ..] => {
                let Some(node) = self.words.get_mut(*word) else {
                    return 0;
                };
                let removed = node.remove(others, gone);
                if node.is_empty() {
                    self.words.remove(*word);
                }
                removed
            }
        }
    }

    fn for_each_match<'a>(&'a self, subject: Option<&str>, found: &mut impl FnMut(&'a T)) {
        let Some(subject) = subject else {
            return self.here.iter().for_each(found);
        };
        let (token, others) = first_token(subject);
        self.rest.iter().for_each(&mut *found);
        if let Some(any) = &self.any {
            any.for_each_match(others, found);
        }
        if let Some(node) = self.words.get(token) {
            node.for_each_match(others, found);
        }
    }

    fn has_match(&self, subject: Option<&str>) -> bool {
        let Some(subject) = subject else {
            return !self.here.is_empty();
        };
        let (token, others) = first_token(subject);
        !self.rest.is_empty()
            || self.any.as_ref().is_some_and(|any| any.has_match(others))
            || self
                .words
                .get(token)
                .is_some_and(|node| node.has_match(others))
    }
}

fn remove_from<T>(values: &mut Vec<T>, gone: &impl Fn(&T) -> bool) -> usize {
    let before = values.len();
    values.retain(|value| !gone(value));
    before - values.len()
}

/// The first token of a subject, and what comes behind the dot that ends it.
pub(super) fn first_token(subject: &str) -> (&str, Option<&str>) {
    match subject.split_once('.') {
        Some((token, others)) => (token, Some(others)),
        None => (subject, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_valid_or_not() {
        for good in [
            "a",
            "a.b",
            "*",
            ">",
            "a.*.c",
            "a.>",
            "*.*",
            "$JS.API.>",
            "_INBOX.x",
            "a*",
            "b>c",
        ] {
            assert!(is_valid_pattern(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a.b\t"] {
            assert!(!is_valid_pattern(bad), "{bad}");
        }
        assert!(is_literal("a.b") && !is_literal("a.*") && !is_literal("a."));
    }

    #[test]
    fn a_subject_with_an_empty_token_reaches_nobody() {
        for good in ["a", "a.b", "*", "a.>", ">.a"] {
            assert!(is_routable(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b"] {
            assert!(!is_routable(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_streams_are_single_tokens_and_file_names() {
        assert!(is_valid_name("film_recommendation_status_updates") && is_valid_name("a-b"));
        for bad in [
            "",
            "a.b",
            "a*",
            ">",
            "a b",
            "a/b",
            "a\\b",
            "a\u{7}",
            &"x".repeat(256),
        ] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_trie_agrees_with_the_plain_match() {
        let patterns = [
            "a", "a.b", "a.*", "*", "*.b", ">", "a.>", "a.b.>", "*.*", "a.*.c", "b.>", "*.b.>",
        ];
        let subjects = [
            "a", "a.b", "a.b.c", "b", "b.b", "a.x.c", "a.x.d", "z.b.q.r", "c",
        ];
        let mut trie = SubjectTrie::default();
        for pattern in patterns {
            trie.insert(pattern, pattern);
        }
        for subject in subjects {
            let mut found = Vec::new();
            trie.for_each_match(subject, &mut |pattern| found.push(*pattern));
            let mut wanted: Vec<_> = patterns
                .into_iter()
                .filter(|pattern| matches(pattern, subject))
                .collect();
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{subject}");
            assert_eq!(trie.has_match(subject), !wanted.is_empty());
        }
        for pattern in patterns {
            assert_eq!(trie.remove(pattern, |value| *value == pattern), 1);
            assert_eq!(trie.remove(pattern, |value| *value == pattern), 0);
        }
        assert!(trie.root.is_empty());
    }

    #[test]
    fn matching_table() {
        for (pattern, subject, expected) in [
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.*", "a.b.c", false),
            ("a.*", "a", false),
            ("*", "a.b", false),
            (">", "a.b", true),
            ("a.b", "a.b", true),
            ("a.b", "a", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn subsets() {
        for (narrow, wide, expected) in [
            ("a.b", "a.*", true),
            ("a.*", "a.*", true),
            ("a.>", "a.*", false),
            ("a.b.>", "a.>", true),
            ("a.*", "*.b", false),
            ("a", "a.>", false),
            (">", ">", true),
            ("*.b", "a.*", false),
        ] {
            assert_eq!(is_subset(narrow, wide), expected, "{narrow} in {wide}");
        }
    }

    #[test]
    fn overlaps() {
        for (left, right, expected) in [
            ("a.*", "*.b", true),
            ("a.*", "b.*", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a", "a.b", false),
            (">", "a", true),
            ("a.*.c", "a.b.*", true),
        ] {
            assert_eq!(overlap(left, right), expected, "{left} {right}");
            assert_eq!(overlap(right, left), expected, "{right} {left}");
        }
    }
}
