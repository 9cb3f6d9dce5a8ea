//! A film as the matcher sees it, and the definition of a match.

use super::keyword::Keyword;
use super::word::Word;
use super::words::append_words;

/// The texts of a film that preferences are matched against.
#[derive(Clone, Copy, Debug)]
pub struct FilmText<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its description.
    pub description: &'a str,
    /// Its genre, or several.
    pub genre: &'a str,
    /// Keywords sent by old catalogs; each may be a phrase, and punctuation may cling to it.
    pub keywords: &'a [String],
}

/// A film cut into normalized words, with a gap between fields so that no phrase reaches from one into the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilmWords {
    words: Vec<Word>,
}

impl FilmWords {
    /// Cuts a film's texts into words.
    pub fn of(film: &FilmText<'_>) -> FilmWords {
        let bytes = film.title.len() + film.description.len() + film.genre.len();
        let mut words = Vec::with_capacity(bytes / 5 + 8);
        for text in [film.title, film.description, film.genre]
            .into_iter()
            .chain(film.keywords.iter().map(String::as_str))
        {
            append_words(text, &mut words);
            if words.last().is_some_and(|last| *last != Word::GAP) {
                words.push(Word::GAP);
            }
        }
        FilmWords { words }
    }

    /// The words in order, with [`Word::GAP`] after each field.
    pub fn words(&self) -> &[Word] {
        &self.words
    }
}

/// Whether a film has the words of a keyword in a row, within one field.
pub fn matches(film: &FilmWords, keyword: &Keyword) -> bool {
    film.words
        .windows(keyword.words().len())
        .any(|row| row == keyword.words())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(title: &str, description: &str, genre: &str, keywords: &[&str]) -> FilmWords {
        let keywords: Vec<String> = keywords.iter().map(ToString::to_string).collect();
        FilmWords::of(&FilmText {
            title,
            description,
            genre,
            keywords: &keywords,
        })
    }

    fn met(film: &FilmWords, keyword: &str) -> bool {
        matches(film, &Keyword::parse(keyword).unwrap())
    }

    #[test]
    fn a_phrase_is_its_words_in_a_row() {
        let film = film(
            "Alien",
            "A science-fiction horror film about a fiction of science.",
            "Horror",
            &[],
        );
        for keyword in [
            "science fiction",
            "Science-Fiction",
            "horror films",
            "fiction",
            "alien",
            "about a fiction of",
        ] {
            assert!(met(&film, keyword), "{keyword}");
        }
        for keyword in [
            "science horror",
            "fiction science",
            "science fiction science",
            "horror alien",
            "aliens ate",
        ] {
            assert!(!met(&film, keyword), "{keyword}");
        }
    }

    #[test]
    fn no_phrase_reaches_over_a_field() {
        let film = film(
            "Blue",
            "Velvet night",
            "Drama",
            &["crime", "story, told", "noir"],
        );
        for keyword in [
            "blue",
            "velvet night",
            "drama",
            "crime",
            "story told",
            "noir",
        ] {
            assert!(met(&film, keyword), "{keyword}");
        }
        for keyword in [
            "blue velvet",
            "night drama",
            "drama crime",
            "crime story",
            "told noir",
        ] {
            assert!(!met(&film, keyword), "{keyword}");
        }
    }

    #[test]
    fn dirty_keywords_of_old_catalogs_are_cleaned() {
        let film = film(
            "",
            "",
            "",
            &["action,", "(robots)", "--", "heist.", "ocean's"],
        );
        for keyword in ["action", "robot", "heists", "Ocean"] {
            assert!(met(&film, keyword), "{keyword}");
        }
        assert!(!met(&film, "action robot"));
    }

    #[test]
    fn an_empty_film_meets_nothing() {
        assert!(!met(&film("", " ", "…", &[]), "a"));
        assert!(!met(&FilmWords::default(), "a b"));
    }
}
