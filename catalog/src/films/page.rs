//! A page of the films, and the figures of the whole catalog.

use super::Film;

/// The most films that a page may hold.
pub const MAX_PAGE_SIZE: i64 = 100;

/// One page of the films, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmPage {
    /// The films of the page; none beyond the last page.
    pub films: Vec<Film>,
    /// How many films all pages hold together.
    pub total: i64,
    /// The page's number, from 1.
    pub page: i64,
    /// How many films a full page holds.
    pub page_size: i64,
}

impl FilmPage {
    /// The number of the last page, at least 1.
    pub fn last_page(&self) -> i64 {
        ((self.total + self.page_size - 1) / self.page_size.max(1)).max(1)
    }
}

/// The figures of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of films.
    pub total: i64,
    /// Each genre with the number of its films, the commonest first. A film of several genres
    /// counts in each; spellings that fold alike are one genre, under the commonest of them.
    pub genres: Vec<(String, i64)>,
}
