//! A page of the movies, and the figures of the whole catalog.

use super::Movie;

/// The most movies that a page may hold.
pub const MAX_PAGE_SIZE: i64 = 100;

/// One page of the movies, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct MoviePage {
    /// The movies of the page; none beyond the last page.
    pub movies: Vec<Movie>,
    /// How many movies all pages hold together.
    pub total: i64,
    /// The page's number, from 1.
    pub page: i64,
    /// How many movies a full page holds.
    pub page_size: i64,
}

impl MoviePage {
    /// The number of the last page, at least 1.
    pub fn last_page(&self) -> i64 {
        ((self.total + self.page_size - 1) / self.page_size.max(1)).max(1)
    }
}

/// The figures of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of movies.
    pub total: i64,
    /// Each genre with the number of its movies, the commonest first. A movie of several genres
    /// counts in each; spellings that fold alike are one genre, under the commonest of them.
    pub genres: Vec<(String, i64)>,
}
