//! What the user follows, and what the films of a keyword are before it is followed.

use serde::Serialize;

use super::{FilmCard, Filter, count, with_thousands};
use crate::{
    Error,
    actors::recommendations_gateway::{FollowedKeyword, Found},
    keywords, page_error, url,
};

/// How many covers a preview shows.
pub(crate) const PREVIEW_SIZE: usize = 6;

/// A keyword that the user follows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Followed {
    keyword: String,
    films: Option<String>,
    /// The films that it matches.
    url: String,
    /// What one posts to in order to stop following it.
    stop: String,
    /// Whether the address cannot hold it, so that the form does.
    unsayable: bool,
}

/// Whether the user follows the keyword of a list.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FollowMark {
    keyword: String,
    /// The keyword as the user follows it.
    followed: Option<String>,
    /// Where the keyword can be followed.
    url: String,
}

impl FollowMark {
    pub(crate) fn new(keyword: &str, followed: Option<&str>) -> Self {
        Self {
            keyword: keyword.to_owned(),
            followed: followed.map(str::to_owned),
            url: Filter::of_keyword(keyword).url("/preferences", 1, ""),
        }
    }
}

/// What a keyword matches.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Preview {
    keyword: String,
    /// How many films, as in "1 film" and "113 films"; nothing if that is not known.
    films: Option<String>,
    /// How many of how many, if these are so many that the user is asked.
    common_of: Option<String>,
    /// Whether no film matches.
    is_empty: bool,
    /// Why it cannot be followed.
    error: Option<String>,
    /// All films that it matches.
    url: String,
    newest: Vec<FilmCard>,
}

impl Preview {
    pub(crate) fn new(keyword: String, found: Result<&Found, &Error>) -> Self {
        let mut preview = Self {
            films: None,
            common_of: None,
            is_empty: false,
            error: None,
            url: Filter::of_keyword(&keyword).films(),
            newest: Vec::new(),
            keyword,
        };
        match found {
            Ok(found) => {
                preview.films = Some(count(found.total.into(), "film"));
                preview.common_of = keywords::is_common(found.total, found.known).then(|| {
                    let known = count(found.known.into(), "film");
                    format!("{} of {known}", with_thousands(found.total.into()))
                });
                preview.is_empty = found.total == 0;
                preview.newest = found.films.iter().map(FilmCard::of_recommended).collect();
                preview.newest.truncate(PREVIEW_SIZE);
            }
            Err(Error::Invalid(sentence)) => {
                preview.error = Some(page_error::as_sentence(sentence));
            }
            Err(_) => {}
        }
        preview
    }
}

/// What the user follows.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct FollowingView {
    count: String,
    keywords: Vec<Followed>,
    /// What is being typed, and what is wrong with it.
    keyword: String,
    error: Option<String>,
    /// What was typed, looked up.
    previews: Vec<Preview>,
    /// What was followed before the user is asked about the rest.
    done: Vec<String>,
    asks: bool,
    /// Whether the user is about to type on.
    focus: bool,
    /// Whether the recommendations service does not answer.
    pub(crate) unavailable: bool,
    /// Where a script gets the preview of what is typed.
    fragment: &'static str,
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
            fragment: "/preferences?part=list",
            ..Self::default()
        }
    }

    pub(crate) fn unavailable() -> Self {
        Self {
            unavailable: true,
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

    /// Shows what the typed keywords match.
    pub(crate) fn previewing(self, typed: String, previews: Vec<Preview>) -> Self {
        Self {
            keyword: typed,
            previews,
            ..self
        }
    }

    /// Asks about keywords that match a great part of the catalog; `done` says what was followed.
    pub(crate) fn asking(self, done: Vec<String>, common: Vec<Preview>) -> Self {
        Self {
            previews: common,
            done,
            asks: true,
            ..self
        }
    }

    /// Goes on in the box, where the next keyword is typed.
    pub(crate) fn going_on(self) -> Self {
        Self {
            focus: true,
            ..self
        }
    }
}
