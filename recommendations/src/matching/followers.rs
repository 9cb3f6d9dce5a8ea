//! Who follows what: from the words of a film to the users to tell.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use roaring::RoaringBitmap;

use super::film::FilmWords;
use super::id_set::IdSet;
use super::keyword::{Keyword, KeywordError};
use super::matched_users::MatchedUsers;
use super::terms::Terms;

/// No term: a gap, or a word of a film that is in no keyword.
const NONE: u32 = u32::MAX;
/// Enough to tell a common word; there may be a spelling for every user.
const COMPARED_SPELLINGS: usize = 8;

/// All preferences. Each distinct keyword text hangs on one of its words, the one that most rarely leads to it in vain.
#[derive(Default)]
pub(super) struct Followers {
    terms: Terms,
    /// What hangs on each term, by its number.
    hooks: Vec<Hooks>,
    by_text: HashMap<Box<str>, u32, RandomState>,
    wants: Vec<Want>,
    free_wants: Vec<u32>,
    preferences: usize,
    scratch: Scratch,
}

/// A keyword text and who follows it. Spellings of one keyword are wants of their own, so that each is followed and
/// left on its own.
#[derive(Default)]
struct Want {
    users: IdSet,
    /// The terms of a phrase; empty for a single word.
    phrase: Box<[u32]>,
}

/// The wants that hang on a term.
#[derive(Default)]
struct Hooks {
    /// The want of the term alone, kept here because hardly any has more than one spelling that is followed.
    word: Option<u32>,
    spellings: Vec<u32>,
    phrases: Vec<PhraseHook>,
    /// The last film that had the term.
    epoch: u64,
}

impl Hooks {
    fn words(&self) -> impl Iterator<Item = u32> {
        self.word.iter().chain(&self.spellings).copied()
    }

    fn add_word(&mut self, want: u32) {
        match self.word {
            None => self.word = Some(want),
            Some(_) => self.spellings.push(want),
        }
    }

    fn remove(&mut self, want: u32) {
        if self.word == Some(want) {
            self.word = self.spellings.pop();
        }
        self.spellings.retain(|&other| other != want);
        self.phrases.retain(|hook| hook.want != want);
    }
}

/// A phrase that hangs on its term at `offset`.
#[derive(Clone, Copy)]
struct PhraseHook {
    want: u32,
    offset: u16,
    /// The term before it, or after it when it is the first: most phrases in vain are refused here.
    neighbour: u32,
}

/// Memory that is kept between films.
#[derive(Default)]
struct Scratch {
    /// The number of films asked for; a term that carries it was met in this film.
    epoch: u64,
    sequence: Vec<u32>,
    wants: Vec<u32>,
    users: MatchedUsers,
}

impl Followers {
    /// A user follows a keyword from now on; false when that was so.
    pub(super) fn follow(&mut self, user: i32, keyword: &Keyword) -> bool {
        let want = match self.by_text.get(keyword.text()) {
            Some(&want) => want,
            None => self.add_want(keyword),
        };
        self.add_user(user, want)
    }

    /// As `follow`, and reads the keyword only when nobody follows it yet.
    pub(super) fn follow_text(&mut self, user: i32, text: &str) -> Result<bool, KeywordError> {
        match self.by_text.get(text.trim()) {
            Some(&want) => Ok(self.add_user(user, want)),
            None => Ok(self.follow(user, &Keyword::parse(text)?)),
        }
    }

    fn add_user(&mut self, user: i32, want: u32) -> bool {
        let added = self
            .wants
            .get_mut(want as usize)
            .is_some_and(|want| want.users.insert(user as u32));
        self.preferences += usize::from(added);
        added
    }

    /// A user follows a keyword no longer; false when that was so.
    pub(super) fn stop(&mut self, user: i32, keyword: &Keyword) -> bool {
        let Some(&number) = self.by_text.get(keyword.text()) else {
            return false;
        };
        let Some(want) = self.wants.get_mut(number as usize) else {
            return false;
        };
        if !want.users.remove(user as u32) {
            return false;
        }
        self.preferences -= 1;
        if want.users.is_empty() {
            self.remove_want(number, keyword);
        }
        true
    }

    fn add_want(&mut self, keyword: &Keyword) -> u32 {
        let terms: Vec<u32> = keyword
            .words()
            .iter()
            .map(|&word| self.terms.acquire(word))
            .collect();
        self.hooks.resize_with(self.terms.end(), Hooks::default);

        let number = self.free_wants.pop().unwrap_or(self.wants.len() as u32);
        self.by_text.insert(keyword.text().into(), number);
        let (offset, term) = self.rarest(&terms);
        if let Some(hooks) = self.hooks.get_mut(term as usize) {
            match neighbour(&terms, offset) {
                None => hooks.add_word(number),
                Some(neighbour) => hooks.phrases.push(PhraseHook {
                    want: number,
                    offset: offset as u16,
                    neighbour,
                }),
            }
        }
        let phrase = if terms.len() > 1 {
            terms.into_boxed_slice()
        } else {
            Box::default()
        };
        let want = Want {
            users: IdSet::default(),
            phrase,
        };
        match self.wants.get_mut(number as usize) {
            Some(place) => *place = want,
            None => self.wants.push(want),
        }
        number
    }

