//! The facts of a film as a user gives them, and the rules that they keep.
//!
//! [`FilmDraft::parse`] is the only way to a [`FilmDraft`], so whatever is written has passed it.
//! A rating of 0 is a rating; only an empty field is none.

use std::fmt;

use super::{ExternalId, Film, external_ids, text::shows};

/// The longest title, in characters.
pub(super) const MAX_TITLE_CHARS: usize = 255;
/// The longest description, in bytes.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 60_000;
/// The longest genre, in characters.
pub const MAX_GENRE_CHARS: usize = 100;
/// The years in which a film can have come out. The first is that of Muybridge's galloping horse.
pub(super) const YEARS: std::ops::RangeInclusive<u16> = 1878..=2100;

/// The facts of a film as they were typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the form's fields say it all")]
pub struct FilmFields {
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: String,
    pub release_year: String,
    /// Source and value of each id elsewhere; none leaves those that the film has.
    pub external_ids: Option<Vec<(String, String)>>,
}

/// The facts of a film, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmDraft {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) genre: String,
    pub(super) rating: Option<f32>,
    pub(super) release_year: String,
    /// None if the film keeps those that it has.
    pub(super) external_ids: Option<Vec<ExternalId>>,
}

/// Why a field is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name in [`FilmFields`] and in the form.
    pub field: &'static str,
    /// A sentence that says what is accepted.
    pub message: String,
}

/// Why [`FilmFields`] are refused: one error for each bad field, in the form's order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// What is wrong with that field.
    pub fn get(&self, field: &str) -> Option<&str> {
        let error = self.0.iter().find(|error| error.field == field)?;
        Some(&error.message)
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}: {}", error.field, error.message)?;
        }
        Ok(())
    }
}

impl FilmDraft {
    /// Checks what was typed. White space around a field does not count, control characters are
    /// dropped, and a text of which no character shows is empty.
    ///
    /// # Errors
    ///
    /// One for each field that is refused.
    pub fn parse(fields: &FilmFields) -> Result<Self, FieldErrors> {
        let mut errors = Vec::new();
        let mut check = |field, result: Result<(), String>| {
            if let Err(message) = result {
                errors.push(FieldError { field, message });
            }
        };
        let title = line(&fields.title);
        check("title", title_fits(&title));
        let description = text(&fields.description);
        check("description", description_fits(&description));
        let genre = line(&fields.genre);
        check("genre", genre_fits(&genre));
        let rating = parse_rating(line(&fields.rating).as_str());
        check("rating", rating.as_ref().map(|_| ()).map_err(Clone::clone));
        let release_year = line(&fields.release_year);
        check("release_year", year_fits(&release_year));
        let ids = fields.external_ids.as_deref().map(external_ids::parse_all);
        let ids = ids.transpose();
        check(
            "external_ids",
            ids.as_ref().map(|_| ()).map_err(Clone::clone),
        );
        if !errors.is_empty() {
            return Err(FieldErrors(errors));
        }
        let rating = rating.unwrap_or_default();
        Ok(Self {
            title,
            description,
            genre,
            rating,
            release_year,
            external_ids: ids.unwrap_or_default(),
        })
    }

    /// The title, never empty.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The release year, four digits or empty.
    pub fn release_year(&self) -> &str {
        &self.release_year
    }

    /// The ids elsewhere that the film is to have, if it is not to keep its own.
    pub fn external_ids(&self) -> Option<&[ExternalId]> {
        self.external_ids.as_deref()
    }

    /// Whether the film has these facts already.
    pub fn describes(&self, film: &Film) -> bool {
        self.title == film.title
            && self.description == film.description
            && self.genre == film.genre
            && self.rating == film.rating
            && self.release_year == film.release_year
            && self
                .external_ids
                .as_ref()
                .is_none_or(|ids| *ids == film.external_ids)
    }
}

/// One line of text: white space of any kind becomes a single space.
fn line(typed: &str) -> String {
    let words: Vec<String> = typed
        .split_whitespace()
        .map(|word| word.chars().filter(|c| !c.is_control()).collect())
        .filter(|word: &String| !word.is_empty())
        .collect();
    only_if_it_shows(words.join(" "))
}

/// Several lines of text; browsers send them with `\r\n` between.
fn text(typed: &str) -> String {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let typed = typed.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = typed.chars().filter(shown).collect();
    only_if_it_shows(kept.trim().to_owned())
}

fn only_if_it_shows(text: String) -> String {
    if shows(&text) { text } else { String::new() }
}

fn title_fits(title: &str) -> Result<(), String> {
    if title.is_empty() {
        return Err("Give the film a title.".into());
    }
    at_most(title, MAX_TITLE_CHARS, "A title")
}

fn genre_fits(genre: &str) -> Result<(), String> {
    at_most(genre, MAX_GENRE_CHARS, "A genre")
}

