//! The union of many sets of users.
//!
//! Users are marked in a row of bits where ids lie close together, and sorted where they do not.

use proto::UserId;

use super::id_set::IdSet;

/// A bit per possible user is worth it up to this many bits a member; past that the members are sorted.
const BITS_PER_MEMBER: usize = 1024;

/// How many users of 64 are written without asking whether there are as many.
const AT_ONCE: usize = 2;

/// The number of a user in sets: numbers are in the order of the users' ids, of which older deployments may have given
/// negative ones.
pub(super) fn number(user: UserId) -> u32 {
    user.0.cast_unsigned() ^ (1 << 31)
}

/// The user of a number.
fn user(number: u32) -> UserId {
    UserId((number ^ (1 << 31)).cast_signed())
}

/// Puts sets of users together; the memory for it is kept between films.
#[derive(Default)]
pub(super) struct MatchedUsers {
    /// A bit for each user of a range of ids.
    bits: Vec<u64>,
    /// The members, and behind them what is of no use any more.
    list: Vec<u32>,
}

impl MatchedUsers {
    /// The union of sets of [numbers](number), as users in order, each once.
    pub(super) fn union<'a>(
        &mut self,
        sets: impl Iterator<Item = &'a IdSet> + Clone,
    ) -> Vec<UserId> {
        let numbers = match Range::of(sets.clone()) {
            Some(range) => {
                self.mark(sets, &range);
                self.marked(&range)
            }
            None => self.sorted(sets),
        };
        numbers.iter().copied().map(user).collect()
    }

    /// Sets the bit of each user.
    fn mark<'a>(&mut self, sets: impl Iterator<Item = &'a IdSet>, range: &Range) {
        self.bits.clear();
        self.bits.resize(range.words, 0);
        for set in sets {
            set.for_each(|number| {
                let bit = number.wrapping_sub(range.first);
                if let Some(word) = self.bits.get_mut(bit as usize / 64) {
                    *word |= 1 << (bit % 64);
                }
            });
        }
    }

    /// The numbers whose bits are set.
    ///
    /// A loop that ends with the last bit of a word ends where no processor expects it, and that took longer than all else. So
    /// the first [`AT_ONCE`] places are written for every word, and those that were none are written over.
    fn marked(&mut self, range: &Range) -> &[u32] {
        let most = range.members.min(range.words * 64) + AT_ONCE;
        if self.list.len() < most {
            self.list.resize(most, 0);
        }
        let mut count = 0;
        let mut put = |first: u32, rest: &mut u64| {
            // With the highest bit set there is a place to write, too, when there is no user.
            let bit = (*rest | 1 << 63).trailing_zeros();
            if let Some(place) = self.list.get_mut(count) {
                *place = first.wrapping_add(bit);
            }
            count += usize::from(*rest != 0);
            *rest &= rest.wrapping_sub(1);
        };
        // Counted by hand: a range would step past the greatest id after the last word.
        let mut first = range.first;
        for &word in &self.bits {
            let mut rest = word;
            for _ in 0..AT_ONCE {
                put(first, &mut rest);
            }
            while rest != 0 {
                put(first, &mut rest);
            }
            first = first.wrapping_add(64);
        }
        self.list.get(..count).unwrap_or_default()
    }

    fn sorted<'a>(&mut self, sets: impl Iterator<Item = &'a IdSet>) -> &[u32] {
        self.list.clear();
        sets.for_each(|set| set.for_each(|number| self.list.push(number)));
        self.list.sort_unstable();
        self.list.dedup();
        &self.list
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.capacity() * 8 + self.list.capacity() * 4
    }
}

/// The least and the greatest id of some.
#[derive(Clone, Copy)]
struct Bounds {
    first: u32,
    last: u32,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            first: u32::MAX,
            last: 0,
        }
    }
}

impl Bounds {
    /// Includes an id.
    fn include(&mut self, id: u32) {
        self.first = self.first.min(id);
        self.last = self.last.max(id);
    }
}

/// The ids from the first on for which there are bits.
struct Range {
    first: u32,
    words: usize,
    /// How many users there are at most.
    members: usize,
}

impl Range {
    /// A range of all members; none when they lie so far apart that bits would cost more than sorting them.
    ///
    /// The ends of each set are read one after the other without waiting for what comes of them, so that the memory of
    /// many sets is fetched at the same time.
    fn of<'a>(sets: impl Iterator<Item = &'a IdSet>) -> Option<Range> {
        let mut members = 0;
        let mut bounds = Bounds::default();
        for set in sets {
            members += set.len();
            if let Some((first, last)) = set.extent() {
                bounds.include(first);
                bounds.include(last);
            }
        }
        Range::within(members, bounds)
    }

    fn within(members: usize, bounds: Bounds) -> Option<Range> {
        let first = bounds.first;
        let words = bounds.last.checked_sub(first)? as usize / 64 + 1;
        (words * 64 <= members * BITS_PER_MEMBER).then_some(Range {
            first,
            words,
            members,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check(union: &mut MatchedUsers, sets: &[Vec<u32>]) {
        let mut model = BTreeSet::new();
        let sets: Vec<IdSet> = sets
            .iter()
            .map(|ids| {
                let mut set = IdSet::default();
                for &id in ids {
                    set.insert(id);
                    model.insert(id);
                }
                set
            })
            .collect();
        let model: Vec<UserId> = model.into_iter().map(user).collect();
        assert!(model.is_sorted());
        assert_eq!(union.union(sets.iter()), model);
    }

    #[test]
    fn every_user_is_in_the_union_once_near_or_far() {
        let union = &mut MatchedUsers::default();
        check(union, &[]);
        check(union, &[vec![]]);
        check(union, &[vec![0]]);
        check(union, &[vec![u32::MAX]]);
        check(union, &[vec![u32::MAX, u32::MAX - 63, u32::MAX - 64]]);
        check(union, &[vec![0, u32::MAX], vec![u32::MAX, 1 << 31]]);
        check(union, &[vec![1, 2, 3], vec![3, 64, 65], vec![2, 127, 128]]);
        check(
            union,
            &[
                (100_000..140_000).collect(),
                (0..400).map(|i| i * 500).collect(),
                vec![65_535, 65_536],
            ],
        );
        check(union, &[vec![7]]);
        check(
            union,
            &[(0..50).map(|i| i * 1_000_000).collect(), vec![5, 1_000_000]],
        );
    }
}
