//! The chance in a cover: numbers that look random and are the same for the same film.
//!
//! Any change here redraws every cover, because all pictures throw the same dice in order.

use sha2::{Digest, Sha256};

/// A generator of numbers, seeded by a film's title and year.
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(title: &str, year: &str) -> Self {
        let digest = Sha256::digest(format!("{title}\n{year}").as_bytes());
        let state = digest
            .iter()
            .take(8)
            .fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        Self { state }
    }

    /// A number from `low` to `high`.
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits are what an f32 holds exactly.
        let unit = (self.next() >> 40) as f32 / (1u64 << 24) as f32;
        low + (high - low) * unit
    }

    /// A whole number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() >> 33) as usize % count.max(1)
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len());
        *choices
            .get(at)
            .expect("every list of choices in this module's parent has an entry")
    }

    /// The step of SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_film_throws_the_same_numbers_and_another_throws_others() {
        let throw = |title, year| {
            let mut dice = Dice::new(title, year);
            [
                dice.range(0.0, 1.0),
                dice.range(-5.0, 5.0),
                dice.below(1000) as f32,
            ]
        };
        assert_eq!(throw("Alien", "1979"), throw("Alien", "1979"));
        assert_ne!(throw("Alien", "1979"), throw("Alien", "1980"));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut dice = Dice::new("", "");
        for _ in 0..1000 {
            assert!((3.0..=4.0).contains(&dice.range(3.0, 4.0)));
            assert!(dice.below(7) < 7);
        }
        assert_eq!(dice.below(0), 0);
    }
}