fn at_most(text: &str, limit: usize, what: &str) -> Result<(), String> {
    let chars = text.chars().count();
    if chars > limit {
        return Err(format!(
            "{what} has up to {limit} characters; this one has {chars}."
        ));
    }
    Ok(())
}

fn description_fits(description: &str) -> Result<(), String> {
    let bytes = description.len();
    if bytes > MAX_DESCRIPTION_BYTES {
        return Err(format!(
            "A description has up to {MAX_DESCRIPTION_BYTES} bytes; this one has {bytes}."
        ));
    }
    Ok(())
}

/// Reads a rating with a decimal point or, as much of the world writes it, a comma.
fn parse_rating(typed: &str) -> Result<Option<f32>, String> {
    if typed.is_empty() {
        return Ok(None);
    }
    let number = typed.replacen(',', ".", 1);
    // Rust reads more than people mean: `inf`, `nan`, `1e1`.
    let plain = number.len() <= 20 && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    match number.parse::<f32>() {
        Ok(rating) if plain && (0.0..=10.0).contains(&rating) => Ok(Some(rating)),
        _ => Err("A rating is a number from 0 to 10, such as 7.5, or nothing.".into()),
    }
}

fn year_fits(year: &str) -> Result<(), String> {
    let digits = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let known = year.parse().is_ok_and(|year: u16| YEARS.contains(&year));
    if year.is_empty() || (digits && known) {
        return Ok(());
    }
    let (first, last) = (YEARS.start(), YEARS.end());
    Err(format!(
        "A year is four digits from {first} to {last}, or nothing."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(title: &str) -> FilmFields {
        FilmFields {
            title: title.into(),
            ..FilmFields::default()
        }
    }

    #[test]
    fn what_is_typed_is_trimmed_and_cleaned() {
        let draft = FilmDraft::parse(&FilmFields {
            title: "  The\tThing\u{0} \u{7} ".into(),
            description: "\r\nIce.\r\nMore\u{1b} ice.\n ".into(),
            genre: " Horror,  Mystery ".into(),
            rating: " 8,2 ".into(),
            release_year: " 1982 ".into(),
            external_ids: None,
        })
        .unwrap();
        assert_eq!(draft.title, "The Thing");
        assert_eq!(draft.description, "Ice.\nMore ice.");
        assert_eq!(draft.genre, "Horror, Mystery");
        assert_eq!(draft.rating, Some(8.2));
        assert_eq!(draft.release_year, "1982");
    }

    #[test]
    fn everything_but_the_title_may_be_left_out() {
        let draft = FilmDraft::parse(&fields("M")).unwrap();
        assert_eq!((draft.rating, draft.genre.as_str()), (None, ""));
        let unseen = FilmFields {
            description: "\u{200b}\n\u{2060}".into(),
            genre: "\u{3164}".into(),
            ..fields("M")
        };
        assert_eq!(FilmDraft::parse(&unseen).unwrap(), draft);
        for title in [
            "",
            " \t\n",
            "\u{0}",
            "\u{200b}",
            "\u{2060} \u{feff}",
            "\u{301}",
            "\u{2800}",
        ] {
            let errors = FilmDraft::parse(&fields(title)).unwrap_err();
            assert_eq!(
                errors.get("title"),
                Some("Give the film a title."),
                "{title:?}"
            );
        }
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(FilmDraft::parse(&fields(&"é".repeat(255))).is_ok());
        assert!(FilmDraft::parse(&fields(&"é".repeat(256))).is_err());
        let long = FilmFields {
            description: "x".repeat(60_001),
            genre: "g".repeat(101),
            ..fields("M")
        };
        let errors = FilmDraft::parse(&long).unwrap_err();
        assert_eq!(
            errors.0.iter().map(|e| e.field).collect::<Vec<_>>(),
            ["description", "genre"]
        );
    }

    #[test]
    fn ratings_are_plain_numbers_from_0_to_10() {
        for (typed, rating) in [
            ("0", 0.0),
            ("10", 10.0),
            ("7.5", 7.5),
            ("7,5", 7.5),
            (".5", 0.5),
            ("010", 10.0),
        ] {
            assert_eq!(parse_rating(typed), Ok(Some(rating)), "{typed}");
        }
        for typed in [
            "-1", "10.1", "11", "NaN", "inf", "1e1", "five", "1.2.3", "1,2,3", "+5", ".",
        ] {
            assert!(parse_rating(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn years_are_four_digits_of_the_age_of_film() {
        for year in ["", "1878", "2100"] {
            assert!(year_fits(year).is_ok(), "{year}");
        }
        for year in [
            "1877", "2101", "999", "20245", "+199", "١٩٩٩", "19 9", "abcd",
        ] {
            assert!(year_fits(year).is_err(), "{year}");
        }
    }
}
