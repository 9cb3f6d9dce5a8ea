//! English stems, with the recent ones remembered.

use rust_stemmers::{Algorithm, Stemmer};

use super::word::{Letters, Word};

/// How many words are remembered; each costs 32 bytes a thread.
const REMEMBERED: usize = 8192;
/// Longer words are no English; they stay as they are.
const LONGEST_STEMMED: usize = 64;

/// A stemmer that remembers. Words come back so often in film texts that nine of ten need no stemming.
pub(super) struct Stems {
    stemmer: Stemmer,
    /// Each word has one place, and the newest word takes it.
    remembered: Box<[(Word, Word)]>,
}

impl Stems {
    pub(super) fn new() -> Stems {
        Stems {
            stemmer: Stemmer::create(Algorithm::English),
            remembered: vec![(Word::GAP, Word::GAP); REMEMBERED].into_boxed_slice(),
        }
    }

    /// The stem of a normalized word, as a [`Word`].
    pub(super) fn of(&mut self, letters: &str) -> Word {
        if !letters.is_ascii() || letters.len() > LONGEST_STEMMED {
            return Word::of(letters);
        }
        Word::of(&self.stemmer.stem(letters))
    }

    /// The stem of a short normalized ASCII word; none when it is too long to be remembered.
    pub(super) fn of_short(&mut self, letters: Letters) -> Option<Word> {
        let word = letters.word()?;
        let slot = word.slot(REMEMBERED);
        match self.remembered.get(slot) {
            Some((known, stem)) if *known == word => return Some(*stem),
            _ => {}
        }
        let stem = self.of(letters.text()?);
        if let Some(place) = self.remembered.get_mut(slot) {
            *place = (word, stem);
        }
        Some(stem)
    }
}
