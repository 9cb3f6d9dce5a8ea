//! Things by number.

/// Things by number; the number of a removed one is given to the next.
pub(super) struct Slots<T> {
    pub(super) all: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots {
            all: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.all.get(number as usize)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.all.get_mut(number as usize)
    }

    pub(super) fn add(&mut self, thing: T) -> u32 {
        let Some(number) = self.free.pop() else {
            self.all.push(thing);
            return self.all.len() as u32 - 1;
        };
        if let Some(place) = self.get_mut(number) {
            *place = thing;
        }
        number
    }

    /// Takes a number back. What it stood for stays until another takes the place.
    pub(super) fn remove(&mut self, number: u32) {
        self.free.push(number);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.all.capacity() * size_of::<T>() + self.free.capacity() * 4
    }
}
