//! Films and keywords of a small vocabulary, and what matches by comparing words: the test's own
//! idea of a match, which owes nothing to the matcher that it checks.

use proto::recommendations::Movie;
use rand::{Rng, RngExt, seq::IndexedRandom};

/// No two of these are alike by stem, case or diacritics.
const WORDS: [&str; 10] = [
    "heist", "robot", "paris", "train", "storm", "winter", "castle", "diamond", "jungle", "pirate",
];
const PHRASES: [&str; 4] = [
    "robot heist",
    "winter castle",
    "pirate storm",
    "jungle train paris",
];
/// Every film has it: a user who follows it is recommended every film.
const EVERYWHERE: &str = "film";

/// Few films have it: keywords that a crowd of users follows and no other user.
pub(super) const CROWD_PULLER: &str = "comet";

/// What is said of a film; no two states of a film and no two films are alike.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Film {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) genre: String,
}

impl Film {
    /// A film whose title ends with `name`, which identifies it; `number` is this state's own.
    pub(super) fn draw(random: &mut impl Rng, name: &str, number: usize) -> Self {
        Self {
            title: format!("{} {name}", sentence(random, 2)),
            description: format!("A {EVERYWHERE}: {}, cut {number}.", sentence(random, 4)),
            genre: sentence(random, 1),
        }
    }

    /// The name in the title of a film, as [`Self::draw`] put it there.
    pub(super) fn name(title: &str) -> &str {
        title.rsplit(' ').next().unwrap_or_default()
    }

    /// Whether the words of the keyword stand in a row in one of the texts.
    pub(super) fn matches(&self, keyword: &str) -> bool {
        let sought: Vec<&str> = keyword.split(' ').collect();
        [&self.title, &self.description, &self.genre]
            .into_iter()
            .any(|text| {
                let words: Vec<&str> = text.split([' ', ',', '.', ':']).collect();
                words.windows(sought.len()).any(|row| row == sought)
            })
    }
}

impl From<&Movie> for Film {
    fn from(movie: &Movie) -> Self {
        Self {
            title: movie.title.clone(),
            description: movie.description.clone(),
            genre: movie.genre.clone(),
        }
    }
}

/// Something to follow; now and then what everything matches.
pub(super) fn draw_keyword(random: &mut impl Rng) -> &'static str {
    match random.random_range(0..40) {
        0 => EVERYWHERE,
        1..12 => pick(random, &PHRASES),
        _ => pick(random, &WORDS),
    }
}

/// Up to `most` words or phrases, perhaps with something between them.
fn sentence(random: &mut impl Rng, most: usize) -> String {
    let mut words = vec!["The"];
    for _ in 0..random.random_range(0..=most) {
        if random.random_bool(0.3) {
            words.push("and");
        }
        words.push(match random.random_range(0..400) {
            0 => CROWD_PULLER,
            1..80 => pick(random, &PHRASES),
            _ => pick(random, &WORDS),
        });
    }
    words.join(" ")
}

fn pick(random: &mut impl Rng, choice: &[&'static str]) -> &'static str {
    choice.choose(random).copied().expect("there is a choice")
}
