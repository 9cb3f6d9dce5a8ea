//! All preferences: from the words of a film to the users who follow something that it has.
//!
//! A term is a word with its inflections, and is shared by all keywords that have it. Each phrase is posted at one of
//! its terms, the one that is met most rarely, so that the work for a film grows with what matches.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use proto::UserId;

use super::film::{FilmWords, Row};
use super::id_set::IdSet;
use super::keyword::{Keyword, KeywordError, Phrase};
use super::matched_users::{MatchedUsers, number};
use super::word::Word;
use super::words::{LONGEST_JOINED, Variant};

/// No term: a gap, or a word of a film that is in no keyword.
const NONE: u32 = u32::MAX;
/// Enough to tell a common word; many keywords may have the same term.
const COMPARED: usize = 8;

/// All preferences, by the words of their keywords.
#[derive(Default)]
pub(super) struct KeywordIndex {
    terms: Slots<Term>,
    /// The rest of each term, by its number.
    details: Vec<TermDetails>,
    by_forms: HashMap<Box<[Word]>, u32, RandomState>,
    exact_by_forms: HashMap<Box<[Word]>, u32, RandomState>,
    /// The terms that a word meets.
    by_word: HashMap<Word, Met, RandomState>,
    links: Slots<Met>,
    phrases: Slots<PostedPhrase>,
    subscriptions: Slots<IdSet>,
    by_normal: HashMap<Box<str>, u32, RandomState>,
    preferences: usize,
    scratch: Scratch,
}

/// The terms that a word meets: the first, and the link to the others. Most words meet one.
#[derive(Clone, Copy)]
struct Met {
    term: u32,
    next: u32,
}

const MET_NONE: Met = Met {
    term: NONE,
    next: NONE,
};

/// What is posted at a word of keywords and its inflections: what is looked at for each word of a film.
struct Term {
    /// The last film that has it.
    epoch: u32,
    /// The subscription to this word alone, or [`NONE`].
    subscription: u32,
    phrases: Vec<Posting>,
    /// Whether there are further subscriptions to this word alone.
    is_shared: bool,
    is_exact: bool,
}

/// The rest of a term.
#[derive(Default)]
struct TermDetails {
    forms: Box<[Word]>,
    uses: u32,
    /// Further subscriptions to the word alone.
    others: Vec<u32>,
}

/// A phrase, posted at its term number `offset`.
#[derive(Clone, Copy)]
struct Posting {
    phrase: u32,
    offset: u16,
    /// The term before it, or after it when it is the first: most phrases in vain are refused here.
    neighbour: u32,
}

/// The terms of a phrase, and whose it is.
#[derive(Default)]
struct PostedPhrase {
    terms: Box<[u32]>,
    subscription: u32,
}

/// Memory that is kept between films.
#[derive(Default)]
struct Scratch {
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

impl Term {
    fn new(is_exact: bool) -> Term {
        Term {
            epoch: 0,
            subscription: NONE,
            phrases: Vec::new(),
            is_shared: false,
            is_exact,
        }
    }

    fn subscribe(&mut self, details: &mut TermDetails, subscription: u32) {
        if self.subscription == NONE {
            self.subscription = subscription;
        } else {
            details.others.push(subscription);
            self.is_shared = true;
        }
    }

    fn unsubscribe(&mut self, details: &mut TermDetails, subscription: u32) {
        if self.subscription == subscription {
            self.subscription = details.others.pop().unwrap_or(NONE);
        } else {
            details.others.retain(|&other| other != subscription);
        }
        self.is_shared = !details.others.is_empty();
    }
}

impl KeywordIndex {
    /// Adds a preference; false when it was there.
    pub(super) fn follow(&mut self, user: UserId, keyword: &Keyword) -> bool {
        let subscription = match self.by_normal.get(keyword.normal()) {
            Some(&subscription) => subscription,
            None => self.add_subscription(keyword),
        };
        self.add_user(user, subscription)
    }

    /// Adds a preference whose keyword has the normal form `normal`; reads the keyword only when no user follows it yet.
    pub(super) fn follow_normal(
        &mut self,
        user: UserId,
        text: &str,
        normal: &str,
    ) -> Result<bool, KeywordError> {
        match self.by_normal.get(normal) {
            Some(&subscription) => Ok(self.add_user(user, subscription)),
            None => Ok(self.follow(user, &Keyword::parse(text)?)),
        }
    }

    fn add_user(&mut self, user: UserId, subscription: u32) -> bool {
        let users = self.subscriptions.get_mut(subscription);
        let added = users.is_some_and(|users| users.insert(number(user)));
        self.preferences += usize::from(added);
        added
    }

