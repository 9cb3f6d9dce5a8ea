//! Keywords that match as many films as a measurement wants.

use std::collections::{HashMap, HashSet};

use proto::UserId;
use recommendations::matching::{Index, Keyword};

use super::films::Film;

/// One keyword for each of 1,000 users, which match a film about twice in the mean.
pub(crate) fn twice_a_film(films: &[Film]) -> Vec<String> {
    let mut counted: Vec<(String, usize)> = film_counts(films).into_iter().collect();
    counted.sort();
    // The rarer words, each of which few films have.
    counted.retain(|(_, count)| (films.len() / 2_000..films.len() / 50).contains(count));
    let step = (counted.len() / 1_000).max(1);
    let mut wanted = 2 * films.len();
    let mut keywords = Vec::new();
    for (word, count) in counted.into_iter().step_by(step).take(1_000) {
        if wanted >= count {
            wanted -= count;
            keywords.push(word);
        }
    }
    let missing = 1_000 - keywords.len();
    keywords.extend((0..missing).map(unmet));
    keywords
}

/// A keyword that no film has, for a user who is not to be recommended anything.
pub(crate) fn unmet(number: usize) -> String {
    format!("zyx{}", number % 50_000)
}

/// The word that comes nearest to being in `count` films, and in how many it is.
pub(crate) fn met_by(films: &[Film], count: usize) -> (String, usize) {
    let counted = film_counts(films).into_iter();
    counted
        .min_by_key(|(word, met)| (met.abs_diff(count), word.clone()))
        .unwrap()
}

/// In how many films each plain word is.
fn film_counts(films: &[Film]) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for film in films {
        let plain = |c: char| c.is_ascii_lowercase();
        let text = film.description.to_lowercase();
        let words = text
            .split_ascii_whitespace()
            .filter(|word| word.chars().all(plain));
        for word in words.collect::<HashSet<_>>() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

/// How many users each film is to be recommended to.
pub(crate) fn matches(keywords: &[String], films: &[Film]) -> Vec<usize> {
    let mut index = Index::new();
    for (user, keyword) in (1..).zip(keywords) {
        index.follow(UserId(user), &Keyword::parse(keyword).unwrap());
    }
    let users = |film: &Film| index.users_matching(&film.words()).len();
    films.iter().map(users).collect()
}
