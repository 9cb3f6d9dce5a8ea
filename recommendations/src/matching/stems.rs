//! English stems, with the recent ones remembered.

use rust_stemmers::{Algorithm, Stemmer};

use super::word::{Letters, Word};

/// Two words are remembered at each place; a word costs 32 bytes a thread.
const PLACES: usize = 8192;
/// Longer words are no English; they stay as they are.
const LONGEST_STEMMED: usize = 64;

/// A stemmer that remembers. Words come back so often in film texts that nine of ten need no stemming.
pub(super) struct Stems {
    stemmer: Stemmer,
    /// At each place the two words that were last met there with their stems, the later one first.
    remembered: Box<[[(Word, Word); 2]]>,
}

impl Stems {
    pub(super) fn new() -> Stems {
        Stems {
            stemmer: Stemmer::create(Algorithm::English),
            remembered: vec![[(Word::GAP, Word::GAP); 2]; PLACES].into_boxed_slice(),
        }
    }

    /// The stem of a normalized word, as a [`Word`].
    pub(super) fn of(&self, letters: &str) -> Word {
        stem(&self.stemmer, letters)
    }

    /// The stem of a short normalized ASCII word; none when it is too long to be remembered.
    pub(super) fn of_short(&mut self, letters: Letters) -> Option<Word> {
        let word = letters.word()?;
        let [later, earlier] = self.remembered.get_mut(word.slot(PLACES))?;
        if later.0 != word {
            if earlier.0 != word {
                *earlier = (word, stem(&self.stemmer, letters.text()?));
            }
            std::mem::swap(later, earlier);
        }
        Some(later.1)
    }
}

fn stem(stemmer: &Stemmer, letters: &str) -> Word {
    if !letters.is_ascii() || letters.len() > LONGEST_STEMMED {
        return Word::of(letters);
    }
    Word::of(&stemmer.stem(letters))
}