    /// Removes a preference; false when it was not there.
    pub(super) fn stop(&mut self, user: UserId, keyword: &Keyword) -> bool {
        let Some(&subscription) = self.by_normal.get(keyword.normal()) else {
            return false;
        };
        let Some(users) = self.subscriptions.get_mut(subscription) else {
            return false;
        };
        if !users.remove(number(user)) {
            return false;
        }
        self.preferences -= 1;
        if users.is_empty() {
            self.remove_subscription(subscription, keyword);
        }
        true
    }

    fn add_subscription(&mut self, keyword: &Keyword) -> u32 {
        let number = self.subscriptions.add(IdSet::default());
        self.by_normal.insert(keyword.normal().into(), number);
        for phrase in keyword.phrases() {
            let terms: Vec<u32> = phrase
                .iter()
                .map(|term| self.acquire_term(&term.forms, term.exact))
                .collect();
            self.post(&terms, phrase, number);
        }
        number
    }

    fn post(&mut self, terms: &[u32], phrase: &Phrase, subscription: u32) {
        let offset = self.rarest(terms);
        let Some(&posted_at) = terms.get(offset) else {
            return;
        };
        if is_single_word(phrase) {
            if let Some(term) = self.terms.get_mut(posted_at)
                && let Some(details) = self.details.get_mut(posted_at as usize)
            {
                term.subscribe(details, subscription);
            }
            return;
        }
        let phrase = self.phrases.add(PostedPhrase {
            terms: terms.into(),
            subscription,
        });
        let beside = if offset > 0 { offset - 1 } else { 1 };
        let posting = Posting {
            phrase,
            offset: offset as u16,
            neighbour: terms.get(beside).copied().unwrap_or(NONE),
        };
        if let Some(term) = self.terms.get_mut(posted_at) {
            term.phrases.push(posting);
        }
    }

    fn remove_subscription(&mut self, number: u32, keyword: &Keyword) {
        self.by_normal.remove(keyword.normal());
        self.subscriptions.remove(number);
        for phrase in keyword.phrases() {
            let terms: Vec<u32> = phrase
                .iter()
                .filter_map(|term| self.find_term(&term.forms, term.exact))
                .collect();
            for &number_of_term in &terms {
                let Some(term) = self.terms.get_mut(number_of_term) else {
                    continue;
                };
                if is_single_word(phrase) {
                    if let Some(details) = self.details.get_mut(number_of_term as usize) {
                        term.unsubscribe(details, number);
                    }
                } else {
                    let phrases = &mut self.phrases;
                    term.phrases.retain(|posting| {
                        let posted = phrases.get(posting.phrase);
                        let goes = posted.is_none_or(|posted| posted.subscription == number);
                        if goes {
                            phrases.remove(posting.phrase);
                        }
                        !goes
                    });
                }
            }
            terms.into_iter().for_each(|term| self.release_term(term));
        }
    }

    fn find_term(&self, forms: &[Word], exact: bool) -> Option<u32> {
        let by_forms = match exact {
            true => &self.exact_by_forms,
            false => &self.by_forms,
        };
        by_forms.get(forms).copied()
    }

    /// The number of the term with these forms, used once more from now on.
    fn acquire_term(&mut self, forms: &[Word], exact: bool) -> u32 {
        if let Some(number) = self.find_term(forms, exact) {
            if let Some(details) = self.details.get_mut(number as usize) {
                details.uses += 1;
            }
            return number;
        }
        let number = self.terms.add(Term::new(exact));
        self.details
            .resize_with(self.terms.all.len(), TermDetails::default);
        if let Some(details) = self.details.get_mut(number as usize) {
            *details = TermDetails {
                forms: forms.into(),
                uses: 1,
                others: Vec::new(),
            };
        }
        let by_forms = match exact {
            true => &mut self.exact_by_forms,
            false => &mut self.by_forms,
        };
        by_forms.insert(forms.into(), number);
        for &word in forms {
            let met = self.by_word.entry(word).or_insert(MET_NONE);
            let next = if met.term == NONE {
                NONE
            } else {
                self.links.add(*met)
            };
            *met = Met { term: number, next };
        }
        number
    }

    /// Ends one use of a term, which is gone after the last.
    fn release_term(&mut self, number: u32) {
        let Some(details) = self.details.get_mut(number as usize) else {
            return;
        };
        details.uses -= 1;
        if details.uses > 0 {
            return;
        }
        let forms = std::mem::take(details).forms;
        let term = self.terms.get_mut(number);
        let exact = term.is_some_and(|term| std::mem::replace(term, Term::new(false)).is_exact);
        self.terms.remove(number);
        let by_forms = match exact {
            true => &mut self.exact_by_forms,
            false => &mut self.by_forms,
        };
        by_forms.remove(&forms);
        for word in &forms {
            self.unlink(word, number);
        }
    }

