//! A film as the catalog holds it. A rating of 0 is a rating; a film without one has `None`.

use chrono::NaiveDateTime;

use super::{ExternalId, FilmId};

/// A film. Texts that were never given are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// Its id.
    pub id: FilmId,
    /// Its title, 1 to 255 characters.
    pub title: String,
    /// What it is about, up to 60,000 bytes.
    pub description: String,
    /// One or several genres with commas between them, up to 100 characters.
    pub genre: String,
    /// From 0 to 10.
    pub rating: Option<f32>,
    /// Four digits.
    pub release_year: String,
    /// When it was added, UTC, in microseconds.
    pub created_at: NaiveDateTime,
    /// When it was last edited, UTC, in microseconds.
    pub updated_at: NaiveDateTime,
    /// Whether it is recommended to any user.
    pub is_recommended: bool,
    /// Grows with every write of its facts, and not with `is_recommended`.
    pub version: i64,
    /// Its ids elsewhere, one of each source at most, sorted.
    pub external_ids: Vec<ExternalId>,
}

impl Film {
    /// The rating as the decimal that was given: 8.1, and not the 8.100000381 that widening the
    /// stored number would yield.
    pub fn rating_decimal(&self) -> Option<f64> {
        self.rating.and_then(decimal)
    }
}

/// A rating as the decimal that was given.
pub fn decimal(rating: f32) -> Option<f64> {
    rating.to_string().parse().ok()
}
