//! The union of many sets of users.

use roaring::RoaringBitmap;

use super::id_set::IdSet;

/// A bit per possible user is worth it up to this many bits a member; past that the members are sorted.
const BITS_PER_MEMBER: usize = 1024;

/// Puts sets of users together; the memory for it is kept between films.
#[derive(Default)]
pub(super) struct MatchedUsers {
    /// A bit for each user from the first on; all zero between films.
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
        match self.collect(sets) {
            Union::Bits { first } => {
                let bitmap = RoaringBitmap::from_lsb0_bytes(first, &self.bits);
                self.bits.fill(0);
                bitmap
            }
            Union::List => RoaringBitmap::from_sorted_iter(self.list.iter().copied())
                .expect("the list is sorted and free of duplicates"),
        }
    }

    /// Calls `visit` with each user in the union once, in ascending order of the id as an unsigned number.
    pub(super) fn for_each<'a>(
        &mut self,
        sets: impl Iterator<Item = &'a IdSet> + Clone,
        mut visit: impl FnMut(u32),
    ) {
        match self.collect(sets) {
            Union::List => self.list.iter().for_each(|&user| visit(user)),
            Union::Bits { first } => {
                let mut base = first;
                for eight in self.bits.as_chunks_mut::<8>().0 {
                    let mut word = u64::from_le_bytes(*eight);
                    if word != 0 {
                        *eight = [0; 8];
                        while word != 0 {
                            visit(base + word.trailing_zeros());
                            word &= word - 1;
                        }
                    }
                    base = base.wrapping_add(64);
                }
            }
        }
    }

    fn collect<'a>(&mut self, sets: impl Iterator<Item = &'a IdSet> + Clone) -> Union {
        self.list.clear();
        let (mut members, mut first, mut last) = (0, u32::MAX, 0);
        for set in sets.clone() {
            members += set.len();
            if let Some((least, greatest)) = set.bounds() {
                first = first.min(least);
                last = last.max(greatest);
            }
        }
        let first = first & !63;
        let length = (last.saturating_sub(first) as usize / 64 + 1) * 8;
        if members == 0 || length * 8 > members * BITS_PER_MEMBER {
            sets.for_each(|set| set.for_each(|user| self.list.push(user)));
            self.list.sort_unstable();
            self.list.dedup();
            return Union::List;
        }
        self.bits.resize(length, 0);
        for set in sets {
            set.for_each(|user| {
                let bit = user - first;
                if let Some(eight) = self.bits.get_mut(bit as usize / 8) {
                    *eight |= 1 << (bit % 8);
                }
            });
        }
        Union::Bits { first }
    }

    /// Memory held, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bits.capacity() + self.list.capacity() * 4
    }
}

enum Union {
    Bits { first: u32 },
    List,
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
        let mut seen = Vec::new();
        union.for_each(sets.iter(), |user| seen.push(user));
        assert_eq!(seen, model.iter().copied().collect::<Vec<_>>());
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
