//! The catalog's figures, remembered for a while.

use std::{
    cell::Cell, collections::HashMap, future::Future, hash::Hash, sync::Arc, time::Duration,
};

use moka::future::Cache;
use proto::genres::genres;
use tokio::sync::Mutex;

use crate::films::{GenreFilter, Summary};

/// How long figures are good, since other catalogs write to the database too.
const AGE: Duration = Duration::from_secs(3);
/// How many genres' numbers are remembered.
const GENRES_LIMIT: u64 = 256;

/// What was read from the database, as long as it is good: until this catalog writes, or the figures
/// are old. Each is remembered under the number of writes that had been done when its reading began.
pub(crate) struct Figures {
    writes: Cell<u64>,
    summaries: Cache<u64, Arc<Summary>>,
    of_genres: Cache<(u64, GenreFilter), i64>,
    /// Who comes while something is read waits for that, and does not read it too.
    reading: Mutex<()>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            writes: Cell::default(),
            summaries: Cache::builder().max_capacity(1).time_to_live(AGE).build(),
            of_genres: Cache::builder()
                .max_capacity(GENRES_LIMIT)
                .time_to_live(AGE)
                .build(),
            reading: Mutex::default(),
        }
    }
}

impl Figures {
    /// A write was done, perhaps: what was read before is not good any more.
    pub(crate) fn written(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    /// The summary, as it is remembered or as `read` has it now.
    pub(crate) async fn summary<E>(
        &self,
        read: impl Future<Output = Result<Arc<Summary>, E>>,
    ) -> Result<Arc<Summary>, E> {
        let _reading = self.reading.lock().await;
        remembered(&self.summaries, self.writes.get(), read).await
    }

    /// How many films there are of a genre, as it is remembered or as `read` has it now.
    pub(crate) async fn of_genre<E>(
        &self,
        genre: GenreFilter,
        read: impl Future<Output = Result<i64, E>>,
    ) -> Result<i64, E> {
        let _reading = self.reading.lock().await;
        remembered(&self.of_genres, (self.writes.get(), genre), read).await
    }
}

async fn remembered<K, V, E>(
    cache: &Cache<K, V>,
    key: K,
    read: impl Future<Output = Result<V, E>>,
) -> Result<V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    if let Some(value) = cache.get(&key).await {
        return Ok(value);
    }
    let value = read.await?;
    cache.insert(key, value.clone()).await;
    Ok(value)
}

/// Makes the summary from the number of films for each text that stands as a genre.
pub(crate) fn summarize(counts: Vec<(Option<String>, i64)>) -> Summary {
    let total = counts.iter().map(|(_, count)| count).sum();
    // By the folded genre: its commonest spelling, the number of that, and of all.
    let mut counted: HashMap<String, (String, i64, i64)> = HashMap::new();
    for (text, count) in counts {
        let text = text.unwrap_or_default();
        for genre in genres(&text) {
            let entry = counted.entry(genre.folded).or_default();
            if count > entry.1 {
                (entry.0, entry.1) = (genre.written.to_owned(), count);
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

    #[actix_web::test]
    async fn figures_are_good_until_the_next_write() {
        let figures = Figures::default();
        let drama = GenreFilter::parse("Drama").unwrap();
        let ask = async |answer| {
            let answer = std::future::ready(Ok::<i64, ()>(answer));
            figures.of_genre(drama.clone(), answer).await.unwrap()
        };
        assert_eq!(ask(7).await, 7);
        assert_eq!(ask(8).await, 7, "it is remembered");
        figures.written();
        assert_eq!(ask(9).await, 9);
        // What is read while a write is under way may lack it.
        figures.written();
        let read = async {
            figures.written();
            Ok::<_, ()>(10)
        };
        assert_eq!(figures.of_genre(drama.clone(), read).await, Ok(10));
        assert_eq!(ask(11).await, 11);
        // A failure is not remembered.
        figures.written();
        let failed = figures.summary(std::future::ready(Err(()))).await;
        assert_eq!(failed, Err(()));
        let summary = figures.summary(std::future::ready(Ok::<_, ()>(Arc::default())));
        assert_eq!(summary.await, Ok(Arc::default()));
    }
}
