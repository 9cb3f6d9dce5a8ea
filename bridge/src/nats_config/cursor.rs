//! A text that is read from its beginning to its end: it knows the line and column, and the strings in it.

use std::sync::Arc;

use super::value::{ConfigError, Place};

/// What is left of a text, and where that stands.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a str,
    file: Arc<str>,
    line: usize,
    column: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, file: &str) -> Self {
        Cursor {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            file: file.into(),
            line: 1,
            column: 1,
        }
    }

    /// A string in double quotes, behind the first of them.
    pub(super) fn quoted(&mut self, starts: &Place) -> Result<String, ConfigError> {
        let mut text = Vec::new();
        loop {
            let part = self.take_until(|c| matches!(c, '"' | '\\'));
            text.extend_from_slice(part.as_bytes());
            match self.advance() {
                Some('"') => break,
                Some(_) => self.escape(&mut text)?,
                None => return Err(starts.error("the string that starts here has no end")),
            }
        }
        String::from_utf8(text).map_err(|_| starts.error("the string is not UTF-8"))
    }

    /// What stands behind a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), ConfigError> {
        let place = self.place();
        let byte = match self.advance() {
            Some('t') => b'\t',
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('"') => b'"',
            Some('\\') => b'\\',
            Some('x') => {
                let digits = self.rest.get(..2);
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let byte = byte.ok_or_else(|| place.error("`\\x` needs two hexadecimal digits"))?;
                self.advance();
                self.advance();
                byte
            }
            _ => {
                let reason = "behind a backslash stands one of x, t, n, r, \" and \\";
                return Err(place.error(reason));
            }
        };
        text.push(byte);
        Ok(())
    }

    pub(super) fn raw_until(
        &mut self,
        quote: char,
        unfinished: &str,
    ) -> Result<String, ConfigError> {
        let starts = self.place();
        let text = self.take_until(|c| c == quote).to_owned();
        match self.advance() {
            Some(_) => Ok(text),
            None => Err(starts.error(unfinished)),
        }
    }

    pub(super) fn take_until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let taken = self.rest.get(..end).unwrap_or_default();
        self.skip(end);
        taken
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        for character in skipped.chars() {
            self.count(character);
        }
        self.rest = rest;
    }

    fn count(&mut self, character: char) {
        if character == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn peek_is(&self, is: impl Fn(char) -> bool) -> bool {
        self.peek().is_some_and(is)
    }

    pub(super) fn advance(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.skip(character.len_utf8());
        Some(character)
    }

    pub(super) fn skip_spaces(&mut self) {
        self.take_until(|c| !matches!(c, ' ' | '\t'));
    }

    pub(super) fn skip_whitespace(&mut self) {
        self.take_until(|c| !c.is_whitespace());
    }

    pub(super) fn at_comment(&self) -> bool {
        self.rest.starts_with('#') || self.rest.starts_with("//")
    }

    /// Skips white space, lines and comments.
    pub(super) fn skip_blank(&mut self) {
        self.skip_whitespace();
        while self.at_comment() {
            self.take_until(|c| c == '\n');
            self.skip_whitespace();
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: self.line,
            column: self.column,
        }
    }
}

/// A word without quotes that holds escapes.
pub(super) fn escaped_word(word: &str, starts: &Place) -> Result<String, ConfigError> {
    let mut word = Cursor {
        rest: word,
        file: Arc::clone(&starts.file),
        line: starts.line,
        column: starts.column,
    };
    let mut text = Vec::new();
    loop {
        text.extend_from_slice(word.take_until(|c| c == '\\').as_bytes());
        match word.advance() {
            Some(_) => word.escape(&mut text)?,
            None => break,
        }
    }
    String::from_utf8(text).map_err(|_| starts.error("the string is not UTF-8"))
}
