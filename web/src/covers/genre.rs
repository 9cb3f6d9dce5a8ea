//! Which family of pictures a genre belongs to.

/// A family of covers: films that tell the same kind of story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Space,
    Fantasy,
    Horror,
    Western,
    Musical,
    Animated,
    Romance,
    Crime,
    Mystery,
    Thriller,
    War,
    Action,
    Adventure,
    Documentary,
    Historical,
    Comedy,
    Silent,
    Drama,
}

/// What is written in a genre, lower-cased, and the family it speaks for. The more a word says
/// about the look of a film, the earlier it stands: the first one found decides.
const WORDS: &[(&str, Family)] = &[
    ("science fiction", Family::Space),
    ("sci-fi", Family::Space),
    ("scifi", Family::Space),
    ("horror", Family::Horror),
    ("slasher", Family::Horror),
    ("supernatural", Family::Horror),
    ("western", Family::Western),
    ("musical", Family::Musical),
    ("music", Family::Musical),
    ("dance", Family::Musical),
    ("animat", Family::Animated),
    ("family", Family::Animated),
    ("children", Family::Animated),
    ("noir", Family::Crime),
    ("crime", Family::Crime),
    ("romance", Family::Romance),
    ("romantic", Family::Romance),
    ("mystery", Family::Mystery),
    ("war", Family::War),
    ("fantasy", Family::Fantasy),
    ("adventure", Family::Adventure),
    ("documentary", Family::Documentary),
    ("biograph", Family::Historical),
    ("histor", Family::Historical),
    ("thriller", Family::Thriller),
    ("suspense", Family::Thriller),
    ("action", Family::Action),
    ("sport", Family::Action),
    ("martial", Family::Action),
    ("comedy", Family::Comedy),
    ("slapstick", Family::Comedy),
    ("silent", Family::Silent),
];

impl Family {
    /// The family of a genre as it was typed: several words, any case, or nothing.
    pub(super) fn of(genre: &str) -> Self {
        let genre = genre.to_lowercase();
        WORDS
            .iter()
            .find(|(word, _)| genre.contains(word))
            .map_or(Self::Drama, |(_, family)| *family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_telling_word_decides() {
        for (genre, family) in [
            ("Drama, Horror", Family::Horror),
            ("SCIENCE FICTION, Horror", Family::Space),
            ("Comedy / Romance", Family::Romance),
            ("sci-fi", Family::Space),
            ("Animation", Family::Animated),
            ("Drama", Family::Drama),
            ("Kitchen sink", Family::Drama),
            ("", Family::Drama),
        ] {
            assert_eq!(Family::of(genre), family, "{genre}");
        }
    }
}