    fn unlink(&mut self, word: &Word, term: u32) {
        let Some(&first) = self.by_word.get(word) else {
            return;
        };
        let mut others: Vec<u32> = self.met(first).filter(|&other| other != term).collect();
        let mut next = first.next;
        while let Some(&link) = self.links.get(next) {
            self.links.remove(next);
            next = link.next;
        }
        let Some(last) = others.pop() else {
            self.by_word.remove(word);
            return;
        };
        let mut met = Met {
            term: last,
            next: NONE,
        };
        for other in others.into_iter().rev() {
            met = Met {
                term: other,
                next: self.links.add(met),
            };
        }
        self.by_word.insert(*word, met);
    }

    fn met(&self, first: Met) -> impl Iterator<Item = u32> {
        terms_of(&self.links, first)
    }

    /// The place of the term of a phrase to post it at. A word that many follow is a word that many films have, and the
    /// phrases that are posted at a word already are work of their own.
    fn rarest(&self, terms: &[u32]) -> usize {
        let burden = |&(_, &number): &(usize, &u32)| {
            let both = self
                .terms
                .get(number)
                .zip(self.details.get(number as usize));
            let Some((term, details)) = both else {
                return 0;
            };
            let users = |&number: &u32| self.subscriptions.get(number).map_or(0, IdSet::len);
            let alone = [term.subscription];
            let subscriptions = alone.iter().chain(&details.others).take(COMPARED);
            subscriptions.map(users).sum::<usize>() + term.phrases.len()
        };
        terms
            .iter()
            .enumerate()
            .min_by_key(burden)
            .map_or(0, |(offset, _)| offset)
    }

    /// The users who follow something that a film has, in order.
    pub(super) fn matching(&mut self, film: &FilmWords) -> Vec<UserId> {
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

    /// How many preferences there are.
    pub(super) fn len(&self) -> usize {
        self.preferences
    }

    /// How many distinct keywords are followed.
    pub(super) fn distinct(&self) -> usize {
        self.by_normal.len()
    }

    /// Memory held, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let terms: usize = self
            .terms
            .all
            .iter()
            .map(|term| term.phrases.capacity() * size_of::<Posting>())
            .sum();
        let details: usize = self
            .details
            .iter()
            .map(|term| term.others.capacity() * 4 + 2 * term.forms.len() * size_of::<Word>())
            .sum();
        let subscriptions: usize = self.subscriptions.all.iter().map(IdSet::memory_bytes).sum();
        let phrases: usize = self
            .phrases
            .all
            .iter()
            .map(|phrase| phrase.terms.len() * 4)
            .sum();
        let texts: usize = self.by_normal.keys().map(|text| text.len()).sum();
        let table = |capacity: usize, entry: usize| capacity * (entry + 1) * 8 / 7;
        self.terms.memory_bytes()
            + terms
            + details
            + self.details.capacity() * size_of::<TermDetails>()
            + self.links.memory_bytes()
            + self.phrases.memory_bytes()
            + phrases
            + self.subscriptions.memory_bytes()
            + subscriptions
            + texts
            + table(self.by_normal.capacity(), size_of::<(Box<str>, u32)>())
            + table(self.by_forms.capacity(), size_of::<(Box<[Word]>, u32)>())
            + table(
                self.exact_by_forms.capacity(),
                size_of::<(Box<[Word]>, u32)>(),
            )
            + table(self.by_word.capacity(), size_of::<(Word, Met)>())
            + self.scratch.users.memory_bytes()
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

fn terms_of(links: &Slots<Met>, first: Met) -> impl Iterator<Item = u32> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let met = next?;
        next = links.get(met.next).copied();
        (met.term != NONE).then_some(met.term)
    })
}

/// A phrase that needs no looking at the words beside it.
fn is_single_word(phrase: &Phrase) -> bool {
    matches!(&**phrase, [term] if !term.exact)
}

/// Things by number; the number of a removed one is given to the next.
struct Slots<T> {
    all: Vec<T>,
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
    fn get(&self, number: u32) -> Option<&T> {
        self.all.get(number as usize)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.all.get_mut(number as usize)
    }

    fn add(&mut self, thing: T) -> u32 {
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
    fn remove(&mut self, number: u32) {
        self.free.push(number);
    }

    fn memory_bytes(&self) -> usize {
        self.all.capacity() * size_of::<T>() + self.free.capacity() * 4
    }
}
