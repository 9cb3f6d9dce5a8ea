//! From the words of a film to the subscriptions that it meets, and to their users.

use proto::UserId;

use super::slots::Slots;
use super::{
    KeywordIndex, MET_NONE, Met, NONE, PostedPhrase, Posting, Term, TermDetails, terms_of,
};
use crate::matching::film::{FilmWords, Row};
use crate::matching::matched_users::MatchedUsers;
use crate::matching::word::Word;
use crate::matching::words::{LONGEST_JOINED, Variant};

/// Memory that is kept between films.
#[derive(Default)]
pub(super) struct Scratch {
    /// The number of films asked for; a term that carries it was met in this film.
    epoch: u32,
    words: Vec<Met>,
    variants: Vec<Variant<Met>>,
    subscriptions: Vec<u32>,
    posted: Vec<Posted>,
    neighbours: Neighbours,
    users: MatchedUsers,
}

/// A term of a film at which phrases are posted, and from where to where its word stands.
struct Posted {
    term: u32,
    start: u32,
    end: u32,
    /// The first of the phrases: fetched early, because memory is slow and the others lie beside it.
    first: Posting,
}

/// The terms beside a word of a film.
#[derive(Default)]
struct Neighbours {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Scratch {
    /// Memory held for users, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.users.memory_bytes()
    }
}

impl KeywordIndex {
    /// The users who follow something that a film has, in order.
    pub(in crate::matching) fn matching(&mut self, film: &FilmWords) -> Vec<UserId> {
        self.find_subscriptions(film);
        let Scratch {
            subscriptions,
            users,
            ..
        } = &mut self.scratch;
        let all = &self.subscriptions;
        users.union(subscriptions.iter().filter_map(|&number| all.get(number)))
    }

    /// Leaves the subscriptions that a film meets in the scratch memory, some perhaps twice.
    fn find_subscriptions(&mut self, film: &FilmWords) {
        let Scratch {
            epoch,
            words,
            variants,
            subscriptions: found,
            posted,
            neighbours,
            ..
        } = &mut self.scratch;
        found.clear();
        posted.clear();
        words.clear();
        variants.clear();
        let look_up = |word: &Word| self.by_word.get(word).copied().unwrap_or(MET_NONE);
        words.extend(film.words().iter().map(look_up));
        let read = |variant: &Variant| variant.with(look_up(&variant.word));
        variants.extend(film.variants().iter().map(read));
        *epoch = epoch.wrapping_add(1);
        if *epoch == 0 {
            // Once in four billion films, so that no term carries the number of an earlier round.
            self.terms.all.iter_mut().for_each(|term| term.epoch = 0);
            *epoch = 1;
        }
        let mut film = Film {
            epoch: *epoch,
            words,
            variants,
            links: &self.links,
            phrases: &self.phrases,
            details: &self.details,
            posted,
            neighbours,
            found,
        };
        film.look_at_words(&mut self.terms);
        film.look_at_phrases(&self.terms);
    }
}

/// A film whose words have been looked up, and the subscriptions that it is found to meet.
struct Film<'a> {
    epoch: u32,
    words: &'a [Met],
    variants: &'a [Variant<Met>],
    links: &'a Slots<Met>,
    phrases: &'a Slots<PostedPhrase>,
    details: &'a [TermDetails],
    posted: &'a mut Vec<Posted>,
    neighbours: &'a mut Neighbours,
    found: &'a mut Vec<u32>,
}

