//! One folded word as a value of 16 bytes, compared and hashed at the same cost whatever its length.
//!
//! Words of more than 15 bytes are held as a hash, so their letters cannot be read back.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// The longest word that is held as its own letters.
const INLINE: usize = 15;
/// What the last byte says of a word that is too long to be held as its letters.
const HASHED: u8 = u8::MAX;

/// A folded word: its bytes when they are at most 15, else a 120-bit hash of them.
///
/// Comparing, hashing and storing a word costs the same for every word, and no index needs to keep letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    low: u64,
    high: u64,
}

impl Word {
    /// Stands between two fields of a film; equal to no word.
    pub const GAP: Word = Word { low: 0, high: 0 };

    /// The word "and", which `&` and `+` are read as.
    pub(super) const AND: Word = Word {
        low: u32::from_le_bytes(*b"and\0") as u64,
        high: 3 << 56,
    };

    /// The word with these folded letters.
    pub fn of(letters: &str) -> Word {
        let mut inline = Letters::default();
        letters.bytes().for_each(|byte| inline.push(byte));
        match inline.word() {
            Some(word) => word,
            None => Word::hashed(letters.as_bytes()),
        }
    }

    fn hashed(letters: &[u8]) -> Word {
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(letters);
            hasher.finish()
        };
        let mut high = hash(1).to_le_bytes();
        high[7] = HASHED;
        Word {
            low: hash(0),
            high: u64::from_le_bytes(high),
        }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [low, high] = [self.low.to_le_bytes(), self.high.to_le_bytes()];
        let length = usize::from(high[7]);
        match low
            .iter()
            .chain(&high)
            .copied()
            .take(length)
            .collect::<Vec<u8>>()
        {
            letters if length <= INLINE => f.write_str(&String::from_utf8_lossy(&letters)),
            _ => write!(f, "#{:016x}{:016x}", self.low, self.high),
        }
    }
}

/// Letters of a word as they are collected, byte by byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Letters {
    bytes: [u8; INLINE + 1],
    length: usize,
}

impl Letters {
    /// Adds a byte; past 15 bytes only their number is kept.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn is_one(&self) -> bool {
        self.length == 1
    }

    /// The letters as text, when they are at most 15 bytes of UTF-8.
    pub(super) fn text(&self) -> Option<&str> {
        let bytes = if self.length <= INLINE {
            self.bytes.get(..self.length)?
        } else {
            return None;
        };
        std::str::from_utf8(bytes).ok()
    }

    /// The word of exactly these letters, when they are at most 15 bytes.
    pub(super) fn word(mut self) -> Option<Word> {
        let length = u8::try_from(self.length)
            .ok()
            .filter(|&length| usize::from(length) <= INLINE)?;
        self.bytes[INLINE] = length;
        let number = u128::from_le_bytes(self.bytes);
        Some(Word {
            low: number as u64,
            high: (number >> 64) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_equal_when_their_letters_are() {
        let long = "a".repeat(15);
        let longer = "a".repeat(16);
        let words = [
            "a",
            "b",
            "aa",
            "ab",
            "robot",
            &long,
            &longer,
            "supercalifragilistic",
            "электрификация",
        ];
        for (i, one) in words.iter().enumerate() {
            for (j, other) in words.iter().enumerate() {
                assert_eq!(
                    Word::of(one) == Word::of(other),
                    i == j,
                    "{one} and {other}"
                );
            }
            assert_ne!(Word::of(one), Word::GAP);
        }
        assert_eq!(Word::of("and"), Word::AND);
    }

    #[test]
    fn short_words_show_their_letters() {
        assert_eq!(format!("{:?}", Word::of("heist")), "heist");
        assert!(format!("{:?}", Word::of("supercalifragilistic")).starts_with('#'));
    }
}
