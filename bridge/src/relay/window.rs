//! Which outputs may be on their way: any number, but of each order only one.
//!
//! If the first of two outputs of a key were refused and the second stored, sending both again would leave the first
//! behind the second. So the second waits until the first is confirmed, whatever may happen to the connection.

use std::collections::{HashMap, VecDeque};

/// Holds back outputs whose predecessors are on their way.
#[derive(Debug)]
pub(super) struct KeyedWindow<T> {
    /// The orders that have an output on its way, each with those that wait behind it.
    busy: HashMap<u64, VecDeque<T>>,
}

impl<T> KeyedWindow<T> {
    pub(super) fn new() -> Self {
        Self {
            busy: HashMap::new(),
        }
    }

    /// Takes an output of `order`; gives it back if it may be sent now.
    pub(super) fn enter(&mut self, order: Option<u64>, output: T) -> Option<T> {
        let Some(order) = order else {
            return Some(output);
        };
        match self.busy.get_mut(&order) {
            Some(waiting) => {
                waiting.push_back(output);
                None
            }
            None => {
                self.busy.insert(order, VecDeque::new());
                Some(output)
            }
        }
    }

    /// The output of `order` that was on its way is confirmed; returns the one that may be sent now.
    pub(super) fn confirm(&mut self, order: Option<u64>) -> Option<T> {
        let order = order?;
        let next = self.busy.get_mut(&order)?.pop_front();
        if next.is_none() {
            self.busy.remove(&order);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_of_an_order_is_on_its_way_and_the_others_follow_in_turn() {
        let mut window = KeyedWindow::new();
        assert_eq!(window.enter(Some(1), "a1"), Some("a1"));
        assert_eq!(window.enter(Some(1), "a2"), None);
        assert_eq!(window.enter(Some(2), "b1"), Some("b1"));
        assert_eq!(window.enter(Some(1), "a3"), None);
        assert_eq!(window.enter(None, "free"), Some("free"));
        assert_eq!(window.confirm(None), None);
        assert_eq!(window.confirm(Some(1)), Some("a2"));
        assert_eq!(window.enter(Some(1), "a4"), None);
        assert_eq!(window.confirm(Some(1)), Some("a3"));
        assert_eq!(window.confirm(Some(1)), Some("a4"));
        assert_eq!(window.confirm(Some(1)), None);
        assert_eq!(window.confirm(Some(2)), None);
        assert!(window.busy.is_empty());
        assert_eq!(window.enter(Some(1), "a5"), Some("a5"));
    }
}
