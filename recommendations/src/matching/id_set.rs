//! A set of numbers that is small for one member and fast for a million.
//!
//! A few members need no memory of their own, more are a sorted list, and very many are a bitmap; a set that shrinks
//! goes the same way back, half of it later.

use roaring::RoaringBitmap;

/// Above this many members a sorted list gives way to a bitmap; below half of it the list comes back.
const LONGEST_LIST: usize = 4096;

/// How many members a set holds in itself: as many as make it no larger than a list.
const FEW: usize = 3;

/// How many members a list has room for at first, and how many more it makes room for at least: what an allocator
/// gives away anyhow.
const FIRST_ROOM: usize = 6;
const MORE_ROOM: usize = 4;

/// A set of `u32`. Almost all sets of an index have few members, so these take no more than four bytes a member.
#[derive(Clone, Debug)]
pub(super) enum IdSet {
    /// The first `len` of `ids`, sorted, each once.
    Few {
        /// How many there are.
        len: u8,
        /// The members, and then zeros.
        ids: [u32; FEW],
    },
    /// Sorted, each once.
    List(Vec<u32>),
    /// Too many to move about in a list.
    Bitmap(Box<RoaringBitmap>),
}

impl Default for IdSet {
    fn default() -> IdSet {
        IdSet::of(&[])
    }
}

impl IdSet {
    /// The set of the sorted `ids`, which fit into a list.
    fn of(ids: &[u32]) -> IdSet {
        let mut few = [0; FEW];
        match few.get_mut(..ids.len()) {
            Some(place) => {
                place.copy_from_slice(ids);
                IdSet::Few {
                    len: ids.len() as u8,
                    ids: few,
                }
            }
            None => {
                let mut list = Vec::with_capacity(ids.len().max(FIRST_ROOM));
                list.extend_from_slice(ids);
                IdSet::List(list)
            }
        }
    }

    /// The members, if they are no bitmap.
    fn list(&self) -> Option<&[u32]> {
        match self {
            IdSet::Few { len, ids } => ids.get(..usize::from(*len)),
            IdSet::List(list) => Some(list),
            IdSet::Bitmap(_) => None,
        }
    }

    /// Adds a member; false when it was one.
    pub(super) fn insert(&mut self, id: u32) -> bool {
        if let IdSet::Bitmap(bitmap) = self {
            return bitmap.insert(id);
        }
        let ids = self.list().unwrap_or_default();
        let place = match ids.last() {
            Some(&last) if last >= id => match ids.binary_search(&id) {
                Ok(_) => return false,
                Err(place) => place,
            },
            _ => ids.len(),
        };
        match self {
            IdSet::Few { len, ids } if usize::from(*len) < FEW => {
                let end = usize::from(*len);
                if let Some(moved) = ids.get_mut(place..=end) {
                    moved.rotate_right(1);
                    moved.iter_mut().take(1).for_each(|first| *first = id);
                }
                *len += 1;
            }
            IdSet::Few { ids, .. } => {
                let mut list = Vec::with_capacity(FIRST_ROOM);
                list.extend_from_slice(ids);
                list.insert(place, id);
                *self = IdSet::List(list);
            }
            IdSet::List(list) if list.len() == LONGEST_LIST => {
                let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                bitmap.insert(id);
                *self = IdSet::Bitmap(Box::new(bitmap));
            }
            IdSet::List(list) => {
                if list.len() == list.capacity() {
                    // A quarter of slack, where doubling would leave half of many lists empty.
                    list.reserve_exact((list.len() / 4).max(MORE_ROOM));
                }
                list.insert(place, id);
            }
            IdSet::Bitmap(_) => {}
        }
        true
    }

    /// Takes a member out; false when it was none.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        if let IdSet::Bitmap(bitmap) = self {
            let was_member = bitmap.remove(id);
            if bitmap.len() < LONGEST_LIST as u64 / 2 {
                *self = IdSet::List(bitmap.iter().collect());
            }
            return was_member;
        }
        let ids = self.list().unwrap_or_default();
        let Ok(place) = ids.binary_search(&id) else {
            return false;
        };
        match self {
            IdSet::List(list) => {
                list.remove(place);
                if list.len() <= FEW / 2 {
                    *self = IdSet::of(list);
                }
            }
            IdSet::Few { len, ids } => {
                if let Some(moved) = ids.get_mut(place..) {
                    moved.rotate_left(1);
                }
                *len -= 1;
            }
            IdSet::Bitmap(_) => {}
        }
        true
    }

    /// Whether a number is a member.
    pub(super) fn contains(&self, id: u32) -> bool {
        match self {
            IdSet::Bitmap(bitmap) => bitmap.contains(id),
            set => set.list().unwrap_or_default().binary_search(&id).is_ok(),
        }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        match self {
            IdSet::Few { len, .. } => usize::from(*len),
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
            IdSet::Bitmap(bitmap) => Some((bitmap.min()?, bitmap.max()?)),
            set => {
                let ids = set.list()?;
                Some((*ids.first()?, *ids.last()?))
            }
        }
    }

    /// Calls `visit` with each member, in ascending order.
    pub(super) fn for_each(&self, mut visit: impl FnMut(u32)) {
        match self {
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
            set => set
                .list()
                .unwrap_or_default()
                .iter()
                .for_each(|&id| visit(id)),
        }
    }

    /// Adds all members to a bitmap.
    pub(super) fn add_to(&self, bitmap: &mut RoaringBitmap) {
        match self {
            IdSet::Bitmap(members) => *bitmap |= &**members,
            set => bitmap.extend(set.list().unwrap_or_default()),
        }
    }

    /// Memory held outside the value itself, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            IdSet::Few { .. } => 0,
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
        assert!(!matches!(set, IdSet::Bitmap(_)));
    }

    #[test]
    fn few_members_take_no_memory_of_their_own() {
        assert_eq!(size_of::<IdSet>(), size_of::<Vec<u32>>());
        let mut set = IdSet::default();
        for id in [9, 5, 7] {
            assert!(set.insert(id) && !set.insert(id));
            assert_eq!(set.memory_bytes(), 0);
        }
        assert_eq!(set.list(), Some(&[5, 7, 9][..]));
        assert!(set.insert(6) && matches!(set, IdSet::List(_)));
        for id in [5, 9, 6] {
            assert!(set.remove(id) && !set.remove(id));
        }
        assert!(matches!(set, IdSet::Few { .. }));
        assert_eq!(set.list(), Some(&[7][..]));
        assert!(set.remove(7) && set.is_empty());
    }
}
