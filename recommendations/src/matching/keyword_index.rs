//! All preferences: from the words of a film to the users who follow something that it has.
//!
//! A term is a word with its inflections, and is shared by all keywords that have it. Each phrase is posted at one of
//! its terms, the one that is met most rarely, so that the work for a film grows with what matches.

mod finding;
mod slots;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use proto::UserId;

use super::id_set::IdSet;
use super::keyword::{Keyword, KeywordError, Phrase};
use super::matched_users::number;
use super::word::Word;

use finding::Scratch;
use slots::Slots;

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
            + self.scratch.memory_bytes()
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
