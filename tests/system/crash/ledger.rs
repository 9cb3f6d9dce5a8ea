//! What was acknowledged and what is in doubt, and so what may be found.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Display},
    time::{Duration, Instant},
};

use rand::{Rng, RngExt, seq::IteratorRandom};

use super::films::Film;

/// All that the load did to one system.
pub(super) struct Ledger {
    begun: Instant,
    /// How many states of films were drawn.
    drawn: usize,
    films: BTreeMap<String, Record>,
    preferences: BTreeMap<(i32, &'static str), Register<bool>>,
}

/// A film that the load added, or tried to.
pub(super) struct Record {
    /// Unknown while the answer to its creation is owed.
    pub(super) id: Option<String>,
    /// `None` is a film that is not there.
    pub(super) states: Register<Option<Film>>,
}

/// The writes of one thing, by whomever.
pub(super) struct Register<S> {
    epoch: Instant,
    writes: Vec<Write<S>>,
}

struct Write<S> {
    state: S,
    begun: Instant,
    fate: Fate,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    UnderWay,
    Acknowledged(Instant),
    /// It happened before that instant or never; without an instant, it may still happen.
    InDoubt(Option<Instant>),
    /// It never happened.
    Refused,
}

/// A write in its register, until its fate is known.
#[derive(Clone, Copy)]
pub(super) struct Ticket(usize);

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            drawn: 0,
            films: BTreeMap::new(),
            preferences: BTreeMap::new(),
        }
    }

    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// A number that no other state of a film has.
    pub(super) fn next_number(&mut self) -> usize {
        self.drawn += 1;
        self.drawn
    }

    /// A film that is not there yet, under a name of its own.
    pub(super) fn new_film(&mut self) -> String {
        let name = format!("no{}", self.next_number());
        let record = Record {
            id: None,
            states: Register::new(self.begun, None),
        };
        self.films.insert(name.clone(), record);
        name
    }

    pub(super) fn film(&mut self, name: &str) -> &mut Record {
        self.films.get_mut(name).expect("a film of the load's")
    }

    pub(super) fn films(&mut self) -> impl Iterator<Item = (&str, &mut Record)> {
        self.films
            .iter_mut()
            .map(|(name, record)| (name.as_str(), record))
    }

    pub(super) fn preference(&mut self, user: i32, keyword: &'static str) -> &mut Register<bool> {
        self.preferences
            .entry((user, keyword))
            .or_insert_with(|| Register::new(self.begun, false))
    }

    pub(super) fn preferences(
        &mut self,
    ) -> impl Iterator<Item = (i32, &'static str, &mut Register<bool>)> {
        self.preferences
            .iter_mut()
            .map(|((user, keyword), register)| (*user, *keyword, register))
    }

    /// The name and id of some film that is believed to be there; now and then one that others choose too.
    pub(super) fn some_film(&self, random: &mut impl Rng) -> Option<(String, String)> {
        let there = self.films.iter().filter(|(_, film)| film.is_there());
        let there = there.filter_map(|(name, film)| Some((name.clone(), film.id.clone()?)));
        if random.random_bool(0.2) {
            return there.take(3).choose(random);
        }
        there.choose(random)
    }

    pub(super) fn count_there(&self) -> usize {
        self.films.values().filter(|film| film.is_there()).count()
    }

    /// How many writes were acknowledged and how many are in doubt.
    pub(super) fn tally(&self) -> (usize, usize) {
        let films = self.films.values().map(|film| film.states.tally());
        let preferences = self.preferences.values().map(Register::tally);
        films
            .chain(preferences)
            .fold((0, 0), |sum, tally| (sum.0 + tally.0, sum.1 + tally.1))
    }
}

impl Record {
    fn is_there(&self) -> bool {
        self.states.possible().all(Option::is_some)
    }

    /// Whether the film may be found like this. What was deleted does not come back, whichever client edited it.
    pub(super) fn may_be(&self, found: Option<&Film>) -> bool {
        let states = &self.states;
        if found.is_some() && states.writes.iter().skip(1).any(Write::is_certain_deletion) {
            return false;
        }
        states.possible().any(|state| state.as_ref() == found)
    }

