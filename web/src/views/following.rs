//! What the user follows.

use serde::Serialize;

use super::{Filter, count};
use crate::{actors::recommendations_gateway::FollowedKeyword, url};

/// A keyword that the user follows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Followed {
    keyword: String,
    films: Option<String>,
    /// The films that it matches.
    url: String,
    /// What one posts to in order to follow it no more.
    stop: String,
    /// Whether the address cannot hold it, so that the form does.
    unsayable: bool,
}

/// What the user follows.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct FollowingView {
    count: String,
    keywords: Vec<Followed>,
    /// What is being typed, and what is wrong with it.
    keyword: String,
    error: Option<String>,
    /// Whether the recommendations service does not answer.
    pub(crate) away: bool,
}

impl FollowingView {
    pub(crate) fn new(keywords: Vec<FollowedKeyword>) -> Self {
        let followed = |FollowedKeyword {
                            keyword,
                            matching_films,
                        }| Followed {
            films: matching_films.map(|films| count(i64::from(films), "film")),
            url: Filter::of_keyword(&keyword).films(),
            stop: url::stop(&keyword),
            unsayable: !url::fits_in_path(&keyword),
            keyword,
        };
        Self {
            count: count(keywords.len() as i64, "keyword"),
            keywords: keywords.into_iter().map(followed).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn away() -> Self {
        Self {
            away: true,
            ..Self::default()
        }
    }

    /// Says why what was typed is not followed.
    pub(crate) fn refusing(self, typed: String, why: &str) -> Self {
        Self {
            keyword: typed,
            error: Some(why.to_owned()),
            ..self
        }
    }
}
