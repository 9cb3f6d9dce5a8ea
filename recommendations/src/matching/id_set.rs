//! A set of numbers that is small for one member and fast for a million.
//!
//! A long sorted list becomes a bitmap, and a bitmap that shrank to half of that becomes a list again.

use roaring::RoaringBitmap;

/// Above this many members a sorted list gives way to a bitmap; below half of it the list comes back.
const LONGEST_LIST: usize = 4096;

/// A set of `u32`. Almost all sets of an index have few members, so these are sorted lists of four bytes a member.
#[derive(Clone, Debug)]
pub(super) enum IdSet {
    /// Sorted, each once.
    List(Vec<u32>),
    /// Too many to move about in a list.
    Bitmap(RoaringBitmap),
}

impl Default for IdSet {
    fn default() -> IdSet {
        IdSet::List(Vec::new())
    }
}

impl IdSet {
    /// Adds a member; false when it was one.
    pub(super) fn insert(&mut self, id: u32) -> bool {
        match self {
            IdSet::Bitmap(bitmap) => bitmap.insert(id),
            IdSet::List(list) => {
                let place = match list.last() {
                    Some(&last) if last >= id => match list.binary_search(&id) {
                        Ok(_) => return false,
                        Err(place) => place,
                    },
                    _ => list.len(),
                };
                if list.len() == list.capacity() {
                    // A quarter of slack, where doubling would leave half of many small lists empty.
                    list.reserve_exact(list.len() / 4 + 1);
                }
                list.insert(place, id);
                if list.len() > LONGEST_LIST {
                    *self = IdSet::Bitmap(list.iter().copied().collect());
                }
                true
            }
        }
    }

    /// Takes a member out; false when it was none.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        match self {
            IdSet::List(list) => match list.binary_search(&id) {
                Ok(place) => {
                    list.remove(place);
                    true
                }
                Err(_) => false,
            },
            IdSet::Bitmap(bitmap) => {
                let was_member = bitmap.remove(id);
                if bitmap.len() < LONGEST_LIST as u64 / 2 {
                    *self = IdSet::List(bitmap.iter().collect());
                }
                was_member
            }
        }
    }

    /// Whether a number is a member.
    pub(super) fn contains(&self, id: u32) -> bool {
        match self {
            IdSet::List(list) => list.binary_search(&id).is_ok(),
            IdSet::Bitmap(bitmap) => bitmap.contains(id),
        }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        match self {
            IdSet::List(list) => list.len(),
            IdSet::Bitmap(bitmap) => bitmap.len() as usize,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The least and the greatest member; none when there are no members.
    pub(super) fn extent(&self) -> Option<(u32, u32)> {
        match self {
            IdSet::List(list) => Some((*list.first()?, *list.last()?)),
            IdSet::Bitmap(bitmap) => Some((bitmap.min()?, bitmap.max()?)),
        }
    }

    /// Calls `visit` with each member, in ascending order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(u32)) {
        match self {
            IdSet::List(list) => list.iter().for_each(|&id| visit(id)),
            IdSet::Bitmap(bitmap) => {
                let mut some = [0; 256];
                let mut members = bitmap.iter();
                loop {
                    match members.next_many(&mut some) {
                        [] => break,
                        some => some.iter().for_each(|&id| visit(id)),
                    }
                }
            }
        }
    }

    /// Adds all members to a bitmap.
    pub(super) fn add_to(&self, bitmap: &mut RoaringBitmap) {
        match self {
            IdSet::List(list) => bitmap.extend(list),
            IdSet::Bitmap(members) => *bitmap |= members,
        }
    }

    /// Memory held outside the value itself, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            IdSet::List(list) => list.capacity() * 4,
            IdSet::Bitmap(bitmap) => {
                let statistics = bitmap.statistics();
                statistics.n_containers as usize * 40
                    + (statistics.n_bytes_array_containers
                        + statistics.n_bytes_run_containers
                        + statistics.n_bytes_bitset_containers) as usize
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_a_set_at_every_size() {
        let mut set = IdSet::default();
        let mut model = BTreeSet::new();
        assert_eq!(set.extent(), None);
        for i in 0..10_000_u32 {
            let id = i.wrapping_mul(2_654_435_761) % 7_000;
            assert_eq!(set.insert(id), model.insert(id));
        }
        assert!(matches!(set, IdSet::Bitmap(_)));
        for i in 0..20_000_u32 {
            let id = i.wrapping_mul(40_503) % 7_000;
            assert_eq!(set.contains(id), model.contains(&id));
            assert_eq!(set.remove(id), model.remove(&id));
            assert_eq!(set.len(), model.len());
            let bounds = model.first().zip(model.last());
            assert_eq!(set.extent(), bounds.map(|(&first, &last)| (first, last)));
            if i % 500 == 0 {
                let mut seen = Vec::new();
                set.for_each(|id| seen.push(id));
                assert_eq!(seen, model.iter().copied().collect::<Vec<_>>());
            }
        }
        assert!(matches!(set, IdSet::List(_)));
    }
}
