//! The catalog's figures, remembered for a while.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::movies::{GenreFilter, Summary, genres};

/// How long figures are good, since other catalogs write to the database too.
const AGE: Duration = Duration::from_secs(3);
/// How many genres' numbers are remembered.
const GENRES_LIMIT: usize = 256;

/// Figures that were read, and how many writes of this catalog had been done by then.
#[derive(Debug, Clone, Copy)]
struct Reading<T> {
    value: T,
    writes: u64,
    at: Instant,
}

/// What was read from the database, as long as it is good: until this catalog writes, or the figures
/// are old.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    writes: u64,
    summary: Option<Reading<Arc<Summary>>>,
    of_genre: HashMap<GenreFilter, Reading<i64>>,
}

/// That so many writes had been done when a reading began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    writes: u64,
    at: Instant,
}

impl Figures {
    /// A write was done, perhaps: what was read before is not good any more.
    pub(crate) fn written(&mut self) {
        self.writes += 1;
    }

    /// To be taken before reading from the database.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            writes: self.writes,
            at: Instant::now(),
        }
    }

    pub(crate) fn summary(&self) -> Option<Arc<Summary>> {
        self.summary
            .as_ref()
            .filter(|reading| self.is_good(reading))
            .map(|reading| reading.value.clone())
    }

    pub(crate) fn remember_summary(&mut self, stamp: Stamp, value: Arc<Summary>) {
        self.summary = Some(Reading {
            value,
            writes: stamp.writes,
            at: stamp.at,
        });
    }

    pub(crate) fn of_genre(&self, genre: &GenreFilter) -> Option<i64> {
        self.of_genre
            .get(genre)
            .filter(|reading| self.is_good(reading))
            .map(|reading| reading.value)
    }

    pub(crate) fn remember_genre(&mut self, stamp: Stamp, genre: GenreFilter, value: i64) {
        if self.of_genre.len() >= GENRES_LIMIT {
            self.of_genre.clear();
        }
        let reading = Reading {
            value,
            writes: stamp.writes,
            at: stamp.at,
        };
        self.of_genre.insert(genre, reading);
    }

    fn is_good<T>(&self, reading: &Reading<T>) -> bool {
        reading.writes == self.writes && reading.at.elapsed() < AGE
    }
}

/// Makes the summary from the number of movies for each text that stands as a genre.
pub(crate) fn summarize(counts: Vec<(Option<String>, i64)>) -> Summary {
    let total = counts.iter().map(|(_, count)| count).sum();
    // By the folded genre: its commonest spelling, the number of that, and of all.
    let mut counted: HashMap<String, (String, i64, i64)> = HashMap::new();
    for (text, count) in counts {
        let text = text.unwrap_or_default();
        for (genre, folded) in genres::entries(&text) {
            let entry = counted.entry(folded).or_default();
            if count > entry.1 {
                (entry.0, entry.1) = (genre.to_owned(), count);
            }
            entry.2 += count;
        }
    }
    let mut genres: Vec<(String, i64)> = counted
        .into_values()
        .map(|(spelling, _, count)| (spelling, count))
        .collect();
    genres.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Summary { total, genres }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_are_counted_one_by_one_and_by_their_commonest_spelling() {
        let counts = vec![
            (Some("Drama, Crime".into()), 3),
            (Some("drama".into()), 1),
            (Some(" Crime,crime ,, ".into()), 2),
            (Some("Western".into()), 1),
            (Some(String::new()), 4),
            (None, 5),
        ];
        let summary = summarize(counts);
        assert_eq!(summary.total, 16);
        let expected = [("Crime", 5), ("Drama", 4), ("Western", 1)];
        assert_eq!(
            summary.genres,
            expected.map(|(genre, count)| (genre.to_owned(), count))
        );
    }

    #[test]
    fn figures_are_good_until_the_next_write() {
        let mut figures = Figures::default();
        let drama = GenreFilter::parse("Drama").unwrap();
        let stamp = figures.stamp();
        figures.remember_summary(stamp, Arc::default());
        figures.remember_genre(stamp, drama.clone(), 7);
        assert!(figures.summary().is_some());
        assert_eq!(figures.of_genre(&drama), Some(7));
        let stamp = figures.stamp();
        figures.written();
        assert!(figures.summary().is_none());
        // What was read while the write was under way may lack it.
        figures.remember_summary(stamp, Arc::default());
        figures.remember_genre(stamp, drama.clone(), 7);
        assert!(figures.summary().is_none());
        assert_eq!(figures.of_genre(&drama), None);
    }
}
