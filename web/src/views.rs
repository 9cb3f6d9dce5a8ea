//! What the templates are filled with: a typed view for each page, in plain words and numbers.

mod entrance;
mod film;
mod film_form;
mod filter;
mod following;
mod wall;

use serde::Serialize;

use crate::actors::recommendations_gateway::Counts;

use super::{
    flash::{Flash, Undo},
    slots::LayoutSlots,
};

pub(super) use entrance::{EntranceView, SignInFields, SignUpFields, WRONG_SECOND_FACTOR};
pub(super) use film::{FilmCard, FilmView, Link, MarkView, Why};
pub(super) use film_form::{FilmFormView, title_and_year};
pub(super) use filter::Filter;
pub(super) use following::{FollowMark, FollowingView, PREVIEW_SIZE, Preview};
pub(super) use wall::{FilmsView, RecommendedView, genre_names};

/// How many films a page shows: divisible by every likely number of columns.
pub(super) const PAGE_SIZE: i64 = 24;

/// The greatest number of new films that is shown as a number.
const MOST_NEW: i32 = 99;

/// The number of the last page of so many films, at least 1.
pub(super) fn last_page(total: i64) -> i64 {
    ((total + PAGE_SIZE - 1) / PAGE_SIZE).max(1)
}

/// Which place of the main navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Place {
    Films,
    ForYou,
    Following,
    New,
    SignIn,
    Me,
    Admin,
    Elsewhere,
}

/// For whom a page is made, as far as the page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Audience {
    pub(super) who: Who,
    /// Whether the visitor may change films.
    pub(super) edits: bool,
    /// Whether the visitor may manage people.
    pub(super) manages: bool,
    /// Whether the visitor can reach the pages for operators.
    pub(super) operations: bool,
}

/// Who looks, as far as the layout shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Who {
    /// The owner, where nobody signs in.
    Open,
    /// Nobody who has signed in.
    Anonymous,
    /// A user.
    User,
}

impl Default for Audience {
    /// Of a page that is made without looking at who asks for it.
    fn default() -> Self {
        Self {
            who: Who::User,
            edits: false,
            manages: false,
            operations: false,
        }
    }
}

/// What stands around every page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Layout {
    place: Place,
    /// How many films are recommended to the user, if that is known.
    recommended: Option<i32>,
    /// How many of them are new to the user, beside the name of the place: nothing if none is.
    badge: Option<String>,
    /// What was just done.
    pub(super) flash: Option<String>,
    /// How that is undone.
    undo: Option<Undo>,
    csrf: String,
    audience: Audience,
    /// Where the page differs from user to user, if it is rendered for all.
    slots: Option<LayoutSlots>,
}

impl Layout {
    pub(super) fn new(
        place: Place,
        recommended: Option<Counts>,
        flash: Option<Flash>,
        csrf: String,
    ) -> Self {
        Self {
            place,
            recommended: recommended.map(|counts| counts.total),
            badge: recommended
                .filter(|counts| counts.new > 0 && !counts.is_unsettled)
                .map(|counts| match counts.new {
                    new if new > MOST_NEW => format!("{MOST_NEW}+"),
                    new => new.to_string(),
                }),
            undo: flash.as_ref().and_then(Flash::undo),
            flash: flash.map(|flash| flash.text()),
            csrf,
            audience: Audience::default(),
            slots: None,
        }
    }

    /// The same for these.
    pub(super) fn made_for(self, audience: Audience) -> Self {
        Self { audience, ..self }
    }

    /// The layout of a page that is rendered for all users.
    pub(super) fn with_slots(place: Place, slots: LayoutSlots) -> Self {
        Self {
            slots: Some(slots),
            ..Self::new(place, None, None, String::new())
        }
    }
}

/// A page that says what went wrong.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ErrorView {
    pub(super) status: u16,
    pub(super) heading: &'static str,
    pub(super) text: String,
    pub(super) link: &'static str,
    pub(super) link_text: &'static str,
}

/// Where one is in a list of several pages, and how to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pager {
    page: i64,
    last: i64,
    /// The same to be read.
    last_text: String,
    newer: Option<String>,
    older: Option<String>,
    /// Where a page's number is sent, with what else the address holds.
    path: String,
    filter: Filter,
}

impl Pager {
    /// `path` is the list's first page; `filter` what all its pages keep.
    pub(super) fn new(path: &str, filter: &Filter, page: i64, last: i64) -> Self {
        let to = |page: i64| {
            (1..=last)
                .contains(&page)
                .then(|| filter.url(path, page, ""))
        };
        Self {
            page,
            last,
            last_text: with_thousands(last),
            newer: to(page - 1),
            older: to(page + 1),
            path: path.to_owned(),
            filter: filter.clone(),
        }
    }
}

/// "1 film", "1,169 films".
fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", with_thousands(number))
}

fn with_thousands(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(with_thousands(0), "0");
        assert_eq!(with_thousands(999), "999");
        assert_eq!(with_thousands(36_273), "36,273");
        assert_eq!(with_thousands(1_000_000), "1,000,000");
        assert_eq!(count(1, "film"), "1 film");
        assert_eq!(count(0, "film"), "0 films");
    }

    #[test]
    fn pages_keep_their_filter() {
        let pager = Pager::new("/", &Filter::of_genre("science fiction"), 2, 3);
        assert_eq!(pager.newer.unwrap(), "/?genre=science%20fiction");
        assert_eq!(pager.older.unwrap(), "/?genre=science%20fiction&page=3");
        let only = Pager::new("/", &Filter::default(), 1, 1);
        assert_eq!((only.newer, only.older), (None, None));
    }
}
