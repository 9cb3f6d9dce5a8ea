//! Which family of pictures a genre belongs to.
//!
//! A film's genre is free text, most often a list. The first entry that has a family decides, but
//! "Drama" decides only if no other entry does, because it says nothing about the look of a film.

use proto::text::fold;

/// A family of covers: films that tell the same kind of story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    Antiquity,
    Historical,
    Biography,
    Comedy,
    Silent,
    Drama,
    /// No genre, or one that is not in the table.
    Neutral,
}

impl Family {
    #[cfg(test)]
    pub(super) const ALL: [Self; 21] = [
        Self::Space,
        Self::Fantasy,
        Self::Horror,
        Self::Western,
        Self::Musical,
        Self::Animated,
        Self::Romance,
        Self::Crime,
        Self::Mystery,
        Self::Thriller,
        Self::War,
        Self::Action,
        Self::Adventure,
        Self::Documentary,
        Self::Antiquity,
        Self::Historical,
        Self::Biography,
        Self::Comedy,
        Self::Silent,
        Self::Drama,
        Self::Neutral,
    ];
}

/// The beginnings of words that tell the family of one entry of the list. A final space stands for
/// the end of the word. Within an entry ("action comedy") the earlier row decides.
const WORDS: &[(&[&str], Family)] = &[
    (&["live action", "soap opera"], Family::Neutral),
    (
        &[
            "science fiction",
            "sci fi",
            "scifi",
            "space",
            "cyberpunk",
            "dystop",
        ],
        Family::Space,
    ),
    (
        &[
            "horror",
            "slasher",
            "supernatural",
            "found footage",
            "vampire",
            "zombie",
            "ghost",
            "monster",
        ],
        Family::Horror,
    ),
    (&["western"], Family::Western),
    (
        &["music", "dance", "opera", "concert", "ballet"],
        Family::Musical,
    ),
    (
        &["anim", "cartoon", "family", "child", "kids"],
        Family::Animated,
    ),
    (
        &[
            "antiquity",
            "ancient",
            "peplum",
            "sword and sandal",
            "mytholog",
            "biblical",
        ],
        Family::Antiquity,
    ),
    (&["documentar", "docu", "mockumentar"], Family::Documentary),
    (
        &["noir ", "neo noir", "crim", "gangster", "heist", "mafia"],
        Family::Crime,
    ),
    (
        &["romance", "romantic", "rom com", "romcom", "erotic"],
        Family::Romance,
    ),
    (&["myster", "detective", "whodunit"], Family::Mystery),
    (&["war "], Family::War),
    (&["fantas", "fairy", "magic"], Family::Fantasy),
    (
        &[
            "superhero",
            "super hero",
            "spy ",
            "espionage",
            "disaster",
            "catastrophe",
            "martial",
            "kung fu",
        ],
        Family::Action,
    ),
    (&["adventure", "swashbuckl"], Family::Adventure),
    (&["biograph", "biopic"], Family::Biography),
    (&["histor", "period", "costume"], Family::Historical),
    (&["thriller", "suspense"], Family::Thriller),
    (&["action", "sport", "samurai"], Family::Action),
    (
        &[
            "comed",
            "comic",
            "satir",
            "parod",
            "spoof",
            "farce",
            "slapstick",
            "screwball",
        ],
        Family::Comedy,
    ),
    (&["silent"], Family::Silent),
    (&["drama", "melodrama", "political", "legal"], Family::Drama),
];

impl Family {
    /// The family of a genre as it was typed: a list, one entry, or nothing.
    pub(super) fn of(genre: &str) -> Self {
        let genre = fold(genre).replace(['-', '_'], " ");
        let mut family = Self::Neutral;
        for entry in genre.split([',', ';', '/', '|', '&', '+', '·']) {
            match Self::of_entry(entry) {
                Self::Neutral => {}
                Self::Drama => family = Self::Drama,
                telling => return telling,
            }
        }
        family
    }

