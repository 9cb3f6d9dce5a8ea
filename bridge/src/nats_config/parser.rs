//! The parser: one pass over the text, with the open maps at hand so that variables find their values.
//!
//! Everything is bounded: the size of a file, how deep maps and arrays are nested, how deep files and
//! variables refer to others, and how much all of that comes to.

use std::path::Path;

use runtime::settings::read_plain_text;

use super::cursor::{Cursor, escaped_word};
use super::scalars;
use super::value::{ConfigError, Map, Node, Place, Value};

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// How deep maps and arrays may be nested.
const MAX_DEPTH: usize = 64;
/// How deep files may include files, and variables of the environment may name others.
const MAX_REFERENCES: usize = 16;
/// The text of all files and the values of all variables, in bytes, each as often as it is referred to.
const MAX_TOTAL: usize = 32 << 20;
/// What a file counts for that is smaller.
const MIN_FILE: usize = 4096;
/// The key of the one value in a variable of the environment.
const VARIABLE: &str = "variable";

/// Reads a configuration file and those it includes.
///
/// # Errors
///
/// At the first line that is not understood, or if a file cannot be read.
pub(crate) fn parse_file(path: &Path) -> Result<Map, ConfigError> {
    let mut left = MAX_TOTAL;
    read_and_parse(path, 0, &mut left).map_err(|problem| match problem {
        Problem::Unreadable(reason) => ConfigError::new(path.display(), reason),
        Problem::Wrong(error) => error,
    })
}

/// Reads the text of a configuration file called `file`.
#[cfg(test)]
pub(crate) fn parse_text(text: &str, file: &str) -> Result<Map, ConfigError> {
    let mut left = MAX_TOTAL;
    Parser::new(text, file, Path::new(file), 0, &mut left).document()
}

enum Problem {
    Unreadable(String),
    Wrong(ConfigError),
}

fn read_and_parse(path: &Path, references: usize, left: &mut usize) -> Result<Map, Problem> {
    let unreadable =
        |error: std::io::Error| Problem::Unreadable(format!("cannot read it: {error}"));
    let text = read_plain_text(path, MAX_FILE).map_err(unreadable)?;
    if !take(left, text.len().max(MIN_FILE)) {
        return Err(Problem::Unreadable(TOO_MUCH.to_owned()));
    }
    Parser::new(&text, &path.to_string_lossy(), path, references, left)
        .document()
        .map_err(Problem::Wrong)
}

const TOO_MUCH: &str = "all files and variables together are too large";

/// Takes so many bytes of what is left, if there are so many.
fn take(left: &mut usize, bytes: usize) -> bool {
    match left.checked_sub(bytes) {
        Some(rest) => *left = rest,
        None => return false,
    }
    true
}

struct Parser<'a> {
    text: Cursor<'a>,
    path: &'a Path,
    references: usize,
    depth: usize,
    /// How many bytes more may be referred to.
    left: &'a mut usize,
    /// The maps that are open, the outermost first.
    scopes: Vec<Map>,
}

impl<'a> Parser<'a> {
    fn new(
        text: &'a str,
        file: &str,
        path: &'a Path,
        references: usize,
        left: &'a mut usize,
    ) -> Self {
        Parser {
            text: Cursor::new(text, file),
            path,
            references,
            depth: 0,
            left,
            scopes: Vec::new(),
        }
    }

    /// All of the text: settings, which may stand in a pair of braces as JSON has them.
    fn document(mut self) -> Result<Map, ConfigError> {
        self.scopes.push(Map::default());
        self.text.skip_blank();
        if self.text.peek() == Some('{') {
            let place = self.text.place();
            self.text.advance();
            self.entries(Some(&place))?;
            self.text.skip_blank();
            if let Some(found) = self.text.peek() {
                return Err(self.unexpected(found, "the end of the file"));
            }
        } else {
            self.entries(None)?;
        }
        Ok(self.scopes.pop().unwrap_or_default())
    }