    fn remove_want(&mut self, number: u32, keyword: &Keyword) {
        self.by_text.remove(keyword.text());
        if let Some(want) = self.wants.get_mut(number as usize) {
            *want = Want::default();
        }
        self.free_wants.push(number);
        for term in keyword
            .words()
            .iter()
            .filter_map(|word| self.terms.find(word))
            .collect::<Vec<_>>()
        {
            if let Some(hooks) = self.hooks.get_mut(term as usize) {
                hooks.remove(number);
            }
            self.terms.release(term);
        }
    }

    /// The term of a keyword to hang it on, and its place. A word that many follow is a word that many films have, and
    /// the phrases that hang on a word already are work of their own.
    fn rarest(&self, terms: &[u32]) -> (usize, u32) {
        let burden = |&(_, term): &(usize, u32)| {
            let Some(hooks) = self.hooks.get(term as usize) else {
                return 0;
            };
            let spellings = hooks
                .words()
                .take(COMPARED_SPELLINGS)
                .filter_map(|want| self.wants.get(want as usize));
            spellings.map(|want| want.users.len()).sum::<usize>() + hooks.phrases.len()
        };
        terms
            .iter()
            .copied()
            .enumerate()
            .min_by_key(burden)
            .unwrap_or((0, NONE))
    }

    /// The users who follow something that a film has.
    pub(super) fn matching(&mut self, film: &FilmWords) -> RoaringBitmap {
        self.find_wants(film);
        let Followers {
            scratch:
                Scratch {
                    wants: found,
                    users,
                    ..
                },
            wants,
            ..
        } = self;
        users.bitmap(
            found
                .iter()
                .filter_map(|&want| wants.get(want as usize))
                .map(|want| &want.users),
        )
    }

    /// Calls `visit` once with each user who follows something that a film has.
    pub(super) fn for_each_matching(&mut self, film: &FilmWords, mut visit: impl FnMut(i32)) {
        self.find_wants(film);
        let Followers {
            scratch:
                Scratch {
                    wants: found,
                    users,
                    ..
                },
            wants,
            ..
        } = self;
        let sets = found
            .iter()
            .filter_map(|&want| wants.get(want as usize))
            .map(|want| &want.users);
        users.for_each(sets, |user| visit(user as i32));
    }

    /// Leaves the wants that a film meets in the scratch memory; a phrase that it has twice is there twice.
    fn find_wants(&mut self, film: &FilmWords) {
        let Scratch {
            epoch,
            sequence,
            wants: found,
            ..
        } = &mut self.scratch;
        found.clear();
        sequence.clear();
        sequence.extend(
            film.words()
                .iter()
                .map(|word| self.terms.find(word).unwrap_or(NONE)),
        );
        *epoch += 1;
        for (place, &term) in sequence.iter().enumerate() {
            let Some(hooks) = self.hooks.get_mut(term as usize) else {
                continue;
            };
            if hooks.epoch != *epoch {
                hooks.epoch = *epoch;
                found.extend(hooks.words());
            }
            for hook in &hooks.phrases {
                let beside = if hook.offset > 0 {
                    place.wrapping_sub(1)
                } else {
                    place + 1
                };
                if sequence.get(beside) != Some(&hook.neighbour) {
                    continue;
                }
                let Some(want) = self.wants.get(hook.want as usize) else {
                    continue;
                };
                let row = place
                    .checked_sub(hook.offset.into())
                    .and_then(|start| sequence.get(start..start + want.phrase.len()));
                if row == Some(&want.phrase) {
                    found.push(hook.want);
                }
            }
        }
    }

    /// How many preferences there are.
    pub(super) fn len(&self) -> usize {
        self.preferences
    }

    /// How many distinct keyword texts are followed.
    pub(super) fn distinct(&self) -> usize {
        self.by_text.len()
    }

    /// Memory held, in bytes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let hooks: usize = self
            .hooks
            .iter()
            .map(|hooks| {
                hooks.spellings.capacity() * 4 + hooks.phrases.capacity() * size_of::<PhraseHook>()
            })
            .sum();
        let wants: usize = self
            .wants
            .iter()
            .map(|want| want.users.memory_bytes() + want.phrase.len() * 4)
            .sum();
        let texts: usize = self.by_text.keys().map(|text| text.len()).sum();
        self.terms.memory_bytes()
            + hooks
            + self.hooks.capacity() * size_of::<Hooks>()
            + wants
            + self.wants.capacity() * size_of::<Want>()
            + texts
            + self.by_text.capacity() * (size_of::<(Box<str>, u32)>() + 1) * 8 / 7
            + self.scratch.users.memory_bytes()
    }
}

/// The term beside the one at `offset`; none in a single word.
fn neighbour(terms: &[u32], offset: usize) -> Option<u32> {
    terms.get(if offset > 0 { offset - 1 } else { 1 }).copied()
}
