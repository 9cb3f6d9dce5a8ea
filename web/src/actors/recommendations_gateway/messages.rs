//! What the pages ask of the recommendations service, and what it answers.

use std::collections::HashMap;

use actix::Message;
use proto::{FilmId, UserId};
use tokio::sync::watch;

use crate::error::Error;

/// A keyword that a user follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedKeyword {
    /// The keyword as it was given.
    pub keyword: String,
    /// How many films it matches; older services do not say.
    pub matching_films: Option<i32>,
}

/// A film that a user is recommended, with what the recommendations service knows of it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the facts are those of `Film`")]
pub struct RecommendedFilm {
    /// Empty or malformed ids of strange peers are left out of the list.
    pub id: FilmId,
    pub title: String,
    pub description: String,
    pub genre: String,
    pub rating: Option<f64>,
    pub release_year: String,
    /// The user's keywords that match it; older services do not say.
    pub matched_keywords: Vec<String>,
}

/// Some of the films that a user is recommended, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommended {
    /// The films asked for.
    pub films: Vec<RecommendedFilm>,
    /// How many there are in all.
    pub total: i32,
    /// Whether the service gives a reason for each film; older ones give none.
    pub gives_reasons: bool,
}

/// Some of the films that a keyword matches, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The films asked for.
    pub films: Vec<RecommendedFilm>,
    /// How many the keyword matches in all.
    pub total: i32,
    /// How many films the service knows.
    pub known: i32,
}

/// How many films are recommended to a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// In all.
    pub total: i32,
    /// Since the user last looked at them; older services do not say, and then it is none.
    pub new: i32,
    /// Whether the numbers are about to change, because the service works on the user's keywords.
    pub is_unsettled: bool,
}

/// Which of some films are recommended to a user, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilmMarks {
    /// How many films are recommended to the user, these or others.
    pub counts: Counts,
    /// The keyword that was asked for, as the user follows it; nothing if the user does not, and older services do not say.
    pub followed: Option<String>,
    pub(super) reasons: HashMap<FilmId, Vec<String>>,
}

impl FilmMarks {
    /// The user's keywords that a film matches; nothing if it is not recommended to the user.
    pub fn reasons(&self, film: &FilmId) -> Option<&[String]> {
        self.reasons.get(film).map(Vec::as_slice)
    }
}

/// How many films are recommended to a user, each time that they may have changed; nothing before the
/// service has told. It ends when the gateway does.
pub type Totals = watch::Receiver<Option<Counts>>;

/// Asks for the keywords that a user follows.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<FollowedKeyword>, Error>")]
pub struct GetKeywords(pub UserId);

/// Asks for the films that a keyword matches, whether or not a user follows it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Found, Error>")]
pub struct FindFilms {
    /// The keyword.
    pub keyword: String,
    /// How many of the newest to pass over.
    pub offset: i32,
    /// How many to answer at most.
    pub max: i32,
}

/// Asks to follow a keyword; answers whether the user did not follow it before. Older services do not
/// say, and then it is new.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Follow {
    pub user: UserId,
    pub keyword: String,
}

/// Asks to stop following a keyword; answers whether it was followed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, Error>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct StopFollowing {
    pub user: UserId,
    pub keyword: String,
}

/// Asks for films that a user is recommended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Recommended, Error>")]
pub struct GetRecommended {
    /// Whose films.
    pub user: UserId,
    /// How many of the newest to pass over.
    pub offset: i32,
    /// How many to answer at most.
    pub max: i32,
}

/// Asks which of some films are recommended to a user, and why.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FilmMarks, Error>")]
pub struct GetMarks {
    /// The user.
    pub user: UserId,
    /// The films.
    pub films: Vec<FilmId>,
    /// A keyword of which is asked whether the user follows it, unless it is empty.
    pub keyword: String,
}

/// Asks to remember that a user has looked at the newest recommendations.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), Error>")]
pub struct MarkSeen(pub UserId);

/// Asks to be told when a user's recommendations change.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Totals, Error>")]
#[expect(missing_docs, reason = "the name says it")]
pub struct Watch {
    pub user: UserId,
}