    /// The settings of the innermost map, up to its brace, or to the end of the text. `opened` is where the brace is.
    fn entries(&mut self, opened: Option<&Place>) -> Result<(), ConfigError> {
        loop {
            self.text.skip_blank();
            match (self.text.peek(), opened) {
                (None, None) => return Ok(()),
                (None, Some(opened)) => {
                    return Err(opened.error("the map that starts here has no end"));
                }
                (Some('}'), Some(_)) => {
                    self.text.advance();
                    return Ok(());
                }
                (Some(found @ ('}' | ']' | '=' | ':' | ',' | ';')), _) => {
                    return Err(self.unexpected(found, "the name of a setting"));
                }
                _ => self.entry(opened.is_some())?,
            }
            self.text.skip_spaces();
            if self.text.at_comment() {
                continue;
            }
            match self.text.peek() {
                None | Some('}') => {}
                Some('\n' | '\r' | ',' | ';') => {
                    self.text.advance();
                }
                Some(found) => {
                    return Err(
                        self.unexpected(found, "the end of the setting: a new line or a comma")
                    );
                }
            }
        }
    }

    fn entry(&mut self, in_map: bool) -> Result<(), ConfigError> {
        let place = self.text.place();
        let (key, is_quoted) = self.key()?;
        if !is_quoted
            && key.eq_ignore_ascii_case("include")
            && self.text.peek_is(char::is_whitespace)
        {
            return self.include(&place);
        }
        self.text.skip_whitespace();
        if let Some('=' | ':') = self.text.peek() {
            self.text.advance();
            self.text.skip_spaces();
            if in_map {
                self.text.skip_whitespace();
            }
        }
        let value = self.value(&place)?;
        if let Some(map) = self.scopes.last_mut() {
            map.insert(key, Node { value, place });
        }
        Ok(())
    }

    /// The name of a setting, and whether it is in quotes.
    fn key(&mut self) -> Result<(String, bool), ConfigError> {
        if let Some(quote @ ('"' | '\'')) = self.text.peek() {
            self.text.advance();
            let key = self
                .text
                .raw_until(quote, "the name that starts here has no end")?;
            return Ok((key, true));
        }
        let ends = |c: char| c.is_whitespace() || matches!(c, '=' | ':' | '{');
        Ok((self.text.take_until(ends).to_owned(), false))
    }

