//! What a user follows: one word or a phrase.

use thiserror::Error;

use super::word::Word;
use super::words::words;

/// The longest keyword, in characters.
pub const LONGEST_KEYWORD: usize = 255;

/// A preference's keyword: one word, or several that a film must have in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyword {
    text: Box<str>,
    words: Box<[Word]>,
}

/// Why a text is no keyword; the message says what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeywordError {
    /// There is no letter and no digit in it.
    #[error("a keyword needs at least one letter or digit")]
    NoWord,
    /// It has more than 255 characters.
    #[error("a keyword has at most {LONGEST_KEYWORD} characters")]
    TooLong,
    /// It has a line break, a tab or another control character in it.
    #[error("a keyword is one line of text, without control characters")]
    ControlCharacter,
}

impl Keyword {
    /// Reads a keyword as a person gave it; white space around it does not count.
    pub fn parse(text: &str) -> Result<Keyword, KeywordError> {
        let text = text.trim();
        if text.chars().nth(LONGEST_KEYWORD).is_some() {
            return Err(KeywordError::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(KeywordError::ControlCharacter);
        }
        let words = words(text);
        if words.is_empty() {
            return Err(KeywordError::NoWord);
        }
        Ok(Keyword {
            text: text.into(),
            words: words.into(),
        })
    }

    /// The keyword as it was given, without white space around it. It identifies the preference.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The normalized words, at least one, in the order in which a film must have them.
    pub fn words(&self) -> &[Word] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_keeps_its_text_and_knows_its_words() {
        let keyword = Keyword::parse("  Science  Fiction! ").unwrap();
        assert_eq!(keyword.text(), "Science  Fiction!");
        assert_eq!(format!("{:?}", keyword.words()), "[scienc, fiction]");
    }

    #[test]
    fn what_is_no_keyword_is_refused_with_the_reason() {
        let cases = [
            ("", KeywordError::NoWord),
            (" \u{A0}\t", KeywordError::NoWord),
            ("?!...", KeywordError::NoWord),
            ("🎬", KeywordError::NoWord),
            ("a\nb", KeywordError::ControlCharacter),
            ("a\0", KeywordError::ControlCharacter),
            ("a\u{9F}b", KeywordError::ControlCharacter),
        ];
        for (text, error) in cases {
            assert_eq!(Keyword::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Keyword::parse(&"é".repeat(256)), Err(KeywordError::TooLong));
        assert!(Keyword::parse(&format!(" {} ", "é".repeat(255))).is_ok());
    }
}
