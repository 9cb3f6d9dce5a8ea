//! The union of many sets of users.
//!
//! Users are marked in a row of bits where ids lie close together, and sorted where they do not.

use roaring::RoaringBitmap;

use super::id_set::IdSet;

/// A bit per possible user is worth it up to this many bits a member; past that the members are sorted.
const BITS_PER_MEMBER: usize = 1024;

/// Puts sets of users together; the memory for it is kept between films.
#[derive(Default)]
pub(super) struct MatchedUsers {
    /// A bit for each user of a range of ids.
    bits: Vec<u8>,
    /// The members when they lie too far apart for bits.
    list: Vec<u32>,
}

impl MatchedUsers {
    /// The union as a bitmap.
    pub(super) fn bitmap<'a>(
        &mut self,
        sets: impl Iterator<Item = &'a IdSet> + Clone,
    ) -> RoaringBitmap {
        match Range::of(sets.clone()) {
            Some(range) => {
                self.mark(sets, &range);
                RoaringBitmap::from_lsb0_bytes(range.first, &self.bits)
            }
            None => RoaringBitmap::from_sorted_iter(self.sorted(sets).iter().copied())
                .expect("the list is sorted and free of duplicates"),
        }
    }

    /// Sets the bit of each user.
    fn mark<'a>(&mut self, sets: impl Iterator<Item = &'a IdSet>, range: &Range) {
        self.bits.clear();
        self.bits.resize(range.bytes, 0);
        for set in sets {
            set.for_each(|user| {
                let bit = user.wrapping_sub(range.first);
                if let Some(eight) = self.bits.get_mut(bit as usize / 8) {
                    *eight |= 1 << (bit % 8);
                }
            });
        }
    }

    fn sorted<'a>(&mut self, sets: impl Iterator<Item = &'a IdSet>) -> &[u32] {
        self.list.clear();
        sets.for_each(|set| set.for_each(|user| self.list.push(user)));
        self.list.sort_unstable();
        self.list.dedup();
        &self.list
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.capacity() + self.list.capacity() * 4
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
    bytes: usize,
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
        // A bitmap is made of whole bytes without shifting them.
        let first = bounds.first & !7;
        let bytes = bounds.last.checked_sub(first)? as usize / 8 + 1;
        (bytes * 8 <= members * BITS_PER_MEMBER).then_some(Range { first, bytes })
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
        assert_eq!(union.bitmap(sets.iter()), model.into_iter().collect());
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