    /// Whether a client tried to delete it.
    pub(super) fn may_be_deleted(&self) -> bool {
        let writes = self.states.writes.iter();
        writes.skip(1).any(|write| write.state.is_none())
    }
}

impl Write<Option<Film>> {
    fn is_certain_deletion(&self) -> bool {
        self.state.is_none() && matches!(self.fate, Fate::Acknowledged(_))
    }
}

impl<S> Register<S> {
    fn new(epoch: Instant, state: S) -> Self {
        let first = Write {
            state,
            begun: epoch,
            fate: Fate::Acknowledged(epoch),
        };
        Self {
            epoch,
            writes: vec![first],
        }
    }

    /// A write is about to be sent.
    pub(super) fn begin(&mut self, state: S) -> Ticket {
        self.writes.push(Write {
            state,
            begun: Instant::now(),
            fate: Fate::UnderWay,
        });
        Ticket(self.writes.len() - 1)
    }

    pub(super) fn acknowledged(&mut self, ticket: Ticket) {
        self.end(ticket, Fate::Acknowledged(Instant::now()));
    }

    /// The program died before it answered.
    pub(super) fn cut_off(&mut self, ticket: Ticket) {
        self.end(ticket, Fate::InDoubt(Some(Instant::now())));
    }

    /// The program answered that it does not know.
    pub(super) fn put_off(&mut self, ticket: Ticket) {
        self.end(ticket, Fate::InDoubt(None));
    }

    pub(super) fn refused(&mut self, ticket: Ticket) {
        self.end(ticket, Fate::Refused);
    }

    fn end(&mut self, Ticket(number): Ticket, fate: Fate) {
        if let Some(write) = self.writes.get_mut(number) {
            write.fate = fate;
        }
    }

    /// The states of those writes that can have been the last one.
    pub(super) fn possible(&self) -> impl Iterator<Item = &S> {
        let acknowledged = self.writes.iter().filter_map(|write| match write.fate {
            Fate::Acknowledged(_) => Some(write.begun),
            _ => None,
        });
        let last = acknowledged.max().unwrap_or(self.epoch);
        let possible = self.writes.iter().filter(move |write| match write.fate {
            Fate::UnderWay | Fate::InDoubt(None) => true,
            Fate::Acknowledged(ended) | Fate::InDoubt(Some(ended)) => ended >= last,
            Fate::Refused => false,
        });
        possible.map(|write| &write.state)
    }

    /// It was found like this while no client wrote.
    pub(super) fn settle(&mut self, found: S)
    where
        S: PartialEq,
    {
        let mut possible = self.possible();
        let is_certain = possible.next() == Some(&found) && possible.next().is_none();
        drop(possible);
        if !is_certain {
            let now = Instant::now();
            for write in &mut self.writes {
                if write.fate == Fate::InDoubt(None) {
                    write.fate = Fate::InDoubt(Some(now));
                }
            }
            let ticket = self.begin(found);
            self.acknowledged(ticket);
        }
    }

    fn tally(&self) -> (usize, usize) {
        let count = |wanted: fn(Fate) -> bool| {
            let writes = self.writes.iter().skip(1);
            writes.filter(|write| wanted(write.fate)).count()
        };
        (
            count(|fate| matches!(fate, Fate::Acknowledged(_))),
            count(|fate| matches!(fate, Fate::InDoubt(_))),
        )
    }
}

/// The whole story, for a failure's message.
impl<S: Debug> Display for Register<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for write in &self.writes {
            let at = |instant: Instant| (instant - self.epoch).as_secs_f64();
            write!(f, "\n  {:9.4} s ", at(write.begun))?;
            match write.fate {
                Fate::UnderWay => write!(f, "under way")?,
                Fate::Acknowledged(ended) => write!(f, "acknowledged at {:.4} s", at(ended))?,
                Fate::InDoubt(Some(ended)) => write!(f, "cut off at {:.4} s", at(ended))?,
                Fate::InDoubt(None) => write!(f, "put off")?,
                Fate::Refused => write!(f, "refused")?,
            }
            write!(f, ": {:?}", write.state)?;
        }
        Ok(())
    }
}