    fn of_entry(entry: &str) -> Self {
        let words: Vec<&str> = entry.split_whitespace().collect();
        // Spaces at both ends, so that " war " is found as a word of its own everywhere.
        let entry = format!(" {} ", words.join(" "));
        let tells =
            |(beginnings, _): &&(&[&str], Self)| beginnings.iter().any(|b| begins(&entry, b));
        WORDS
            .iter()
            .find(tells)
            .map_or(Self::Neutral, |(_, family)| *family)
    }
}

/// Whether a word of `entry`, which begins with a space, begins like this.
fn begins(entry: &str, beginning: &str) -> bool {
    entry
        .match_indices(beginning)
        .any(|(at, _)| entry.get(..at).is_some_and(|before| before.ends_with(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_genre_has_the_family_that_its_films_look_like() {
        for (genre, family) in [
            ("Superhero", Family::Action),
            ("Spy", Family::Action),
            ("Disaster", Family::Action),
            ("Martial Arts", Family::Action),
            ("Sports", Family::Action),
            ("Action", Family::Action),
            ("Satire", Family::Comedy),
            ("Comedy", Family::Comedy),
            ("Science Fiction", Family::Space),
            ("sci-fi", Family::Space),
            ("Horror", Family::Horror),
            ("Slasher", Family::Horror),
            ("Supernatural", Family::Horror),
            ("Found Footage", Family::Horror),
            ("Western", Family::Western),
            ("Musical", Family::Musical),
            ("Dance", Family::Musical),
            ("Animated", Family::Animated),
            ("Animation", Family::Animated),
            ("Family", Family::Animated),
            ("Noir", Family::Crime),
            ("Crime", Family::Crime),
            ("Romance", Family::Romance),
            ("Romantic comedy", Family::Romance),
            ("Mystery", Family::Mystery),
            ("War", Family::War),
            ("Fantasy", Family::Fantasy),
            ("Adventure", Family::Adventure),
            ("Documentary", Family::Documentary),
            ("Peplum", Family::Antiquity),
            ("Sword-and-sandal", Family::Antiquity),
            ("Historical", Family::Historical),
            ("Biography", Family::Biography),
            ("Thriller", Family::Thriller),
            ("Suspense", Family::Thriller),
            ("Silent", Family::Silent),
            ("Drama", Family::Drama),
            ("Political", Family::Drama),
        ] {
            assert_eq!(Family::of(genre), family, "{genre}");
            assert_eq!(Family::of(&genre.to_uppercase()), family, "{genre}");
        }
    }

    #[test]
    fn a_film_without_a_known_genre_is_neutral() {
        for genre in [
            "",
            " , ",
            "Short",
            "Independent",
            "Live Action",
            "Kitchen sink",
            "Драма",
        ] {
            assert_eq!(Family::of(genre), Family::Neutral, "{genre}");
        }
    }

    #[test]
    fn the_first_genre_weighs_most_and_drama_least() {
        for (genre, family) in [
            ("Horror, Science Fiction", Family::Horror),
            ("Science Fiction, Horror", Family::Space),
            ("Comedy / Romance", Family::Comedy),
            ("Comedy, Western", Family::Comedy),
            ("Biography, War", Family::Biography),
            ("Comedy, Silent", Family::Comedy),
            ("Drama, Silent", Family::Silent),
            ("Drama, Horror", Family::Horror),
            ("Short, Comedy", Family::Comedy),
            ("Kitchen sink, Drama", Family::Drama),
        ] {
            assert_eq!(Family::of(genre), family, "{genre}");
        }
    }

    #[test]
    fn a_genre_is_found_as_a_word_not_within_one() {
        for genre in ["Heartwarming", "Warm", "Transport", "Abracadabra"] {
            assert_eq!(Family::of(genre), Family::Neutral, "{genre}");
        }
        assert_eq!(Family::of("Live Action, War film"), Family::War);
    }
}
