//! The genres that a film's `genre` names. The catalog lists films by them, and the pages compare them by the same rules.

use std::collections::BTreeSet;

use crate::text::fold;

/// What stands between the genres of a text.
const SEPARATORS: [char; 8] = [',', ';', '/', '|', '，', '、', '،', '；'];
/// How many genres of a text count. One of 100 characters cannot have more.
const MAX_GENRES: usize = 50;
/// How many characters of a folded genre count: folding makes three of one at most.
const MAX_FOLDED_CHARS: usize = 300;

/// One genre of a text such as `Drama, Crime`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genre<'a> {
    /// As it is written.
    pub written: &'a str,
    /// As it is compared: equal, byte by byte, for all spellings of the genre.
    pub folded: String,
}

/// Returns the genres of a text, in their order. One that is there twice counts once.
pub fn genres(text: &str) -> Vec<Genre<'_>> {
    let mut genres: Vec<Genre<'_>> = Vec::new();
    for entry in text.split(SEPARATORS) {
        let folded: String = fold(entry).chars().take(MAX_FOLDED_CHARS).collect();
        if !folded.is_empty() && !genres.iter().any(|known| known.folded == folded) {
            let written = entry.trim();
            genres.push(Genre { written, folded });
        }
        if genres.len() == MAX_GENRES {
            break;
        }
    }
    genres
}

/// The genres that a text names, folded: equal for two texts that name the same, in whatever spelling and
/// order.
pub fn folded_genres(text: &str) -> BTreeSet<String> {
    genres(text).into_iter().map(|genre| genre.folded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_genre_text_is_a_list() {
        fn of(text: &str) -> Vec<String> {
            genres(text).into_iter().map(|genre| genre.folded).collect()
        }
        assert_eq!(of("Drama, Science  Fiction"), ["drama", "science fiction"]);
        assert_eq!(of("Драма|ДЕТСКИЙ; Драма"), ["драма", "детский"]);
        assert_eq!(
            of("Sci-Fi/Horror，恐怖、喜剧"),
            ["sci-fi", "horror", "恐怖", "喜剧"]
        );
        assert_eq!(of(" ,, \u{200b}, /"), [""; 0]);
        assert_eq!(genres("Film Noir,film noir")[0].written, "Film Noir");
        assert_eq!(of(&"a b c,".repeat(2)).len(), 1);
        let many: String = (0..200).map(|i| format!("{i},")).collect();
        assert_eq!(of(&many).len(), MAX_GENRES);
        assert_eq!(of(&"ΐ".repeat(1_000))[0].chars().count(), MAX_FOLDED_CHARS);
    }

    #[test]
    fn texts_are_equal_when_their_genres_are() {
        for (one, other) in [
            ("Драма", "ДРАМА"),
            ("Straße", "STRASSE"),
            ("Drama, Crime", "crime ; DRAMA,"),
            ("", " , "),
        ] {
            assert_eq!(folded_genres(one), folded_genres(other), "{one} {other}");
        }
        for (one, other) in [("Драма", ""), ("Drama", "Drama, Crime"), ("мой", "мои")] {
            assert_ne!(folded_genres(one), folded_genres(other), "{one} {other}");
        }
    }
}