    fn include(&mut self, place: &Place) -> Result<(), ConfigError> {
        self.text.skip_spaces();
        let name = match self.text.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.text.advance();
                self.text
                    .raw_until(quote, "the file name that starts here has no end")?
            }
            _ => self.bare_word().to_owned(),
        };
        if name.is_empty() {
            return Err(place.error("`include` needs the name of a file"));
        }
        if self.references >= MAX_REFERENCES {
            return Err(place.error("files include each other too deep, or in a circle"));
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let included = read_and_parse(&folder.join(&name), self.references + 1, self.left);
        let included = included.map_err(|problem| match problem {
            Problem::Unreadable(reason) => {
                place.error(format!("the included file `{name}`: {reason}"))
            }
            Problem::Wrong(error) => error,
        })?;
        if let Some(map) = self.scopes.last_mut() {
            map.absorb(included);
        }
        Ok(())
    }

    fn value(&mut self, place: &Place) -> Result<Value, ConfigError> {
        let starts = self.text.place();
        let Some(first) = self.text.peek() else {
            return Err(place.error("the setting has no value"));
        };
        match first {
            '\n' | '\r' | ',' | ';' | '}' | ']' => Err(place.error("the setting has no value")),
            '=' | ':' => Err(self.unexpected(first, "a value")),
            '[' | '{' if self.depth >= MAX_DEPTH => {
                Err(starts.error("maps and arrays are nested too deep"))
            }
            '[' => {
                self.text.advance();
                self.depth += 1;
                let values = self.array(&starts)?;
                self.depth -= 1;
                Ok(Value::Array(values))
            }
            '{' => {
                self.text.advance();
                self.depth += 1;
                self.scopes.push(Map::default());
                self.entries(Some(&starts))?;
                self.depth -= 1;
                Ok(Value::Map(self.scopes.pop().unwrap_or_default()))
            }
            '\'' => {
                self.text.advance();
                let text = self
                    .text
                    .raw_until('\'', "the string that starts here has no end")?;
                Ok(Value::String(text))
            }
            '"' => {
                self.text.advance();
                self.text.quoted(&starts).map(Value::String)
            }
            '(' => self.block(&starts).map(Value::String),
            _ => self.bare(&starts),
        }
    }

    fn array(&mut self, opened: &Place) -> Result<Vec<Node>, ConfigError> {
        let mut values = Vec::new();
        loop {
            self.text.skip_blank();
            match self.text.peek() {
                None => return Err(opened.error("the array that starts here has no end")),
                Some(']') => {
                    self.text.advance();
                    return Ok(values);
                }
                Some(found @ (',' | ';' | '}')) => {
                    return Err(self.unexpected(found, "a value or `]`"));
                }
                Some(_) => {}
            }
            let place = self.text.place();
            let value = self.value(&place)?;
            values.push(Node { value, place });
            self.text.skip_spaces();
            if self.text.at_comment() {
                continue;
            }
            match self.text.peek() {
                None | Some(']') => {}
                Some(',' | '\n' | '\r') => {
                    self.text.advance();
                }
                Some(found) => return Err(self.unexpected(found, "`,` or `]`")),
            }
        }
    }

    /// A string of several lines, up to a line that is `)` alone.
    fn block(&mut self, starts: &Place) -> Result<String, ConfigError> {
        self.text.advance();
        let mut length = 0;
        for line in self.text.rest.split_inclusive('\n') {
            if length > 0 && line.trim_end() == ")" {
                let text = self.text.rest.get(..length).unwrap_or_default().to_owned();
                self.text.skip(length + 1);
                return Ok(text);
            }
            length += line.len();
        }
        Err(starts.error("the block that starts here has no end: a line with `)` alone"))
    }

    /// A value without quotes.
    fn bare(&mut self, starts: &Place) -> Result<Value, ConfigError> {
        let word = self.bare_word();
        if let Some(variable) = word.strip_prefix('$') {
            // What bcrypt makes needs no quotes.
            if ["2a$", "2b$", "2y$"]
                .iter()
                .any(|kind| variable.starts_with(kind))
            {
                return Ok(Value::String(word.to_owned()));
            }
            return self.variable(variable, starts);
        }
        if word.contains('\\') {
            return escaped_word(word, starts).map(Value::String);
        }
        scalars::bare(word).map_err(|reason| starts.error(reason))
    }

    /// The value of a variable: of a setting in one of the open maps, or of the environment.
    fn variable(&mut self, name: &str, place: &Place) -> Result<Value, ConfigError> {
        for scope in self.scopes.iter_mut().rev() {
            if let Some(value) = scope.use_as_variable(name) {
                if !take(self.left, value.size()) {
                    return Err(place.error(TOO_MUCH));
                }
                return Ok(value.clone());
            }
        }
        let Ok(text) = std::env::var(name) else {
            let reason =
                format!("the variable `{name}` is set neither in the file nor in the environment");
            return Err(place.error(reason));
        };
        if self.references >= MAX_REFERENCES {
            let reason = format!("the variable `{name}` refers to others too deep, or in a circle");
            return Err(place.error(reason));
        }
        if !take(self.left, text.len()) {
            return Err(place.error(TOO_MUCH));
        }
        let text = format!("{VARIABLE}={text}");
        let file = format!("the variable {name}");
        let parsed =
            Parser::new(&text, &file, self.path, self.references + 1, self.left).document();
        let mut parsed = parsed.map_err(|_| {
            place.error(format!(
                "the value of the variable `{name}` is not understood"
            ))
        })?;
        let value = parsed.use_as_variable(VARIABLE);
        let value = value.cloned();
        value.ok_or_else(|| place.error(format!("the variable `{name}` has no value")))
    }

    fn bare_word(&mut self) -> &'a str {
        self.text
            .take_until(|c| c.is_whitespace() || matches!(c, ',' | ';' | ']' | '}'))
    }

    fn unexpected(&self, found: char, expected: &str) -> ConfigError {
        self.text
            .place()
            .error(format!("expected {expected}, but found `{found}`"))
    }
}

#[cfg(test)]
mod tests;