impl Film<'_> {
    /// Finds the subscriptions to the words alone, and the terms at which phrases are posted.
    fn look_at_words(&mut self, terms: &mut Slots<Term>) {
        for (start, &met) in (0..).zip(self.words) {
            if met.term != NONE {
                self.look_at(terms, met, start, start + 1);
            }
        }
        for variant in self.variants {
            let start = variant.start;
            self.look_at(terms, variant.word, start, start + variant.length);
        }
    }

    fn look_at(&mut self, terms: &mut Slots<Term>, first: Met, start: u32, end: u32) {
        for number in terms_of(self.links, first) {
            let Some(term) = terms.get_mut(number) else {
                continue;
            };
            if term.epoch != self.epoch {
                term.epoch = self.epoch;
                if term.subscription != NONE {
                    self.found.push(term.subscription);
                }
                if term.is_shared
                    && let Some(details) = self.details.get(number as usize)
                {
                    self.found.extend(&details.others);
                }
            }
            if let Some(&first) = term.phrases.first() {
                self.posted.push(Posted {
                    term: number,
                    start,
                    end,
                    first,
                });
            }
        }
    }

    /// Finds the subscriptions to phrases.
    fn look_at_phrases(&mut self, terms: &Slots<Term>) {
        let mut known = None;
        for posted in &*self.posted {
            let Some(term) = terms.get(posted.term) else {
                continue;
            };
            let (start, end) = (posted.start as usize, posted.end as usize);
            if known.replace((start, end)) != Some((start, end)) {
                let neighbours = &mut self.neighbours;
                neighbours.find(self.words, self.variants, self.links, start, end);
            }
            let others = term.phrases.iter().skip(1);
            for posting in std::iter::once(&posted.first).chain(others) {
                if self.neighbours.allow(posting)
                    && let Some(phrase) = self.phrases.get(posting.phrase)
                    && self.is_near(terms, &phrase.terms, posting.offset.into(), start)
                {
                    self.found.push(phrase.subscription);
                }
            }
        }
    }

    /// Whether the phrase begins at a place from which its term number `offset` may be at `place`.
    fn is_near(&self, terms: &Slots<Term>, phrase: &[u32], offset: usize, place: usize) -> bool {
        let row = Row {
            words: self.words,
            variants: self.variants,
            terms: phrase.len(),
            meets: |term, met: Met| {
                let wanted = phrase.get(term);
                terms_of(self.links, met).any(|term| Some(&term) == wanted)
            },
            exact: |term| {
                let term = phrase.get(term).and_then(|&term| terms.get(term));
                term.is_some_and(|term| term.is_exact)
            },
        };
        let Some(last) = place.checked_sub(offset) else {
            return false;
        };
        let joined = self.variants.iter().any(|variant| variant.length > 1);
        let first = if joined {
            place.saturating_sub(offset * LONGEST_JOINED)
        } else {
            last
        };
        (first..=last).rev().any(|start| row.is_at(start))
    }
}

impl Neighbours {
    /// Finds the terms beside a word that stands from `start` to `end`.
    fn find(
        &mut self,
        words: &[Met],
        variants: &[Variant<Met>],
        links: &Slots<Met>,
        start: usize,
        end: usize,
    ) {
        self.before.clear();
        self.after.clear();
        if let Some(&before) = start.checked_sub(1).and_then(|place| words.get(place)) {
            self.before.extend(terms_of(links, before));
        }
        if let Some(&after) = words.get(end) {
            self.after.extend(terms_of(links, after));
        }
        let first_near = start.saturating_sub(LONGEST_JOINED);
        let first = variants.partition_point(|variant| (variant.start as usize) < first_near);
        let near = variants.get(first..).unwrap_or_default().iter();
        for variant in near.take_while(|variant| variant.start as usize <= end) {
            let (first, length) = (variant.start as usize, variant.length as usize);
            if first + length == start {
                self.before.extend(terms_of(links, variant.word));
            }
            if first == end {
                self.after.extend(terms_of(links, variant.word));
            }
        }
    }

    /// Whether what the posting wants beside its word is there.
    fn allow(&self, posting: &Posting) -> bool {
        let beside = match posting.offset {
            0 => &self.after,
            _ => &self.before,
        };
        posting.neighbour == NONE || beside.contains(&posting.neighbour)
    }
}
