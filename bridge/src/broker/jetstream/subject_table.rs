//! The subjects of a stream's messages, numbered so that a message holds a number instead of a text.
//!
//! A subject without messages is forgotten, and its number used again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::filter::{Filter, begins_with};

/// What is known of the messages on one subject.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: Arc<str>,
    pub(super) count: u64,
    /// No message on the subject comes before this sequence.
    pub(super) first: u64,
    /// The last message or, since it has gone, one that came behind all that are left.
    last: AtomicU64,
}

impl Subject {
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Takes note of the last message, which was searched for.
    pub(super) fn found_last(&self, seq: u64) {
        self.last.store(seq, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct SubjectTable {
    numbers: HashMap<Arc<str>, u32>,
    /// The same in order, so that subjects that begin alike are found together.
    in_order: BTreeMap<Arc<str>, u32>,
    subjects: Vec<Option<Subject>>,
    free: Vec<u32>,
}

impl SubjectTable {
    /// Counts a message on a subject and returns the subject's number.
    pub(super) fn add(&mut self, name: &str, seq: u64) -> u32 {
        if let Some(number) = self.numbers.get(name).copied() {
            if let Some(subject) = self.get_mut(number) {
                subject.count += 1;
                subject.found_last(seq);
            }
            return number;
        }
        let subject = Subject {
            name: Arc::from(name),
            count: 1,
            first: seq,
            last: AtomicU64::new(seq),
        };
        let name = Arc::clone(&subject.name);
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.subjects.get_mut(number as usize) {
                    *place = Some(subject);
                }
                number
            }
            None => {
                self.subjects.push(Some(subject));
                u32::try_from(self.subjects.len() - 1)
                    .expect("a subject takes more than a byte of memory")
            }
        };
        self.in_order.insert(Arc::clone(&name), number);
        self.numbers.insert(name, number);
        number
    }

    /// Forgets a subject on which there is no message.
    pub(super) fn forget(&mut self, number: u32) {
        if let Some(subject) = self
            .subjects
            .get_mut(number as usize)
            .and_then(Option::take)
        {
            self.numbers.remove(&subject.name);
            self.in_order.remove(&subject.name);
            self.free.push(number);
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Subject> {
        self.subjects.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Subject> {
        self.subjects.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Subject> {
        self.get(self.number(name)?)
    }

    /// All subjects with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &Subject)> {
        let subjects = (0..).zip(&self.subjects);
        subjects.filter_map(|(number, subject)| Some((number, subject.as_ref()?)))
    }

    /// The wanted subjects with their numbers, in order. Looks at those alone that begin as the wanted ones do.
    pub(super) fn wanted(&self, wanted: &Filter) -> impl Iterator<Item = (u32, &Subject)> {
        self.begun(wanted)
            .filter(|(_, subject)| wanted.takes(&subject.name))
    }

    /// The wanted subjects with their numbers, unless that means looking at more subjects than `max`.
    pub(super) fn wanted_of(&self, wanted: &Filter, max: usize) -> Option<Vec<(u32, &Subject)>> {
        let mut begun: Vec<_> = self.begun(wanted).take(max + 1).collect();
        if begun.len() > max {
            return None;
        }
        begun.retain(|(_, subject)| wanted.takes(&subject.name));
        Some(begun)
    }

    /// The subjects that begin as wanted ones do, with their numbers, in order.
    fn begun(&self, wanted: &Filter) -> impl Iterator<Item = (u32, &Subject)> {
        let beginnings = wanted.beginnings().into_iter();
        let begun = beginnings.flat_map(|beginning| {
            let from = (Bound::Included(beginning), Bound::Unbounded);
            let follow = self.in_order.range::<str, _>(from);
            follow.take_while(move |(name, _)| begins_with(name, beginning))
        });
        begun.filter_map(|(_, number)| Some((*number, self.get(*number)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}
