//! Words that are in use, numbered from 0.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::word::Word;

/// Gives each word that is in use a small number, and a freed number to the next new word.
#[derive(Default)]
pub(super) struct Terms {
    numbers: HashMap<Word, u32, RandomState>,
    /// Each word by its number, and how often it is used.
    words: Vec<(Word, u32)>,
    free: Vec<u32>,
}

impl Terms {
    /// The number of a word that is in use.
    pub(super) fn find(&self, word: &Word) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// The number of a word, used once more from now on.
    pub(super) fn acquire(&mut self, word: Word) -> u32 {
        let next = self.free.last().copied().unwrap_or(self.words.len() as u32);
        let number = *self.numbers.entry(word).or_insert(next);
        match self.words.get_mut(number as usize) {
            Some((_, uses)) if *uses > 0 => *uses += 1,
            Some(freed) => {
                *freed = (word, 1);
                self.free.pop();
            }
            None => self.words.push((word, 1)),
        }
        number
    }

    /// Ends one use of the word with this number, which is free after the last.
    pub(super) fn release(&mut self, number: u32) {
        let Some((word, uses)) = self.words.get_mut(number as usize) else {
            return;
        };
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(word);
            self.free.push(number);
        }
    }

    /// How many numbers were ever given; every number is smaller.
    pub(super) fn end(&self) -> usize {
        self.words.len()
    }

    /// Memory held, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.numbers.capacity() * (size_of::<(Word, u32)>() + 1) * 8 / 7
            + self.words.capacity() * size_of::<(Word, u32)>()
            + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_after_its_last_use() {
        let (heist, robot, noir) = (Word::of("heist"), Word::of("robot"), Word::of("noir"));
        let mut terms = Terms::default();
        assert_eq!(
            [
                terms.acquire(heist),
                terms.acquire(robot),
                terms.acquire(heist)
            ],
            [0, 1, 0]
        );
        terms.release(0);
        assert_eq!(terms.find(&heist), Some(0));
        terms.release(0);
        assert_eq!(terms.find(&heist), None);
        assert_eq!(terms.acquire(robot), 1);
        assert_eq!(terms.acquire(noir), 0);
        assert_eq!(terms.acquire(heist), 2);
        assert_eq!(terms.end(), 3);
    }
}
